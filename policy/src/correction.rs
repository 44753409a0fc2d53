//! The nearest change to a policy that admits a token.
//!
//! That is the statement with the fewest elements that fail, each corrected: a value that the token has under another key
//! gets that key, another one becomes the token's. A condition that this request cannot meet goes, but never so that
//! everybody of the issuer is let in: then the token's subject comes in. A statement that denies gets an exception. What
//! comes out is evaluated again; where that is still no, the token gets a statement of its own.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::caller::Caller;
use crate::condition::{Operator, Truth};
use crate::context::{Context, Found};
use crate::document::{Effect, Policy, field, list, text};
use crate::evaluation::{Check, Element, Evaluation, Outcome, Verdict, evaluate};
use crate::web_identity;

/// A corrected policy, and what was changed in it.
#[derive(Clone, Debug)]
pub struct Correction {
    /// The changes, statement by statement.
    pub changes: Vec<Change>,
    /// The whole policy.
    pub policy: Value,
    /// Whether that admits the token, as far as one can know.
    pub admits: bool,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// In which statement, from 1.
    pub statement: usize,
    /// What is changed: an element, or an operator and a key.
    pub place: Vec<String>,
    /// How.
    pub kind: Kind,
}

/// How something is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It becomes this, or this comes to it.
    Value(Vec<String>),
    /// It becomes this key, with these values where they change too.
    Key(String, Vec<String>),
    /// These values go.
    Without(Vec<String>),
    /// It goes: this request does not meet it.
    Removed,
    /// It comes in, so that not everybody is let in.
    Added(String),
    /// It comes in, so that the statement does not deny this.
    Exception(String),
    /// The statement is new.
    New,
}

impl Change {
    /// In words; values as `show` shows them, names of elements, operators and keys as `name` does.
    pub fn text(&self, show: &dyn Fn(&str) -> String, name: &dyn Fn(&str) -> String) -> String {
        let place = self.place.iter().map(|word| name(word)).collect::<Vec<_>>().join(" ");
        let all = |values: &[String]| values.iter().map(|value| show(value)).collect::<Vec<_>>().join(", ");
        match &self.kind {
            Kind::Value(values) => format!("{place} has to name {}", all(values)),
            Kind::Key(key, values) if values.is_empty() => {
                format!("{place} has to be {}: there AWS sees that value", name(key))
            }
            Kind::Key(key, values) => format!("{place} has to be {}, with {}", name(key), all(values)),
            Kind::Without(values) => format!("{place} must not name {}", all(values)),
            Kind::Removed => format!("{place} goes: this request does not meet it"),
            Kind::Added(value) => format!("{place} comes in, so that not everybody is let in: {}", show(value)),
            Kind::Exception(value) => format!("{place} comes in, so that it is not denied: {}", show(value)),
            Kind::New => "new, for this token".into(),
        }
    }
}

/// The nearest change by which `policy`, which came to `evaluation`, admits the token of these claims.
pub fn nearest(
    policy: &Policy,
    evaluation: &Evaluation,
    claims: &Value,
    caller: &Caller,
    context: &Context,
    action: &str,
) -> Correction {
    let issuer = web_identity::issuer(claims);
    let mut statements: Vec<Value> = list(field(&policy.document, "Statement")).into_iter().cloned().collect();
    let mut changes = Vec::new();
    let edit = |statement: &mut Value, edit: &mut dyn FnMut(&mut Draft) -> Vec<Change>| {
        let mut draft = Draft::new(issuer, context, statement);
        let changes = edit(&mut draft);
        *statement = draft.finish();
        changes
    };
    for (number, (outcome, statement)) in (1..).zip(evaluation.statements.iter().zip(&mut statements)) {
        if outcome.effect == Effect::Deny && outcome.applies == Truth::Yes {
            let made = edit(statement, &mut |draft| draft.except().into_iter().collect());
            changes.extend(made.into_iter().map(|change| Change { statement: number, ..change }));
        }
    }
    let build = |statements: &[Value], changes: &[Change]| {
        let mut document = policy.document.clone();
        if let Some(fields) = document.as_object_mut() {
            fields.insert("Statement".into(), Value::Array(statements.to_vec()));
        }
        let verdict = Policy::from_value(&document).map(|policy| evaluate(&policy, caller, action, context).verdict);
        let admits = matches!(verdict, Ok(Verdict::Admitted | Verdict::Undecided));
        Correction { changes: changes.to_vec(), policy: document, admits }
    };
    let with_exceptions = build(&statements, &changes);
    if with_exceptions.admits {
        return with_exceptions;
    }
    let failures = |outcome: &Outcome| outcome.checks.iter().filter(|check| check.holds == Truth::No).count();
    let candidates = evaluation.statements.iter().enumerate();
    let near = candidates
        .filter(|(_, outcome)| outcome.effect == Effect::Allow && outcome.is_about(issuer))
        .min_by_key(|(_, outcome)| failures(outcome));
    if let Some((at, outcome)) = near {
        let (mut statements, mut changes) = (statements.clone(), changes.clone());
        if let Some(statement) = statements.get_mut(at) {
            let made = edit(statement, &mut |draft| draft.correct(outcome, caller, action));
            let number = at.saturating_add(1);
            changes.extend(made.into_iter().map(|change| Change { statement: number, ..change }));
        }
        let corrected = build(&statements, &changes);
        if corrected.admits {
            return corrected;
        }
    }
    statements.push(web_identity::statement(claims, caller));
    changes.push(Change { statement: statements.len(), place: Vec::new(), kind: Kind::New });
    build(&statements, &changes)
}

