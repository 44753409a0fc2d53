//! What a role's trust policy is asked: who wants it, and
//! [what is known of the request](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif).
//! The answer is that of [`fedboot_policy`].

use std::time::SystemTime;

use fedboot_policy::caller::Caller;
use fedboot_policy::context::{Context, Found};
use fedboot_policy::document::Policy;
use fedboot_policy::evaluation::{Verdict, evaluate};
use fedboot_policy::web_identity;
use serde_json::Value;

use crate::clock::rfc3339;
use crate::settings::role::Role;
use crate::state::issued::Issued;

/// Whether the role's policy lets the caller do this; if not, why.
pub(crate) fn admits(role: &Role, caller: &Caller, action: &str, context: &Context) -> Result<(), String> {
    let policy = Policy::from_value(&role.trust_policy).map_err(|refusal| refusal.to_string())?;
    let evaluation = evaluate(&policy, caller, action, context);
    match evaluation.verdict {
        Verdict::Admitted => Ok(()),
        _ => Err(evaluation.reason(if caller.kind() == "Federated" { "token" } else { "request" })),
    }
}

/// A session of a role: the session, the role, or their whole account.
pub(crate) fn session(of: &Issued) -> Caller {
    let partition = of.role_arn.split(':').nth(1).unwrap_or("aws");
    let root = format!("arn:{partition}:iam::{}:root", of.account);
    Caller::of_aws(vec![of.assumed_role_arn.clone(), of.role_arn.clone(), root, of.account.clone()])
}

/// What the policy keys say of a request with an issuer's token.
pub(crate) fn context(claims: &Value, session_name: &str) -> Context {
    let mut context = every_request(session_name);
    web_identity::add_keys(&mut context, claims);
    context
}

/// What the policy keys say of a session and of what it asks for.
pub(crate) fn chained_context(
    caller: &Issued,
    session_name: &str,
    external_id: Option<&str>,
    source_identity: Option<&str>,
    tags: &[(&str, &str)],
) -> Context {
    let mut context = every_request(session_name);
    for (key, value) in [
        ("sts:ExternalId", external_id),
        ("sts:SourceIdentity", source_identity),
        ("aws:SourceIdentity", caller.source_identity.as_deref()),
        ("aws:PrincipalArn", Some(caller.role_arn.as_str())),
    ] {
        context.insert(key, value.map_or(Found::Absent, |value| Found::Values(vec![value.into()])));
    }
    for (key, value) in tags {
        context.set(&format!("aws:RequestTag/{key}"), *value);
    }
    context
}

fn every_request(session_name: &str) -> Context {
    let mut context = Context::closed();
    web_identity::add_time(&mut context, &rfc3339(SystemTime::now(), false));
    context.set("sts:RoleSessionName", session_name);
    context
}
