//! What AWS STS's error codes mean for the next try, and for the user.

use crate::error::Kind;
use crate::model::proof::Claims;
use crate::system::shown;

/// How to go on after an answer with `status` and error `code`.
pub fn kind(status: u16, code: &str) -> Kind {
    match code {
        "ExpiredTokenException" | "ExpiredToken" | "InvalidIdentityToken" => Kind::RefusedProof,
        "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "IDPCommunicationError" => Kind::Transient,
        _ if status >= 500 || status == 429 || status == 408 => Kind::Transient,
        _ => Kind::Fatal,
    }
}

/// Who asked, for the advice after a refusal.
pub enum Caller<'a> {
    /// Whoever the token stands for whose claims AWS saw.
    Token(&'a Claims),
    /// Another role.
    Role {
        /// Its ARN.
        arn: &'a str,
        /// Whether it offered an external id.
        has_external_id: bool,
        /// What it must be allowed to do.
        actions: &'a str,
    },
}

/// What the user should do after an answer with `status` and error `code`.
pub fn advice(status: u16, code: &str, role_arn: &str, caller: &Caller<'_>) -> String {
    match caller {
        Caller::Token(claims) => refused_token(code, role_arn, claims),
        Caller::Role { arn, has_external_id, actions } => refused_role(code, role_arn, arn, *has_external_id, actions),
    }
    .unwrap_or_else(|| any_advice(status, code))
}

fn refused_role(code: &str, role_arn: &str, caller: &str, has_external_id: bool, actions: &str) -> Option<String> {
    match code {
        "AccessDenied" => Some(format!(
            "{role_arn} must exist, its trust policy must allow {actions} to {{\"AWS\":\"{caller}\"}}{}, and a policy of \
             {caller} must allow {actions} on {role_arn}",
            if has_external_id {
                " on the condition {\"StringEquals\":{\"sts:ExternalId\":…}} with the value of --external-id"
            } else {
                " (with --external-id, if it asks for one)"
            }
        )),
        "ExpiredToken" | "ExpiredTokenException" | "SignatureDoesNotMatch" | "RequestExpired" => {
            Some("check this machine's clock".into())
        }
        _ => None,
    }
}

fn refused_token(code: &str, role_arn: &str, claims: &Claims) -> Option<String> {
    let provider = provider(claims);
    Some(match code {
        "AccessDenied" => format!(
            "AWS matched {}; {role_arn} must exist and its trust policy must allow sts:AssumeRoleWithWebIdentity to \
             {{\"Federated\":\"{}\"}} on the condition {}",
            describe(claims),
            match provider {
                GOOGLE => GOOGLE.into(),
                other => format!("arn:aws:iam::{}:oidc-provider/{other}", account(role_arn)),
            },
            condition(claims)
        ),
        "InvalidIdentityToken" if provider != GOOGLE => format!(
            "AWS saw {}; account {} needs an IAM OIDC provider for {provider} with this audience",
            describe(claims),
            account(role_arn)
        ),
        "InvalidIdentityToken" => format!(
            "AWS matched {}; a trust policy's condition for it is {}. AWS knows accounts.google.com by itself: an IAM OIDC \
             provider made for it breaks the exchange, so delete one if there is; a token of another issuer needs one",
            describe(claims),
            condition(claims)
        ),
        "ExpiredTokenException" | "ExpiredToken" => {
            format!("AWS saw {}; check this machine's clock, or whoever keeps the token file fresh", describe(claims))
        }
        "IDPRejectedClaim" => format!("AWS saw {}; Google no longer stands by this token", describe(claims)),
        _ => return None,
    })
}

/// What the user should do where it matters not who asked.
pub fn any_advice(status: u16, code: &str) -> String {
    match code {
        "ValidationError" | "InvalidParameterValue" => {
            "check --role-arn, --role-session-name and --duration (15m up to the role's maximum session duration)"
                .into()
        }
        "RegionDisabledException" => {
            "activate STS for this region in the account's settings, or name another --region".into()
        }
        "MalformedPolicyDocument" => "check --session-policy and --policy-arn".into(),
        "PackedPolicyTooLarge" => {
            "session policies and tags are more than AWS can pack: shorten --session-policy, or name fewer --policy-arn or \
             --session-tag"
                .into()
        }
        "IDPCommunicationError" => "AWS could not reach the token's issuer".into(),
        "Throttling" | "ThrottlingException" | "RequestLimitExceeded" => {
            "too many calls of this account at once: let fewer workers start together, or raise --timeout".into()
        }
        _ if (300..400).contains(&status) => "--sts-endpoint must name STS itself".into(),
        _ if status >= 500 => "STS is in trouble: if it lasts, name another --region".into(),
        _ => "check --region or --sts-endpoint, and what stands between".into(),
    }
}

/// The claims under AWS's own names for them: `accounts.google.com:aud` is `azp` where the token has one.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif>
fn describe(claims: &Claims) -> String {
    if claims.iss.is_empty() {
        return "none that fedboot can read".into();
    }
    let none = || String::from("none");
    format!(
        "iss={}, sub={}, azp={}, aud={}, email={}",
        shown::name(&claims.iss),
        shown::name(&claims.sub),
        claims.azp.as_ref().map_or_else(none, |name| shown::name(name)),
        shown::name(&claims.aud.join(" ")),
        claims.email.as_ref().map_or_else(none, |name| shown::name(name))
    )
}

/// The issuer that AWS knows without an IAM OIDC provider.
const GOOGLE: &str = "accounts.google.com";

/// The issuer as IAM names its provider.
fn provider(claims: &Claims) -> &str {
    match claims.iss.trim_start_matches("https://") {
        issuer if shown::is_authority(issuer.split('/').next().unwrap_or_default()) && !shown::is_opaque(issuer) => {
            issuer
        }
        _ => GOOGLE,
    }
}

fn account(role_arn: &str) -> &str {
    role_arn.split(':').nth(4).unwrap_or("ACCOUNT")
}

/// The trust policy's condition that admits exactly this workload, by the stable claim, and this audience.
fn condition(claims: &Claims) -> String {
    let provider = provider(claims);
    let mut equals = serde_json::Map::new();
    equals.insert(format!("{provider}:sub"), shown::name(&claims.sub).into());
    // `oaud` names the real audience only where `azp` takes the place of `aud`.
    let audience = if provider == GOOGLE && claims.azp.is_some() { "oaud" } else { "aud" };
    if let Some(aud) = claims.aud.first() {
        equals.insert(format!("{provider}:{audience}"), shown::name(aud).into());
    }
    serde_json::json!({ "StringEquals": equals }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_names_what_aws_matches() {
        let claims =
            Claims { sub: "117".into(), azp: Some("117".into()), aud: vec!["sts".into()], ..Claims::default() };
        assert_eq!(
            condition(&claims),
            r#"{"StringEquals":{"accounts.google.com:oaud":"sts","accounts.google.com:sub":"117"}}"#
        );
        let claims = Claims { azp: None, ..claims };
        assert!(condition(&claims).contains(r#""accounts.google.com:aud":"sts""#));
    }
}
