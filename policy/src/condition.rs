//! One condition: an operator, a key, and what the policy wants under it.
//!
//! - [Operators](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html): where
//!   the key is missing a positive one is false and a negated one true; `…IfExists` is true then, whatever it is.
//! - [Several values](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html):
//!   one of them is enough; for a negated operator it must be none of them.
//! - [Keys with several values](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html):
//!   `ForAllValues:` wants every one of the request to fit, and is true where there is none; `ForAnyValue:` wants one, and is
//!   false where there is none.

use crate::context::{Context, Found};
use crate::pattern::{self, Wanted};
use crate::values;

/// Whether something holds, as far as one can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// That depends on what nobody here knows.
    Unknown,
}

impl Truth {
    /// Holds where both do.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            _ => Self::Yes,
        }
    }

    /// Holds where one does.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        !(!self).and(!other)
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// An operator, with what stands before and behind its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    set: Set,
    test: Test,
    negated: bool,
    if_exists: bool,
}

/// Which of the request's values must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    TheOne,
    All,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Equal,
    EqualInAnyCase,
    Like,
    Arn,
    Number(Order),
    Date(Order),
    Bool,
    Binary,
    Address,
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Names without prefix and suffix, in small letters, and whether they are negated.
const OPERATORS: &[(&str, Test, bool)] = &[
    ("stringequals", Test::Equal, false),
    ("stringnotequals", Test::Equal, true),
    ("stringequalsignorecase", Test::EqualInAnyCase, false),
    ("stringnotequalsignorecase", Test::EqualInAnyCase, true),
    ("stringlike", Test::Like, false),
    ("stringnotlike", Test::Like, true),
    ("arnequals", Test::Arn, false),
    ("arnlike", Test::Arn, false),
    ("arnnotequals", Test::Arn, true),
    ("arnnotlike", Test::Arn, true),
    ("numericequals", Test::Number(Order::Equal), false),
    ("numericnotequals", Test::Number(Order::Equal), true),
    ("numericlessthan", Test::Number(Order::Less), false),
    ("numericlessthanequals", Test::Number(Order::LessOrEqual), false),
    ("numericgreaterthan", Test::Number(Order::Greater), false),
    ("numericgreaterthanequals", Test::Number(Order::GreaterOrEqual), false),
    ("dateequals", Test::Date(Order::Equal), false),
    ("datenotequals", Test::Date(Order::Equal), true),
    ("datelessthan", Test::Date(Order::Less), false),
    ("datelessthanequals", Test::Date(Order::LessOrEqual), false),
    ("dategreaterthan", Test::Date(Order::Greater), false),
    ("dategreaterthanequals", Test::Date(Order::GreaterOrEqual), false),
    ("bool", Test::Bool, false),
    ("binaryequals", Test::Binary, false),
    ("ipaddress", Test::Address, false),
    ("notipaddress", Test::Address, true),
    ("null", Test::Null, false),
];

