//! A role's trust policy, as far as web identity from Google or a cluster and role chaining need it:
//! [policy elements](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html),
//! [condition operators](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html),
//! [keys for web identity](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif),
//! [keys for STS](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-sts).
//!
//! `accounts.google.com:aud` is the token's `azp` where it has one, else its `aud`; `accounts.google.com:oaud` is
//! its `aud`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::aws::role::Role;
use crate::issuers::{self, GOOGLE};
use crate::state::Issued;

/// What the conditions are compared with; keys in lower case.
pub(crate) type Context = BTreeMap<String, String>;

/// Who asks: the kind of principal, and what a policy may call it.
pub(crate) struct Principal {
    kind: &'static str,
    names: Vec<String>,
}

impl Principal {
    /// Whoever Google vouches for.
    pub(crate) fn google() -> Self {
        Self { kind: "Federated", names: vec![GOOGLE.into()] }
    }

    /// Whoever an OIDC provider in the role's account vouches for.
    pub(crate) fn of_issuer(issuer: &str, role: &Role) -> Self {
        Self { kind: "Federated", names: vec![provider_arn(issuer, role.partition(), role.account())] }
    }

    /// What AWS calls it.
    pub(crate) fn name(&self) -> &str {
        &self.names[0]
    }

    /// A session of a role: the session, the role, or their whole account.
    pub(crate) fn session(of: &Issued) -> Self {
        let partition = of.role_arn.split(':').nth(1).unwrap_or("aws");
        let root = format!("arn:{partition}:iam::{}:root", of.account);
        Self { kind: "AWS", names: vec![of.assumed_role_arn.clone(), of.role_arn.clone(), root, of.account.clone()] }
    }

    fn is_in(&self, statement: &Value) -> bool {
        let named =
            |name: &&Value| name.as_str().is_some_and(|name| name == "*" || self.names.iter().any(|n| n == name));
        statement["Principal"] == "*" || list(&statement["Principal"][self.kind]).iter().any(named)
    }
}

/// The ARN of an issuer's OIDC provider in an account.
pub(crate) fn provider_arn(issuer: &str, partition: &str, account: &str) -> String {
    format!("arn:{partition}:iam::{account}:oidc-provider/{issuer}")
}

/// What the policy keys say of a request with an issuer's token; the keys begin with the issuer's name.
pub(crate) fn context(issuer: &str, claims: &Value, session_name: &str) -> Context {
    let claim = |name: &str| claims[name].as_str().map(str::to_string);
    let (aud, azp) = (issuers::audience(claims).map(str::to_string), claim("azp"));
    [("aud", azp.or_else(|| aud.clone())), ("oaud", aud), ("sub", claim("sub")), ("email", claim("email"))]
        .into_iter()
        .map(|(key, value)| (format!("{}:{key}", issuer.to_ascii_lowercase()), value))
        .chain([("sts:rolesessionname".to_string(), Some(session_name.to_string()))])
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

/// What the policy keys say of a session and of what it asks for.
pub(crate) fn chained_context(
    caller: &Issued,
    session_name: &str,
    external_id: Option<&str>,
    source_identity: Option<&str>,
    tags: &[(&str, &str)],
) -> Context {
    let tags = tags.iter().map(|(key, value)| (format!("aws:requesttag/{}", key.to_ascii_lowercase()), Some(*value)));
    [
        ("sts:rolesessionname", Some(session_name)),
        ("sts:externalid", external_id),
        ("sts:sourceidentity", source_identity),
        ("aws:sourceidentity", caller.source_identity.as_deref()),
        ("aws:principalarn", Some(caller.role_arn.as_str())),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_string(), value))
    .chain(tags)
    .filter_map(|(key, value)| Some((key, value?.to_string())))
    .collect()
}

