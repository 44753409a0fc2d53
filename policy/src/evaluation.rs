//! From a policy, a caller and a context to a verdict: every statement that applies counts, one that denies above all.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html>

use crate::caller::Caller;
use crate::condition::Truth;
use crate::context::{Context, Found};
use crate::document::{Effect, Policy, Statement};
use crate::pattern;

/// What comes of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A statement lets the caller in, and none keeps it out.
    Admitted,
    /// A statement keeps it out.
    Denied,
    /// No statement lets it in.
    NotAllowed,
    /// That depends on what nobody here knows.
    Undecided,
}

/// A verdict with its reasons.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The verdict.
    pub verdict: Verdict,
    /// What each statement came to.
    pub statements: Vec<Outcome>,
}

/// What one statement came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its name, if it has one.
    pub sid: Option<String>,
    /// What it does where it applies.
    pub effect: Effect,
    /// Whether it applies.
    pub applies: Truth,
    /// Each of its elements.
    pub checks: Vec<Check>,
}

/// What one element of a statement came to.
#[derive(Clone, Debug)]
pub struct Check {
    /// Which.
    pub element: Element,
    /// Whether it fits.
    pub holds: Truth,
    /// What the policy names.
    pub wants: Vec<String>,
    /// What the caller has.
    pub has: Found,
}

/// An element of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// `Principal`, or `NotPrincipal`.
    Principal(&'static str),
    /// `Action`, or `NotAction`.
    Action(&'static str),
    /// A condition.
    Condition {
        /// The operator as it is written.
        operator: String,
        /// The key as it is written.
        key: String,
    },
}

/// What the policy says to `caller` who wants to do `action`.
pub fn evaluate(policy: &Policy, caller: &Caller, action: &str, context: &Context) -> Evaluation {
    let outcome = |statement| outcome(statement, policy.has_variables, caller, action, context);
    let statements: Vec<Outcome> = policy.statements.iter().map(outcome).collect();
    let any = |effect| {
        let of_effect = statements.iter().filter(|outcome| outcome.effect == effect);
        of_effect.map(|outcome| outcome.applies).fold(Truth::No, Truth::or)
    };
    let verdict = match (any(Effect::Deny), any(Effect::Allow)) {
        (Truth::Yes, _) => Verdict::Denied,
        (_, Truth::No) => Verdict::NotAllowed,
        (Truth::No, Truth::Yes) => Verdict::Admitted,
        _ => Verdict::Undecided,
    };
    Evaluation { verdict, statements }
}

fn outcome(statement: &Statement, variables: bool, caller: &Caller, action: &str, context: &Context) -> Outcome {
    let principals = &statement.principals;
    let is_named = principals.names.iter().any(|(kind, name)| caller.is(kind, name));
    let actions = &statement.actions;
    let is_action = actions.patterns.iter().any(|pattern| pattern::is_like_in_any_case(pattern, action));
    let mut checks = vec![
        Check {
            element: Element::Principal(if principals.negated { "NotPrincipal" } else { "Principal" }),
            holds: (is_named != principals.negated).into(),
            wants: principals.names.iter().map(|(kind, name)| format!("{kind} {name}")).collect(),
            has: Found::Values(vec![format!("{} {}", caller.kind(), caller.name())]),
        },
        Check {
            element: Element::Action(if actions.negated { "NotAction" } else { "Action" }),
            holds: (is_action != actions.negated).into(),
            wants: actions.patterns.clone(),
            has: Found::Values(vec![action.into()]),
        },
    ];
    for condition in &statement.conditions {
        let has = context.find(&condition.key);
        checks.push(Check {
            element: Element::Condition { operator: condition.name.clone(), key: condition.key.clone() },
            holds: condition.operator.holds(&has, &condition.values, context, variables),
            wants: condition.values.clone(),
            has,
        });
    }
    let applies = checks.iter().map(|check| check.holds).fold(Truth::Yes, Truth::and);
    Outcome { sid: statement.sid.clone(), effect: statement.effect, applies, checks }
}

impl Evaluation {
    /// What was not known and would decide, in the order of the policy.
    pub fn unknown(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = Vec::new();
        let undecided = self.statements.iter().filter(|outcome| outcome.applies == Truth::Unknown);
        for check in undecided.flat_map(|outcome| &outcome.checks).filter(|check| check.holds == Truth::Unknown) {
            if let Element::Condition { key, .. } = &check.element
                && !keys.contains(&key.as_str())
            {
                keys.push(key);
            }
        }
        keys
    }

    /// Why the caller is not let in, in one line; nothing where it is.
    pub fn reason(&self, source: &str) -> String {
        let why = |outcome: &Outcome| {
            let failed = outcome.checks.iter().find(|check| check.holds != Truth::Yes)?;
            Some(failed.sentence(source, &|text| format!("\"{text}\"")))
        };
        match self.verdict {
            Verdict::Admitted => String::new(),
            Verdict::Denied => "a statement denies it".into(),
            Verdict::NotAllowed | Verdict::Undecided => {
                let allowing = self.statements.iter().filter(|outcome| outcome.effect == Effect::Allow);
                allowing.filter_map(why).collect::<Vec<_>>().join("; ")
            }
        }
    }
}

impl Check {
    /// What is wanted and what `source`, a token or a request, has; values as `show` shows them.
    pub fn sentence(&self, source: &str, show: &dyn Fn(&str) -> String) -> String {
        format!("{} wants {}, the {source} has {}", self.element.name(), any_of(&self.wants, show), self.has.text(show))
    }
}

impl Element {
    /// As a policy has it.
    pub fn name(&self) -> String {
        match self {
            Self::Principal(name) | Self::Action(name) => (*name).into(),
            Self::Condition { operator, key } => format!("{operator} {key}"),
        }
    }
}

impl Found {
    /// The values as `show` shows them.
    pub fn text(&self, show: &dyn Fn(&str) -> String) -> String {
        match self {
            Self::Values(values) => values.iter().map(|value| show(value)).collect::<Vec<_>>().join(", "),
            Self::Absent => "nothing".into(),
            Self::Unknown => "what is not known here".into(),
        }
    }
}

/// Texts, one of which is enough.
pub fn any_of(texts: &[String], show: &dyn Fn(&str) -> String) -> String {
    match texts {
        [] => "nothing".into(),
        texts => texts.iter().map(|text| show(text)).collect::<Vec<_>>().join(" or "),
    }
}
