//! What AWS STS's error codes mean for the next try, and for the user.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>, and the errors of each action.

use fedboot_policy::web_identity::GOOGLE;

use crate::error::{Error, Kind, Paste, reasons};
use crate::model::proof::Claims;
use crate::model::request::SessionRequest;
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

/// Whether the clock may be why.
pub fn is_of_time(code: &str) -> bool {
    ["ExpiredToken", "ExpiredTokenException", "RequestExpired", "SignatureDoesNotMatch"].contains(&code)
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

/// A refusal, as AWS words it.
pub struct Refusal<'a> {
    /// HTTP status.
    pub status: u16,
    /// The error code; empty where the answer is not STS's.
    pub code: &'a str,
    /// The message, as it may be shown.
    pub message: &'a str,
}

/// Says why a session was refused, and what to do.
pub fn explain(error: Error, refusal: &Refusal<'_>, session: &SessionRequest, caller: &Caller<'_>) -> Error {
    let role = session.role_arn.as_str();
    if refusal.code == "AccessDenied"
        && let Some(policy) = explicit_deny(refusal.message)
    {
        return seen(error, caller).because(&reasons::EXPLICIT_DENY, &[("policy", policy)]);
    }
    match (refusal.code, caller) {
        ("AccessDenied", Caller::Token(claims)) => {
            let statement = statement(role, claims);
            seen(error, caller).because(&reasons::ROLE_REFUSES_TOKEN, &[]).paste(Paste::Policy(statement))
        }
        ("AccessDenied", Caller::Role { arn, has_external_id, actions }) => {
            let statement = statement_for_role(arn, actions, *has_external_id);
            let external = if *has_external_id { "" } else { " (with --external-id, if it asks for one)" };
            let values = [("caller", *arn), ("role", role), ("actions", actions), ("external", external)];
            error.because(&reasons::SECOND_ROLE, &values).paste(Paste::Policy(statement))
        }
        ("InvalidIdentityToken", Caller::Token(claims)) => match provider(claims) {
            GOOGLE => seen(error, caller).because(&reasons::PROVIDER_FOR_GOOGLE, &[]),
            provider => {
                let values = [("provider", provider), ("account", account(role))];
                seen(error, caller).because(&reasons::NO_OIDC_PROVIDER, &values)
            }
        },
        ("ExpiredTokenException" | "ExpiredToken", Caller::Token(_)) => {
            seen(error, caller).because(&reasons::TOKEN_EXPIRED, &[])
        }
        ("IDPRejectedClaim", Caller::Token(_)) => seen(error, caller).because(&reasons::CLAIM_REJECTED, &[]),
        ("ValidationError", _) if refusal.message.to_lowercase().contains("durationseconds") => {
            let duration = humantime::format_duration(session.duration).to_string();
            error.because(&reasons::DURATION, &[("duration", &duration)])
        }
        _ => explain_any(error, refusal),
    }
}

/// The same where it matters not who asked, and for what.
pub fn explain_any(error: Error, refusal: &Refusal<'_>) -> Error {
    let reason = match refusal.code {
        "ValidationError" | "InvalidParameterValue" => &reasons::STS_VALIDATION,
        "RegionDisabledException" => &reasons::REGION_DISABLED,
        "MalformedPolicyDocument" => &reasons::SESSION_POLICY,
        "PackedPolicyTooLarge" => &reasons::PACKED_POLICY,
        "IDPCommunicationError" => &reasons::ISSUER_UNREACHABLE,
        "Throttling" | "ThrottlingException" | "RequestLimitExceeded" => &reasons::THROTTLED,
        "ExpiredToken" | "ExpiredTokenException" | "SignatureDoesNotMatch" | "RequestExpired" => {
            &reasons::REQUEST_EXPIRED
        }
        _ if refusal.status == 429 => &reasons::THROTTLED,
        _ if refusal.status >= 500 => &reasons::STS_DOWN,
        "" => &reasons::NOT_STS,
        // Some other error of STS, which says by itself what it is.
        _ => return error,
    };
    let host = error.address.trim_start_matches("https://").to_owned();
    let named =
        host.strip_prefix("sts.").or_else(|| host.strip_prefix("sts-fips.")).and_then(|rest| rest.split('.').next());
    let region = named.filter(|name| name.contains('-')).unwrap_or("this region");
    error.because(reason, &[("region", region)])
}

