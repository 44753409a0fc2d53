//! A policy as it is written, and what AWS refuses to store:
//! [elements](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html),
//! [grammar](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html).

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use crate::condition::Operator;
use crate::duplicates;

/// A policy that AWS would store.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whether its version knows variables.
    pub(crate) has_variables: bool,
    pub(crate) statements: Vec<Statement>,
    pub(crate) document: Value,
}

/// One statement.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub sid: Option<String>,
    pub effect: Effect,
    pub principals: Principals,
    pub actions: Actions,
    pub conditions: Vec<Condition>,
}

/// What a statement that applies does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Lets the caller in, unless another one does not.
    Allow,
    /// Keeps the caller out, whatever others say.
    Deny,
}

impl Effect {
    /// As policies write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
        }
    }
}

/// `Principal` or `NotPrincipal`: kinds with names.
#[derive(Clone, Debug)]
pub(crate) struct Principals {
    pub negated: bool,
    pub names: Vec<(String, String)>,
}

/// `Action` or `NotAction`.
#[derive(Clone, Debug)]
pub(crate) struct Actions {
    pub negated: bool,
    pub patterns: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub operator: Operator,
    /// The operator as it is written.
    pub name: String,
    pub key: String,
    pub values: Vec<String>,
}

/// Why a text is no trust policy. It quotes names of elements, operators and keys, and no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

type Result<T> = std::result::Result<T, Refusal>;

fn refuse<T>(why: impl Into<String>) -> Result<T> {
    Err(Refusal(why.into()))
}

/// Reads JSON in which no key stands twice.
///
/// # Errors
/// Where it is none.
pub fn json(text: &str) -> Result<Value> {
    let value = serde_json::from_str(text).map_err(|error| {
        let what = if error.is_eof() { "is cut short" } else { "is no JSON" };
        Refusal(format!("it {what} (line {}, column {})", error.line(), error.column()))
    })?;
    match duplicates::first(text) {
        Some((key, line)) => refuse(format!(
            "{} stands twice in one object (again in line {line}): AWS refuses that, and others forget the first one",
            name(&key)
        )),
        None => Ok(value),
    }
}

/// A name from outside, as far as it is one.
fn name(text: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.:/@".contains(c);
    if !text.is_empty() && text.len() <= 200 && text.chars().all(is_name) {
        format!("\"{text}\"")
    } else {
        format!("a name of {} characters", text.chars().count())
    }
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// What AWS would refuse.
    pub fn parse(text: &str) -> Result<Self> {
        Self::from_value(&json(text)?)
    }

    /// The same, of a document that was read as JSON.
    ///
    /// # Errors
    /// The same.
    pub fn from_value(document: &Value) -> Result<Self> {
        let Some(policy) = document.as_object() else { return refuse("a policy is a JSON object") };
        only(policy, &["Version", "Id", "Statement"], "the policy")?;
        let has_variables = match policy.get("Version").map(Value::as_str) {
            None | Some(Some("2008-10-17")) => false,
            Some(Some("2012-10-17")) => true,
            Some(_) => return refuse("Version is \"2012-10-17\" (or, without variables, \"2008-10-17\")"),
        };
        let Some(statements) = policy.get("Statement").map(list).filter(|list| !list.is_empty()) else {
            return refuse("a policy has a Statement");
        };
        let mut all = Vec::new();
        for (number, statement) in (1..).zip(statements) {
            let read = Statement::read(statement);
            all.push(read.map_err(|Refusal(why)| Refusal(format!("statement {number}: {why}")))?);
        }
        let mut sids = BTreeSet::new();
        if let Some(sid) = all.iter().filter_map(|statement| statement.sid.as_ref()).find(|sid| !sids.insert(*sid)) {
            return refuse(format!("two statements have the Sid {}", name(sid)));
        }
        Ok(Self { has_variables, statements: all, document: document.clone() })
    }

    /// The document.
    pub fn document(&self) -> &Value {
        &self.document
    }
}

