//! What a role's trust policy is asked: who wants it, and
//! [what is known of the request](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif).
//!
//! `accounts.google.com:aud` is the token's `azp` where it has one, else its `aud`; `accounts.google.com:oaud` is
//! its `aud`.

use serde_json::Value;

use crate::jwt::issuers;
use crate::language::trust_policy::{Context, Principal};
use crate::settings::role::Role;
use crate::state::issued::Issued;

/// Whoever Google, or an OIDC provider in the role's account, vouches for.
pub(crate) fn federated(issuer: &str, role: &Role) -> Principal {
    Principal::federated(if issuer == issuers::GOOGLE { issuer.into() } else { role.provider_arn(issuer) })
}

/// A session of a role: the session, the role, or their whole account.
pub(crate) fn session(of: &Issued) -> Principal {
    let partition = of.role_arn.split(':').nth(1).unwrap_or("aws");
    let root = format!("arn:{partition}:iam::{}:root", of.account);
    Principal::aws(vec![of.assumed_role_arn.clone(), of.role_arn.clone(), root, of.account.clone()])
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jwt::issuers::GOOGLE;
    use crate::language::trust_policy::{admits, check};

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
        admits(policy, &Principal::federated(GOOGLE), action, &context(GOOGLE, &claims, "worker-1")).is_ok()
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
        let why = admits(&policy, &Principal::federated(GOOGLE), action, &context).unwrap_err();
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
