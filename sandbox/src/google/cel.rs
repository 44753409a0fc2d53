//! As much of the [Common Expression Language](https://github.com/google/cel-spec) as attribute mappings and
//! conditions are written in: `?:`, `||`, `&&`, comparisons, `in`, `+`, `!`, fields, indices, lists, and the functions
//! `contains`, `startsWith`, `endsWith`, `size`, `split` and Google's `extract`.

use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    Literal(Value),
    Name(String),
    List(Vec<Self>),
    Field(Box<Self>, String),
    Index(Box<Self>, Box<Self>),
    Call(Box<Self>, String, Vec<Self>),
    Not(Box<Self>),
    Binary(&'static str, Box<Self>, Box<Self>),
    Choice(Box<Self>, Box<Self>, Box<Self>),
}

use Expression::{Binary, Call, Choice, Field, Index, List, Literal, Name, Not};

/// From the loosest to the tightest.
const LEVELS: [&[&str]; 4] = [&["||"], &["&&"], &["==", "!=", "in"], &["+"]];

pub(crate) fn parse(text: &str) -> Result<Expression, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let expression = parser.choice()?;
    match parser.peek() {
        None => Ok(expression),
        Some(token) => Err(format!("\"{text}\": {} is not expected", token.shown())),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Symbol(&'static str),
    Word(String),
    Value(Value),
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Self::Symbol(symbol) => symbol.to_string(),
            Self::Word(word) => word.clone(),
            Self::Value(value) => value.to_string(),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    const SYMBOLS: [&str; 14] = ["||", "&&", "==", "!=", "?", ":", "!", "+", ".", ",", "(", ")", "[", "]"];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = if first == '\'' || first == '"' {
            let end = rest[1..].find(first).ok_or_else(|| format!("\"{text}\": a text without an end"))?;
            tokens.push(Token::Value(json!(rest[1..=end])));
            end + 2
        } else if word(first) {
            let length = rest.find(|c| !word(c)).unwrap_or(rest.len());
            tokens.push(match &rest[..length] {
                "true" => Token::Value(json!(true)),
                "false" => Token::Value(json!(false)),
                "in" => Token::Symbol("in"),
                name => name.parse::<i64>().map_or_else(|_| Token::Word(name.into()), |n| Token::Value(json!(n))),
            });
            length
        } else {
            let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
            let symbol = symbol.ok_or_else(|| format!("\"{text}\": {first} is not expected"))?;
            tokens.push(Token::Symbol(symbol));
            symbol.len()
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn takes(&mut self, symbol: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Symbol(found)) if *found == symbol);
        self.at += usize::from(is_it);
        is_it
    }

    fn wants(&mut self, symbol: &str) -> Result<(), String> {
        if self.takes(symbol) { Ok(()) } else { Err(format!("{symbol} is wanted after {}", self.before())) }
    }

    /// The token before this place, for a message.
    fn before(&self) -> String {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or("the beginning".into(), Token::shown)
    }

    fn choice(&mut self) -> Result<Expression, String> {
        let condition = self.binary(0)?;
        if !self.takes("?") {
            return Ok(condition);
        }
        let yes = self.choice()?;
        self.wants(":")?;
        Ok(Choice(condition.into(), yes.into(), self.choice()?.into()))
    }

    fn binary(&mut self, level: usize) -> Result<Expression, String> {
        let Some(operators) = LEVELS.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = operators.iter().find(|operator| self.takes(operator)) {
            left = Binary(operator, left.into(), self.binary(level + 1)?.into());
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expression, String> {
        if self.takes("!") {
            return Ok(Not(self.unary()?.into()));
        }
        let mut expression = self.primary()?;
        loop {
            if self.takes("[") {
                expression = Index(expression.into(), self.choice()?.into());
                self.wants("]")?;
            } else if self.takes(".") {
                let name = match self.peek() {
                    Some(Token::Word(name)) => name.clone(),
                    _ => return Err(format!("a name is wanted after {}", self.before())),
                };
                self.at += 1;
                expression = if self.takes("(") {
                    Call(expression.into(), name, self.list(")")?)
                } else {
                    Field(expression.into(), name)
                };
            } else {
                return Ok(expression);
            }
        }
    }

    fn primary(&mut self) -> Result<Expression, String> {
        if self.takes("(") {
            let inner = self.choice()?;
            self.wants(")")?;
            return Ok(inner);
        }
        if self.takes("[") {
            return Ok(List(self.list("]")?));
        }
        let expression = match self.peek() {
            Some(Token::Value(value)) => Literal(value.clone()),
            Some(Token::Word(name)) => Name(name.clone()),
            _ => return Err(format!("something is wanted after {}", self.before())),
        };
        self.at += 1;
        Ok(expression)
    }

    fn list(&mut self, end: &str) -> Result<Vec<Expression>, String> {
        let mut items = Vec::new();
        while !self.takes(end) {
            if !items.is_empty() {
                self.wants(",")?;
            }
            items.push(self.choice()?);
        }
        Ok(items)
    }
}

impl Expression {
    /// What it comes to, with these names.
    pub(crate) fn value(&self, names: &Value) -> Result<Value, String> {
        Ok(match self {
            Literal(value) => value.clone(),
            Name(name) => names.get(name).cloned().ok_or_else(|| format!("nothing is called {name}"))?,
            List(items) => items.iter().map(|item| item.value(names)).collect::<Result<_, _>>()?,
            Field(of, name) => of.value(names)?.get(name).cloned().ok_or_else(|| format!("no such key: {name}"))?,
            Index(of, at) => {
                let (of, at) = (of.value(names)?, at.value(names)?);
                let found = match &at {
                    Value::String(key) => of.get(key),
                    other => other.as_u64().and_then(|at| of.get(at as usize)),
                };
                found.cloned().ok_or_else(|| format!("no such key: {at}"))?
            }
            Call(of, name, arguments) => {
                let arguments = arguments.iter().map(|argument| argument.value(names));
                call(&of.value(names)?, name, &arguments.collect::<Result<Vec<_>, _>>()?)?
            }
            Not(inner) => json!(!inner.holds(names)?),
            Binary("||", left, right) => json!(left.holds(names)? || right.holds(names)?),
            Binary("&&", left, right) => json!(left.holds(names)? && right.holds(names)?),
            Binary(operator, left, right) => {
                let (left, right) = (left.value(names)?, right.value(names)?);
                match *operator {
                    "==" => json!(left == right),
                    "!=" => json!(left != right),
                    "in" => match &right {
                        Value::Array(items) => json!(items.contains(&left)),
                        Value::Object(keys) => json!(left.as_str().is_some_and(|key| keys.contains_key(key))),
                        _ => return Err("in wants a list or a map".into()),
                    },
                    _ => json!(text(&left)?.to_string() + text(&right)?),
                }
            }
            Choice(condition, yes, no) => if condition.holds(names)? { yes } else { no }.value(names)?,
        })
    }

    /// Whether it is true; what is neither true nor false is an error.
    pub(crate) fn holds(&self, names: &Value) -> Result<bool, String> {
        self.value(names)?.as_bool().ok_or_else(|| "true or false is wanted".into())
    }
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("a text is wanted, not {value}"))
}

fn call(of: &Value, name: &str, arguments: &[Value]) -> Result<Value, String> {
    if let (Value::Array(items), "size", []) = (of, name, arguments) {
        return Ok(json!(items.len()));
    }
    let own = text(of)?;
    let one = || match arguments {
        [one] => text(one),
        _ => Err(format!("{name} wants one argument")),
    };
    Ok(match name {
        "contains" => json!(own.contains(one()?)),
        "startsWith" => json!(own.starts_with(one()?)),
        "endsWith" => json!(own.ends_with(one()?)),
        "split" => own.split(one()?).collect(),
        "size" => json!(own.chars().count()),
        "extract" => json!(extract(own, one()?)?),
        _ => return Err(format!("no function is called {name}")),
    })
}

/// What stands in the place of `{name}`; nothing if the rest does not fit.
fn extract<'t>(text: &'t str, template: &str) -> Result<&'t str, String> {
    let (before, rest) = template.split_once('{').ok_or("extract wants a template with {name}")?;
    let (_, after) = rest.split_once('}').ok_or("extract wants a template with {name}")?;
    let Some((_, rest)) = text.split_once(before) else {
        return Ok("");
    };
    if after.is_empty() {
        return Ok(rest);
    }
    Ok(rest.split_once(after).map_or("", |(found, _)| found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_to_what_google_says() {
        let names = json!({
            "assertion": {"arn": "arn:aws:sts::1:assumed-role/r/s", "account": "1", "aud": ["a", "b"],
                          "https://x/": {"y": "z"}},
            "attribute": {"aws_role": "arn:aws:sts::1:assumed-role/r"},
        });
        for (expression, value) in [
            ("assertion.arn", json!("arn:aws:sts::1:assumed-role/r/s")),
            (super::super::attributes::AWS_ROLE, json!("arn:aws:sts::1:assumed-role/r")),
            ("assertion['https://x/'].y + \"!\"", json!("z!")),
            ("assertion.aud[1]", json!("b")),
            ("assertion.account == '1' && !(assertion.account in ['2', '3'])", json!(true)),
            ("'account' in assertion && 'b' in assertion.aud", json!(true)),
            ("attribute.aws_role != 'x' || nothing.at.all", json!(true)),
            ("attribute.aws_role.startsWith('arn:aws:') == attribute.aws_role.endsWith('/q')", json!(false)),
            ("'a/b'.split('/').size() + 1 == 3 ? 1 : 2", json!(null)),
            ("'a/b/c'.extract('/{x}')", json!("b/c")),
            ("'a/b/c'.extract('{x}/')", json!("a")),
            ("'a/b/c'.extract('-{x}/')", json!("")),
            ("'a/b'.split('/').size() == 2 && 'ab'.size() == 2", json!(true)),
        ] {
            let found = parse(expression).unwrap().value(&names);
            if value.is_null() {
                assert!(found.is_err(), "{expression}: {found:?}");
            } else {
                assert_eq!(found.unwrap(), value, "{expression}");
            }
        }
    }

    #[test]
    fn says_what_it_does_not_understand() {
        for wrong in ["", "a b", "a ==", "'a", "a.", "a.b(", "(a", "a ? b", "[a", "a # b", "a['b'"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        for wrong in
            ["a", "true.b", "'a'.what()", "'a'.contains()", "'a' in 'b'", "!'a'", "1 + 'a'", "'a'.extract('b')"]
        {
            assert!(parse(wrong).unwrap().value(&json!({})).is_err(), "{wrong}");
        }
    }
}