impl Operator {
    /// The operator of this name, whose case AWS does not mind. `None`: there is none, or it cannot be so prefixed.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let (set, name) = match name.split_once(':') {
            None => (Set::TheOne, name.as_str()),
            Some(("forallvalues", name)) => (Set::All, name),
            Some(("foranyvalue", name)) => (Set::Any, name),
            Some(_) => return None,
        };
        let (if_exists, name) = name.strip_suffix("ifexists").map_or((false, name), |name| (true, name));
        let (_, test, negated) = *OPERATORS.iter().find(|(known, ..)| *known == name)?;
        // That is what it asks itself.
        (test != Test::Null || !if_exists).then_some(Self { set, test, negated, if_exists })
    }

    /// Whether it wants the values not to fit.
    pub fn is_negated(&self) -> bool {
        self.negated
    }

    /// Whether it is `Null`.
    pub fn is_null(&self) -> bool {
        self.test == Test::Null
    }

    /// Whether it holds once the policy wants the very value that the request has.
    pub fn is_equality(&self) -> bool {
        let orders = matches!(self.test, Test::Number(order) | Test::Date(order) if order != Order::Equal);
        !self.negated && !orders && !matches!(self.test, Test::Date(_) | Test::Null)
    }

    /// Whether it is for a key with one value.
    pub fn is_plain(&self) -> bool {
        self.set == Set::TheOne
    }

    /// Whether what was found is what is wanted. `variables` says whether the policy's version knows them.
    pub fn holds(&self, found: &Found, wanted: &[String], context: &Context, variables: bool) -> Truth {
        let found = match found {
            Found::Unknown => return Truth::Unknown,
            Found::Absent => &[][..],
            Found::Values(values) => values,
        };
        if self.test == Test::Null {
            let is = if found.is_empty() { "true" } else { "false" };
            return wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(is)).into();
        }
        if found.is_empty() && self.if_exists {
            return Truth::Yes;
        }
        let fits = |found: &String| {
            let one = |wanted: &String| self.test.fits(found, wanted, context, variables);
            let fits = wanted.iter().map(one).fold(Truth::No, Truth::or);
            if self.negated { !fits } else { fits }
        };
        match (self.set, found) {
            // An empty text is a set of nothing.
            (Set::All, found) => found.iter().filter(|text| !text.is_empty()).map(fits).fold(Truth::Yes, Truth::and),
            (Set::Any, found) => found.iter().filter(|text| !text.is_empty()).map(fits).fold(Truth::No, Truth::or),
            (Set::TheOne, []) => self.negated.into(),
            (Set::TheOne, [found]) => fits(found),
            // For this AWS wants a set operator, and does not say what comes of it without one.
            (Set::TheOne, _) => Truth::Unknown,
        }
    }
}

impl Test {
    fn fits(self, found: &str, wanted: &str, context: &Context, variables: bool) -> Truth {
        let variables = variables.then_some(context);
        match self {
            Self::Equal => like(&pattern::read(wanted, variables, false), found),
            Self::Like => like(&pattern::read(wanted, variables, true), found),
            Self::EqualInAnyCase | Self::Bool => {
                let found = found.to_lowercase();
                let is_bool = self != Self::Bool || ["true", "false"].contains(&found.as_str());
                let wanted = match pattern::read(wanted, variables, false) {
                    Wanted::Pattern(pieces) => Wanted::Pattern(pieces.into_iter().flat_map(lowercase).collect()),
                    other => other,
                };
                if is_bool { like(&wanted, &found) } else { Truth::No }
            }
            Self::Arn => arn(found, wanted, variables),
            Self::Number(order) => order.holds(values::number(found), values::number(wanted)).into(),
            Self::Date(order) => order.holds(values::date(found), values::date(wanted)).into(),
            Self::Binary => (values::base64(found.as_bytes()) == wanted).into(),
            Self::Address => values::is_in_range(found, wanted).into(),
            Self::Null => Truth::No,
        }
    }
}

fn lowercase(piece: pattern::Piece) -> Vec<pattern::Piece> {
    match piece {
        pattern::Piece::Character(character) => character.to_lowercase().map(pattern::Piece::Character).collect(),
        other => vec![other],
    }
}

fn like(wanted: &Wanted, found: &str) -> Truth {
    match wanted {
        Wanted::Pattern(pieces) => pattern::is_like(pieces, found).into(),
        Wanted::Nothing => Truth::No,
        Wanted::Unknown => Truth::Unknown,
    }
}

/// The six parts of an ARN each for itself.
fn arn(found: &str, wanted: &str, variables: Option<&Context>) -> Truth {
    let parts = |arn: &str| -> Vec<String> { arn.splitn(6, ':').map(str::to_owned).collect() };
    let (found, wanted) = (parts(found), parts(wanted));
    if found.len() != 6 || wanted.len() != 6 {
        return Truth::No;
    }
    let pairs = found.iter().zip(&wanted);
    pairs.map(|(found, wanted)| like(&pattern::read(wanted, variables, true), found)).fold(Truth::Yes, Truth::and)
}

impl Order {
    fn holds(self, found: Option<f64>, wanted: Option<f64>) -> bool {
        let order = found.zip(wanted).and_then(|(found, wanted)| found.partial_cmp(&wanted));
        order.is_some_and(|order| match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        })
    }
}