impl Outcome {
    /// Whether somebody meant this issuer.
    fn is_about(&self, issuer: &str) -> bool {
        self.checks.iter().any(|check| match &check.element {
            Element::Principal(_) => check.holds == Truth::Yes || check.wants.iter().any(|name| mentions(name, issuer)),
            Element::Action(_) => false,
            Element::Condition { key, .. } => mentions(key, issuer),
        })
    }
}

/// Whether a text has the issuer's host in it.
fn mentions(text: &str, issuer: &str) -> bool {
    let host = issuer.split('/').next().unwrap_or_default().to_lowercase();
    !host.is_empty() && text.to_lowercase().contains(&host)
}

/// A statement on which work is done.
struct Draft<'a> {
    issuer: &'a str,
    context: &'a Context,
    statement: Map<String, Value>,
    condition: BTreeMap<String, Map<String, Value>>,
}

/// A change in a statement whose number is not said yet.
fn change(place: &[&str], kind: Kind) -> Change {
    Change { statement: 0, place: place.iter().map(|word| (*word).to_owned()).collect(), kind }
}

impl<'a> Draft<'a> {
    fn new(issuer: &'a str, context: &'a Context, statement: &Value) -> Self {
        let statement = statement.as_object().cloned().unwrap_or_default();
        let operators = statement.get("Condition").and_then(Value::as_object).into_iter().flatten();
        let operators = operators.map(|(name, keys)| (name.clone(), keys.as_object().cloned().unwrap_or_default()));
        Self { issuer, context, condition: operators.collect(), statement }
    }

    fn finish(mut self) -> Value {
        self.statement.remove("Condition");
        let operators = self.condition.into_iter().filter(|(_, keys)| !keys.is_empty());
        let operators: Map<_, _> = operators.map(|(name, keys)| (name, Value::Object(keys))).collect();
        if !operators.is_empty() {
            self.statement.insert("Condition".into(), Value::Object(operators));
        }
        Value::Object(self.statement)
    }

    /// Has the statement admit the caller.
    fn correct(&mut self, outcome: &Outcome, caller: &Caller, action: &str) -> Vec<Change> {
        let mut changes = Vec::new();
        for check in outcome.checks.iter().filter(|check| check.holds == Truth::No) {
            changes.push(match &check.element {
                Element::Principal(name) => change(&[name], self.name(caller)),
                Element::Action(name) => change(&[name], self.allow(action)),
                Element::Condition { operator, key } => change(&[operator, key], self.meet(check, operator, key)),
            });
        }
        changes.extend(self.stay_narrow());
        changes
    }

    fn name(&mut self, caller: &Caller) -> Kind {
        self.statement.remove("NotPrincipal");
        let principal = self.statement.remove("Principal");
        let mut kinds = principal.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        let names = kinds.remove(caller.kind()).unwrap_or_else(|| json!([]));
        // What means the same and is written otherwise is replaced.
        let others = list(&names).into_iter().filter_map(text).filter(|name| !mentions(name, self.issuer));
        let names = others.chain([caller.name().to_owned()]).collect();
        kinds.insert(caller.kind().into(), one_or_many(names));
        self.statement.insert("Principal".into(), Value::Object(kinds));
        Kind::Value(vec![format!("{} {}", caller.kind(), caller.name())])
    }

    fn allow(&mut self, action: &str) -> Kind {
        self.statement.remove("NotAction");
        let actions = self.statement.remove("Action").unwrap_or_else(|| json!([]));
        let actions = list(&actions).into_iter().filter_map(text).chain([action.to_owned()]).collect();
        self.statement.insert("Action".into(), one_or_many(actions));
        Kind::Value(vec![action.into()])
    }