impl Statement {
    fn read(statement: &Value) -> Result<Self> {
        let Some(statement) = statement.as_object() else { return refuse("it is no JSON object") };
        if let Some(key) = ["Resource", "NotResource"].iter().find(|key| statement.contains_key(**key)) {
            return refuse(format!("AWS takes no {key} in a trust policy: it is the role that the policy belongs to"));
        }
        let known = ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Condition"];
        only(statement, &known, "a statement")?;
        let sid = match statement.get("Sid") {
            None => None,
            Some(Value::String(sid)) => Some(sid.clone()).filter(|sid| !sid.is_empty()),
            Some(_) => return refuse("Sid is a text"),
        };
        let effect = match statement.get("Effect").and_then(Value::as_str) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => return refuse("Effect is \"Allow\" or \"Deny\""),
        };
        let (negated, principal) = either(statement, "Principal", "NotPrincipal")?;
        let principals = Principals { negated, names: principals(principal)? };
        let (negated, action) = either(statement, "Action", "NotAction")?;
        let actions = Actions { negated, patterns: texts(action, "Action is a text or a list of them")? };
        Ok(Self { sid, effect, principals, actions, conditions: conditions(statement.get("Condition"))? })
    }
}

/// The one of two elements that is there, and whether that is the second one.
fn either<'a>(statement: &'a Map<String, Value>, name: &str, negated: &str) -> Result<(bool, &'a Value)> {
    match (statement.get(name), statement.get(negated)) {
        (Some(value), None) => Ok((false, value)),
        (None, Some(value)) => Ok((true, value)),
        (None, None) => refuse(format!("a statement of a trust policy has {name} or {negated}")),
        (Some(_), Some(_)) => refuse(format!("{name} and {negated} exclude each other")),
    }
}

fn principals(principal: &Value) -> Result<Vec<(String, String)>> {
    match principal {
        Value::String(all) if all == "*" => Ok(vec![("AWS".into(), "*".into())]),
        Value::Object(kinds) => {
            only(kinds, &["AWS", "Federated", "Service", "CanonicalUser"], "a principal")?;
            let mut names = Vec::new();
            for (kind, value) in kinds {
                let of_kind = texts(value, "the names of a principal are texts")?;
                names.extend(of_kind.into_iter().map(|name| (kind.clone(), name)));
            }
            Ok(names)
        }
        _ => refuse("a principal is \"*\", or an object like {\"Federated\": \"accounts.google.com\"}"),
    }
}

fn conditions(condition: Option<&Value>) -> Result<Vec<Condition>> {
    let operators = match condition {
        None => return Ok(Vec::new()),
        Some(Value::Object(operators)) => operators,
        Some(_) => return refuse("Condition is an object of operators"),
    };
    let mut all = Vec::new();
    for (written, keys) in operators {
        let Some(operator) = Operator::parse(written) else {
            return refuse(format!("there is no condition operator {}", name(written)));
        };
        let Some(keys) = keys.as_object() else {
            return refuse(format!("{} holds an object of keys", name(written)));
        };
        for (key, values) in keys {
            let why = format!("the values of {} are texts, numbers or booleans", name(key));
            let values = list(values).into_iter().map(text).collect::<Option<_>>().ok_or(Refusal(why))?;
            all.push(Condition { operator, name: written.clone(), key: key.clone(), values });
        }
    }
    Ok(all)
}

/// Refuses a key that is not known; AWS would say of the policy that it has syntax errors.
fn only(object: &Map<String, Value>, known: &[&str], what: &str) -> Result<()> {
    let Some(other) = object.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    let meant = known.iter().find(|known| known.eq_ignore_ascii_case(other));
    let meant = meant.map(|known| format!("; it is written {known}")).unwrap_or_default();
    refuse(format!("{what} has no {}{meant}", name(other)))
}

fn texts(value: &Value, why: &str) -> Result<Vec<String>> {
    let texts: Option<Vec<String>> = list(value).into_iter().map(|item| item.as_str().map(str::to_owned)).collect();
    texts.filter(|texts| !texts.is_empty()).ok_or_else(|| Refusal(why.into()))
}

/// A field of an object; null where there is none.
pub(crate) fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// One value, or several.
pub(crate) fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    }
}

/// A value that is compared as a text.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}
