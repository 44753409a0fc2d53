//! The language of trust policies, as far as web identity from Google or a cluster and role chaining need it:
//! [policy elements](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html),
//! [condition operators](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html),
//! [keys for web identity](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif),
//! [keys for STS](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-sts).

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

/// What the conditions are compared with; keys in lower case.
pub(crate) type Context = BTreeMap<String, String>;

/// Who asks: the kind of principal, and what a policy may call it.
pub(crate) struct Principal {
    kind: &'static str,
    names: Vec<String>,
}

impl Principal {
    /// Whoever an identity provider vouches for, by its name in policies.
    pub(crate) fn federated(provider: impl Into<String>) -> Self {
        Self { kind: "Federated", names: vec![provider.into()] }
    }

    /// An identity of AWS by all its names.
    pub(crate) fn aws(names: Vec<String>) -> Self {
        Self { kind: "AWS", names }
    }

    /// What AWS calls it.
    pub(crate) fn name(&self) -> &str {
        &self.names[0]
    }

    fn is_in(&self, statement: &Value) -> bool {
        let named =
            |name: &&Value| name.as_str().is_some_and(|name| name == "*" || self.names.iter().any(|n| n == name));
        statement["Principal"] == "*" || list(&statement["Principal"][self.kind]).iter().any(named)
    }
}

/// Refuses a policy that AWS would not store, or that this evaluation does not understand.
pub(crate) fn check(policy: &Value) -> anyhow::Result<()> {
    let statements = list(&policy["Statement"]);
    ensure!(!statements.is_empty(), "a trust policy has a Statement");
    for statement in statements {
        ensure!(matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")), "Effect is \"Allow\" or \"Deny\"");
        if statement["Principal"].is_null() || statement["Action"].is_null() {
            bail!("a statement of a trust policy has a Principal and an Action");
        }
        for (operator, keys) in fields(&statement["Condition"]) {
            Operator::parse(operator)
                .with_context(|| format!("condition operator \"{operator}\" is not known here"))?;
            ensure!(keys.is_object(), "{operator} holds keys with values");
        }
    }
    Ok(())
}

/// Whether the policy lets the principal do this with the role in this context; if not, why.
pub(crate) fn admits(policy: &Value, principal: &Principal, action: &str, context: &Context) -> Result<(), String> {
    let mut reasons = Vec::new();
    let mut allowed = false;
    for statement in list(&policy["Statement"]) {
        match (applies(statement, principal, action, context), statement["Effect"] == "Deny") {
            (Ok(()), true) => return Err("a statement denies it".into()),
            (Ok(()), false) => allowed = true,
            (Err(why), false) => reasons.push(why),
            (Err(_), true) => {}
        }
    }
    if allowed { Ok(()) } else { Err(reasons.join("; ")) }
}

fn applies(statement: &Value, principal: &Principal, action: &str, context: &Context) -> Result<(), String> {
    if !principal.is_in(statement) {
        return Err(format!("the principal is not {}", principal.names[0]));
    }
    let asked = |pattern: &Value| {
        let pattern = pattern.as_str().unwrap_or_default().to_ascii_lowercase();
        like(&pattern, &action.to_ascii_lowercase())
    };
    if !list(&statement["Action"]).into_iter().any(asked) {
        return Err(format!("the action is not {action}"));
    }
    for (name, keys) in fields(&statement["Condition"]) {
        let operator = Operator::parse(name).ok_or_else(|| format!("unknown operator {name}"))?;
        for (key, wanted) in fields(keys) {
            let found = context.get(&key.to_ascii_lowercase()).map(String::as_str);
            let wanted: Vec<&str> = list(wanted).into_iter().filter_map(text).collect();
            if !operator.holds(found, &wanted) {
                let found = found.map_or("nothing".into(), |f| format!("\"{f}\""));
                let source = if principal.kind == "Federated" { "token" } else { "request" };
                return Err(format!("{name} {key} wants {wanted:?}, the {source} has {found}"));
            }
        }
    }
    Ok(())
}

struct Operator {
    /// How what is wanted fits what is found. `Null` has none: it asks whether the key is there.
    fits: Option<fn(&str, &str) -> bool>,
    negated: bool,
    /// Holds where the key is absent: `…IfExists` and `ForAllValues:`.
    absent_holds: bool,
}

impl Operator {
    fn parse(name: &str) -> Option<Self> {
        let (all, name) = match name.split_once(':') {
            None => (false, name),
            Some(("ForAnyValue", name)) => (false, name),
            Some(("ForAllValues", name)) => (true, name),
            Some(_) => return None,
        };
        let (if_exists, name) = name.strip_suffix("IfExists").map_or((false, name), |name| (true, name));
        let negated = name.contains("Not");
        let fits: Option<fn(&str, &str) -> bool> = match name.replacen("Not", "", 1).as_str() {
            "StringEquals" => Some(str::eq),
            "StringEqualsIgnoreCase" => Some(str::eq_ignore_ascii_case),
            // For ARNs AWS compares part by part; here `*` may cross a colon.
            "StringLike" | "ArnLike" | "ArnEquals" => Some(like),
            "Null" if !negated => None,
            _ => return None,
        };
        Some(Self { fits, negated, absent_holds: if_exists || all || negated })
    }

    fn holds(&self, found: Option<&str>, wanted: &[&str]) -> bool {
        match (self.fits, found) {
            (None, found) => wanted.contains(&if found.is_none() { "true" } else { "false" }),
            (Some(_), None) => self.absent_holds,
            (Some(fits), Some(found)) => wanted.iter().any(|wanted| fits(wanted, found)) != self.negated,
        }
    }
}

/// `*` stands for any text, `?` for any character.
fn like(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            like(rest, text) || text.chars().next().is_some_and(|c| like(pattern, &text[c.len_utf8()..]))
        }
        Some(wanted) => text.chars().next().is_some_and(|found| {
            (wanted == '?' || wanted == found) && like(&pattern[wanted.len_utf8()..], &text[found.len_utf8()..])
        }),
    }
}

fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    }
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Bool(true) => Some("true"),
        Value::Bool(false) => Some("false"),
        other => other.as_str(),
    }
}