/// Which kind of policy denies, where AWS says that one does: "… with an explicit deny in a service control policy".
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>
fn explicit_deny(message: &str) -> Option<&str> {
    let (_, kind) = message.split_once("explicit deny")?;
    let kind = kind.trim_start_matches(" in ").trim_start_matches("a ").trim_start_matches("an ");
    let kind = kind.split([':', '.', ',']).next().unwrap_or_default().trim();
    Some(if kind.is_empty() || kind.len() > 60 { "of which kind AWS does not say" } else { kind })
}

/// Adds to what came back what AWS has matched, under AWS's own names: `aud` is `azp` where the token has one.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif>
fn seen(mut error: Error, caller: &Caller<'_>) -> Error {
    if let Caller::Token(claims) = caller {
        error.problem = format!("{}; AWS matched {}", error.problem, describe(claims));
    }
    error
}

fn describe(claims: &Claims) -> String {
    if claims.iss.is_empty() {
        return "a token that fedboot cannot read".into();
    }
    let mut said = vec![format!("iss={}", shown::name(&claims.iss)), format!("sub={}", shown::name(&claims.sub))];
    let audience = shown::name(&claims.aud.join(" "));
    match &claims.azp {
        Some(azp) if provider(claims) == GOOGLE => {
            said.push(format!("aud={} (its azp)", shown::name(azp)));
            said.push(format!("oaud={audience}"));
        }
        _ => said.push(format!("aud={audience}")),
    }
    said.extend(claims.email.as_deref().map(|email| format!("email={}", shown::name(email))));
    said.join(", ")
}

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

/// The statement of a trust policy that admits exactly this workload, by the stable claim, and this audience.
fn statement(role_arn: &str, claims: &Claims) -> String {
    let provider = provider(claims);
    let federated = fedboot_policy::caller::Caller::of_issuer(provider, Some(role_arn));
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut equals = vec![format!("{}: {}", quoted(&format!("{provider}:sub")), quoted(&shown::name(&claims.sub)))];
    // `oaud` names the real audience only where `azp` takes the place of `aud`.
    let audience = if provider == GOOGLE && claims.azp.is_some() { "oaud" } else { "aud" };
    equals.extend(
        claims
            .aud
            .first()
            .map(|aud| format!("{}: {}", quoted(&format!("{provider}:{audience}")), quoted(&shown::name(aud)))),
    );
    format!(
        r#"{{"Effect": "Allow", "Principal": {{"Federated": {}}}, "Action": "sts:AssumeRoleWithWebIdentity", "Condition": {{"StringEquals": {{{}}}}}}}"#,
        quoted(federated.name()),
        equals.join(", ")
    )
}

/// The statement of a trust policy that admits another role.
fn statement_for_role(caller: &str, actions: &str, has_external_id: bool) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let actions: Vec<_> = actions.split(", ").map(quoted).collect();
    let actions = if let [one] = &actions[..] { one.clone() } else { format!("[{}]", actions.join(", ")) };
    let condition = if has_external_id {
        r#", "Condition": {"StringEquals": {"sts:ExternalId": "the value of --external-id"}}"#
    } else {
        ""
    };
    format!(r#"{{"Effect": "Allow", "Principal": {{"AWS": {}}}, "Action": {actions}{condition}}}"#, quoted(caller))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_names_what_aws_matches() {
        let iss = "https://accounts.google.com".into();
        let claims =
            Claims { iss, sub: "117".into(), azp: Some("117".into()), aud: vec!["sts".into()], ..Claims::default() };
        let role = "arn:aws-cn:iam::123456789012:role/r";
        let condition =
            r#""Condition": {"StringEquals": {"accounts.google.com:sub": "117", "accounts.google.com:oaud": "sts"}}"#;
        assert!(statement(role, &claims).contains(condition));
        let claims = Claims { azp: None, ..claims };
        assert!(statement(role, &claims).contains(r#""accounts.google.com:aud": "sts""#));
        let claims = Claims { iss: "https://oidc.example/id/1".into(), ..claims };
        assert!(statement(role, &claims).contains(r#""arn:aws-cn:iam::123456789012:oidc-provider/oidc.example/id/1""#));
    }

    #[test]
    fn explicit_denies() {
        // <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html#access-denied-scp-examples-explicit>
        for (message, kind) in [
            (
                "User: arn:aws:iam::777788889999:user/JohnDoe is not authorized to perform: codecommit:ListRepositories with an explicit deny in a service control policy",
                Some("service control policy"),
            ),
            (
                "… with an explicit deny in an identity-based policy: arn:aws:iam::1:policy/x",
                Some("identity-based policy"),
            ),
            ("Not authorized to perform sts:AssumeRoleWithWebIdentity", None),
            ("because no identity-based policy allows the action", None),
        ] {
            assert_eq!(explicit_deny(message), kind, "{message}");
        }
    }
}