    /// Has a condition hold.
    fn meet(&mut self, check: &Check, written: &str, key: &str) -> Kind {
        let Some(operator) = Operator::parse(written) else { return Kind::Removed };
        let other = if operator.is_equality() { self.other_key(operator, check, key) } else { None };
        let keys = self.condition.entry(written.into()).or_default();
        let before = keys.remove(key).unwrap_or_default();
        if operator.is_negated() {
            let holds = |value: &String| {
                operator.holds(&check.has, std::slice::from_ref(value), self.context, true) == Truth::Yes
            };
            let (stay, go): (Vec<String>, Vec<String>) = check.wants.iter().cloned().partition(holds);
            if !stay.is_empty() {
                keys.insert(key.into(), one_or_many(stay));
            }
            return Kind::Without(go);
        }
        if let Some((other, values)) = other {
            let value = if values.is_empty() { before } else { one_or_many(values.clone()) };
            keys.entry(other.as_str()).or_insert(value);
            return Kind::Key(other, values);
        }
        match &check.has {
            Found::Values(values) if operator.is_equality() => {
                // Others of a list are others who are let in.
                let mut all = if before.is_array() { check.wants.clone() } else { Vec::new() };
                all.extend(values.iter().filter(|value| !check.wants.contains(value)).cloned());
                keys.insert(key.into(), one_or_many(all));
                Kind::Value(values.clone())
            }
            _ => Kind::Removed,
        }
    }

    /// A key of this issuer that is meant: the one that is written so that AWS does not know it, or one under which the
    /// request has what is wanted. With the request's values, where it has others.
    fn other_key(&self, operator: Operator, check: &Check, key: &str) -> Option<(String, Vec<String>)> {
        let full = |name: &str| format!("{}:{name}", self.issuer);
        let is_other = |name: &&str| !full(name).eq_ignore_ascii_case(key);
        let fits = |name: &&str| {
            let found = self.context.find(&full(name));
            operator.holds(&found, &check.wants, self.context, true) == Truth::Yes
        };
        let written = key.rsplit_once(':').filter(|(of, _)| check.has == Found::Absent && mentions(of, self.issuer));
        let meant = written.map(|(_, claim)| if claim.eq_ignore_ascii_case("azp") { "aud" } else { claim });
        let meant = meant.filter(|claim| ["aud", "oaud", "sub", "email"].contains(claim)).filter(is_other);
        if let Some(name) = meant.into_iter().chain(["oaud", "aud", "sub"]).filter(is_other).find(fits) {
            return Some((full(name), Vec::new()));
        }
        match self.context.find(&full(meant?)) {
            Found::Values(values) => Some((full(meant?), values)),
            Found::Absent | Found::Unknown => None,
        }
    }

    /// Puts the subject in where nothing else tells one identity of this issuer from another: an audience is what whoever
    /// asks for a token wants it to be.
    fn stay_narrow(&mut self) -> Option<Change> {
        let full = |name: &str| format!("{}:{name}", self.issuer).to_lowercase();
        let value = self.context.single(&full("sub"))?;
        // A service account's own number, where it is no audience.
        let is_party = self.context.find(&full("aud")) != self.context.find(&full("oaud"));
        let is_narrow = |key: &String| {
            let key = key.to_lowercase();
            let claim = key.strip_prefix(&full("")).unwrap_or_default();
            ["sub", "email", "repository"].contains(&claim) || claim.ends_with("_id") || (claim == "aud" && is_party)
        };
        let mut positive = self.condition.iter().filter(|(name, _)| {
            Operator::parse(name).is_some_and(|operator| !operator.is_negated() && !operator.is_null())
        });
        if positive.any(|(_, keys)| keys.keys().any(is_narrow)) {
            return None;
        }
        let subject = format!("{}:sub", self.issuer);
        self.condition.entry("StringEquals".into()).or_default().insert(subject.clone(), value.clone().into());
        Some(change(&["StringEquals", &subject], Kind::Added(value)))
    }

    /// Has a statement that denies make an exception.
    fn except(&mut self) -> Option<Change> {
        let subject = format!("{}:sub", self.issuer);
        let value = self.context.single(&subject)?;
        let keys = self.condition.entry("StringNotEquals".into()).or_default();
        let mut all: Vec<String> = keys.get(&subject).map(list).into_iter().flatten().filter_map(text).collect();
        all.push(value.clone());
        keys.insert(subject.clone(), one_or_many(all));
        Some(change(&["StringNotEquals", &subject], Kind::Exception(value)))
    }
}

fn one_or_many(mut texts: Vec<String>) -> Value {
    if texts.len() == 1 { texts.pop().into() } else { json!(texts) }
}