/// Refuses a policy that AWS would not store, or that this evaluation does not understand.
pub(crate) fn check(policy: &Value) -> Result<(), String> {
    let statements = list(&policy["Statement"]);
    if statements.is_empty() {
        return Err("a trust policy has a Statement".into());
    }
    for statement in statements {
        if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
            return Err("Effect is \"Allow\" or \"Deny\"".into());
        }
        if statement["Principal"].is_null() || statement["Action"].is_null() {
            return Err("a statement of a trust policy has a Principal and an Action".into());
        }
        for (operator, keys) in fields(&statement["Condition"]) {
            Operator::parse(operator).ok_or_else(|| format!("condition operator \"{operator}\" is not known here"))?;
            if !keys.is_object() {
                return Err(format!("{operator} holds keys with values"));
            }
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

#[derive(Clone, Copy)]
enum Compare {
    Equals,
    EqualsIgnoreCase,
    Like,
    Null,
}

struct Operator {
    compare: Compare,
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
        let (if_exists, name) = match name.strip_suffix("IfExists") {
            Some(name) => (true, name),
            None => (false, name),
        };
        let (compare, negated) = match name {
            "StringEquals" => (Compare::Equals, false),
            "StringNotEquals" => (Compare::Equals, true),
            "StringEqualsIgnoreCase" => (Compare::EqualsIgnoreCase, false),
            "StringNotEqualsIgnoreCase" => (Compare::EqualsIgnoreCase, true),
            // For ARNs AWS compares part by part; here `*` may cross a colon.
            "StringLike" | "ArnLike" | "ArnEquals" => (Compare::Like, false),
            "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => (Compare::Like, true),
            "Null" => (Compare::Null, false),
            _ => return None,
        };
        Some(Self { compare, negated, absent_holds: if_exists || all || negated })
    }

    fn holds(&self, found: Option<&str>, wanted: &[&str]) -> bool {
        if let Compare::Null = self.compare {
            return wanted.contains(&if found.is_none() { "true" } else { "false" });
        }
        let Some(found) = found else {
            return self.absent_holds;
        };
        let matched = wanted.iter().any(|wanted| match self.compare {
            Compare::Equals => *wanted == found,
            Compare::EqualsIgnoreCase => wanted.eq_ignore_ascii_case(found),
            Compare::Like => like(wanted, found),
            Compare::Null => unreachable!("answered above"),
        });
        matched != self.negated
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(condition: Value) -> Value {
        json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": "accounts.google.com"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": condition,
        }]})
    }

    fn admitted(policy: &Value) -> bool {
        check(policy).unwrap();
        let claims = json!({"aud": "sts.amazonaws.com", "azp": "1234", "sub": "1234", "email": "w@p.iam"});
        let action = "sts:AssumeRoleWithWebIdentity";
        admits(policy, &Principal::google(), action, &context(GOOGLE, &claims, "worker-1")).is_ok()
    }

    #[test]
    fn every_condition_bites() {
        let table = [
            (json!({}), true),
            // aud is azp where there is one, oaud the real audience.
            (json!({"StringEquals": {"accounts.google.com:aud": "1234"}}), true),
            (json!({"StringEquals": {"accounts.google.com:aud": "sts.amazonaws.com"}}), false),
            (json!({"StringEquals": {"accounts.google.com:oaud": "sts.amazonaws.com"}}), true),
            (json!({"StringEquals": {"accounts.google.com:oaud": ["a", "sts.amazonaws.com"]}}), true),
            (json!({"StringEquals": {"accounts.google.com:oaud": "a"}}), false),
            (json!({"StringEquals": {"accounts.google.com:sub": "12345"}}), false),
            (json!({"StringEquals": {"ACCOUNTS.google.com:sub": "1234", "accounts.google.com:oaud": "a"}}), false),
            (json!({"StringLike": {"accounts.google.com:email": "*@p.iam"}}), true),
            (json!({"StringLike": {"accounts.google.com:email": "?@q*"}}), false),
            (json!({"StringEquals": {"accounts.google.com:email": "*@p.iam"}}), false),
            (json!({"StringNotEquals": {"accounts.google.com:sub": "1234"}}), false),
            (json!({"StringEqualsIgnoreCase": {"accounts.google.com:email": "W@P.IAM"}}), true),
            (json!({"ForAnyValue:StringEquals": {"accounts.google.com:aud": ["1", "1234"]}}), true),
            (json!({"ForAnyValue:StringEquals": {"accounts.google.com:amr": ["1"]}}), false),
            (json!({"StringEqualsIfExists": {"accounts.google.com:amr": ["1"]}}), true),
            (json!({"StringEquals": {"accounts.google.com:amr": "1"}}), false),
            (json!({"Null": {"accounts.google.com:amr": "true"}}), true),
            (json!({"StringLike": {"sts:RoleSessionName": "worker-*"}}), true),
            (json!({"StringLike": {"sts:RoleSessionName": "batch-*"}}), false),
        ];
        for (condition, expected) in table {
            assert_eq!(admitted(&policy(condition.clone())), expected, "{condition}");
        }
    }

    #[test]
    fn without_azp_aud_is_aud() {
        let claims = json!({"aud": "sts.amazonaws.com", "sub": "1"});
        let context = context(GOOGLE, &claims, "ab");
        assert_eq!(context["accounts.google.com:aud"], "sts.amazonaws.com");
        assert_eq!(context["accounts.google.com:oaud"], "sts.amazonaws.com");
    }

    #[test]
    fn principal_action_and_deny_bite() {
        let mut other = policy(json!({}));
        other["Statement"][0]["Principal"] = json!({"Federated": "www.amazon.com"});
        assert!(!admitted(&other));
        let mut other = policy(json!({}));
        other["Statement"][0]["Principal"] = json!({"AWS": "*"});
        assert!(!admitted(&other));
        let mut other = policy(json!({}));
        other["Statement"][0]["Action"] = json!(["sts:AssumeRole", "sts:TagSession"]);
        assert!(!admitted(&other));
        other["Statement"][0]["Action"] = json!("sts:AssumeRoleWith*");
        assert!(admitted(&other));
        let mut deny = other["Statement"][0].clone();
        deny["Effect"] = json!("Deny");
        other["Statement"].as_array_mut().unwrap().push(deny);
        assert!(!admitted(&other));
    }

    #[test]
    fn says_which_condition_failed() {
        let policy = policy(json!({"StringEquals": {"accounts.google.com:sub": "9"}}));
        let (action, context) = ("sts:AssumeRoleWithWebIdentity", context(GOOGLE, &json!({"sub": "1"}), "ab"));
        let why = admits(&policy, &Principal::google(), action, &context).unwrap_err();
        assert_eq!(why, r#"StringEquals accounts.google.com:sub wants ["9"], the token has "1""#);
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for wrong in [
            json!({}),
            json!({"Statement": []}),
            policy(json!({"IpAddress": {"aws:SourceIp": "127.0.0.1"}})),
            policy(json!({"Sometimes:StringEquals": {"a": "b"}})),
            policy(json!({"StringEquals": "a"})),
        ] {
            assert!(check(&wrong).is_err(), "{wrong}");
        }
    }
}
