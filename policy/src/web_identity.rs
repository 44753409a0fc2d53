//! What AWS makes of a token's claims when it is exchanged:
//! [condition keys](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif),
//! [tags](https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_adding-assume-role-idp),
//! [all keys of the action](https://docs.aws.amazon.com/service-authorization/latest/reference/list_sts.html).
//!
//! A key begins with the issuer's name. `aud` is the claim `azp` where there is one, else `aud`; `oaud` is the claim `aud`.
//! Other claims are no keys, but those that AWS lists for some issuers.

use serde_json::{Map, Value, json};

use crate::caller::Caller;
use crate::context::{Context, Found};
use crate::document::{field, list, text};
use crate::pattern::is_like_in_any_case;

/// What the exchange of a token is called in policies.
pub const ACTION: &str = "sts:AssumeRoleWithWebIdentity";
/// Google, as policies name it.
pub const GOOGLE: &str = "accounts.google.com";

const TAGS: &str = "https://aws.amazon.com/tags";
const SOURCE_IDENTITY: &str = "https://aws.amazon.com/source_identity";

const GITHUB: &[&str] = &[
    "actor",
    "actor_id",
    "enterprise_id",
    "environment",
    "job_workflow_ref",
    "ref",
    "repository",
    "repository_id",
    "repository_owner_id",
    "workflow",
];
const GITLAB: &[&str] = &[
    "namespace_id",
    "pipeline_source",
    "project_id",
    "ref_protected",
    "runner_environment",
    "user_access_level",
    "user_email",
    "user_id",
    "user_login",
];
const BUILDKITE: &[&str] = &[
    "build_branch",
    "cluster_id",
    "cluster_name",
    "organization_id",
    "organization_slug",
    "pipeline_id",
    "pipeline_slug",
];

/// Issuers, and claims of theirs that are keys as well.
const FURTHER: &[(&str, &[&str])] = &[
    ("token.actions.githubusercontent.com*", GITHUB),
    ("token.actions.*.ghe.com", GITHUB),
    ("github.com/enterprises/*", GITHUB),
    ("gitlab.com", GITLAB),
    ("agent.buildkite.com", BUILDKITE),
    ("agent.*.buildkite.dev", BUILDKITE),
    ("agent.*.buildkite.site", BUILDKITE),
    ("oidc.circleci.com/org/*", &["oidc.circleci.com/project-id"]),
    ("idcs-*.identity.oraclecloud.com", &["rpst_id"]),
];

/// The issuer of a token, as condition keys begin.
pub fn issuer(claims: &Value) -> &str {
    let issuer = field(claims, "iss").as_str().unwrap_or_default();
    issuer.strip_prefix("https://").unwrap_or(issuer)
}

/// Who has the token; `role_arn` tells in whose account its issuer must be a provider.
pub fn caller(claims: &Value, role_arn: Option<&str>) -> Caller {
    Caller::of_issuer(issuer(claims), role_arn)
}

/// What the token says under the key `ISSUER:name`.
pub fn claim(claims: &Value, name: &str) -> Found {
    match name {
        "aud" => match values(field(claims, "azp")) {
            Found::Absent => values(field(claims, "aud")),
            azp => azp,
        },
        "oaud" => values(field(claims, "aud")),
        other => values(field(claims, other)),
    }
}

fn values(claim: &Value) -> Found {
    let texts: Vec<String> = list(claim).into_iter().filter_map(text).collect();
    if texts.is_empty() { Found::Absent } else { Found::Values(texts) }
}

/// Puts the keys of a token into a context.
pub fn add_keys(context: &mut Context, claims: &Value) {
    let issuer = issuer(claims);
    let further = FURTHER.iter().find(|(pattern, _)| is_like_in_any_case(pattern, issuer)).map(|(_, names)| *names);
    for name in ["amr", "aud", "email", "oaud", "sub"].iter().chain(further.unwrap_or_default()) {
        let found = claim(claims, name);
        if found != Found::Absent {
            context.insert(&format!("{issuer}:{name}"), found);
        }
    }
    if issuer == GOOGLE {
        // AWS does not say in which claim it looks for the number where it is not there.
        let found = match values(field(field(claims, "google"), "organization_number")) {
            Found::Absent => Found::Unknown,
            found => found,
        };
        context.insert(&format!("{issuer}:google/organization_number"), found);
    }
    let tags = session_tags(claims);
    for (key, value) in &tags {
        context.set(&format!("aws:RequestTag/{key}"), value.as_str());
    }
    if !tags.is_empty() {
        context.insert("aws:TagKeys", Found::Values(tags.into_iter().map(|(key, _)| key).collect()));
        let transitive = match values(field(field(claims, TAGS), "transitive_tag_keys")) {
            Found::Absent => values(field(claims, &format!("{TAGS}/transitive_tag_keys"))),
            found => found,
        };
        context.insert("sts:TransitiveTagKeys", transitive);
    }
    if let Found::Values(values) = values(field(claims, SOURCE_IDENTITY)) {
        context.set("sts:SourceIdentity", values.concat());
    }
}

/// The tags that the session is to have, in either of the two forms that AWS reads.
fn session_tags(claims: &Value) -> Vec<(String, String)> {
    let first = |value: &Value| list(value).into_iter().find_map(text);
    let nested = field(field(claims, TAGS), "principal_tags").as_object().into_iter().flatten();
    let prefix = format!("{TAGS}/principal_tags/");
    let flat = claims.as_object().into_iter().flatten();
    let flat = flat.filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?.to_owned(), first(value)?)));
    nested.filter_map(|(key, value)| Some((key.clone(), first(value)?))).chain(flat).collect()
}

/// What AWS wants to know of its own request, all of which a policy may ask for: the keys of the token, and what every
/// exchange has. `now` is a time as RFC 3339 writes it.
pub fn context(claims: &Value, now: &str) -> Context {
    let mut context = Context::open();
    add_keys(&mut context, claims);
    add_time(&mut context, now);
    context.set("aws:SecureTransport", "true");
    context.set("aws:ViaAWSService", "false");
    context.set("aws:PrincipalIsAWSService", "false");
    context
}

/// Puts the time of the request into a context.
pub fn add_time(context: &mut Context, now: &str) {
    context.set("aws:CurrentTime", now);
    if let Some(seconds) = crate::values::date(now) {
        #[expect(clippy::cast_possible_truncation, reason = "no clock is that far off")]
        context.set("aws:EpochTime", (seconds as i64).to_string());
    }
}

/// What the policy must allow: a token with tags in it asks for more than the exchange.
pub fn actions(claims: &Value) -> Vec<&'static str> {
    let has_tags = !session_tags(claims).is_empty();
    let has_source_identity = values(field(claims, SOURCE_IDENTITY)) != Found::Absent;
    let further = [(has_tags, "sts:TagSession"), (has_source_identity, "sts:SetSourceIdentity")];
    [ACTION].into_iter().chain(further.into_iter().filter(|(is, _)| *is).map(|(_, action)| action)).collect()
}

/// The statement that admits this token and no other: by its subject and its audience.
pub fn statement(claims: &Value, caller: &Caller) -> Value {
    let issuer = issuer(claims);
    let audience = if claim(claims, "aud") == claim(claims, "oaud") { "aud" } else { "oaud" };
    let mut equals = Map::new();
    let mut operators = Map::new();
    for name in ["sub", audience] {
        let key = format!("{issuer}:{name}");
        match claim(claims, name) {
            Found::Values(values) if values.len() == 1 => drop(equals.insert(key, values.concat().into())),
            Found::Values(values) => drop(operators.insert("ForAnyValue:StringEquals".into(), json!({key: values}))),
            _ => {}
        }
    }
    operators.insert("StringEquals".into(), Value::Object(equals));
    let actions = actions(claims);
    let action = if actions.len() == 1 { json!(ACTION) } else { json!(actions) };
    json!({
        "Effect": "Allow",
        "Principal": {caller.kind(): caller.name()},
        "Action": action,
        "Condition": operators,
    })
}

/// A policy with these statements.
pub fn policy(statements: &[Value]) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_tokens() {
        let google = json!({"iss": "https://accounts.google.com", "azp": "117", "sub": "117", "aud": "sts.amazonaws.com",
                            "email": "w@p.iam", "hd": "example.com", "google": {"compute_engine": {}}});
        let plain = json!({"iss": "accounts.google.com", "sub": "117", "aud": "sts.amazonaws.com"});
        let eks = json!({"iss": "https://oidc.eks.eu-west-1.amazonaws.com/id/5D", "aud": ["sts.amazonaws.com"],
                         "sub": "system:serviceaccount:default:app"});
        let github = json!({"iss": "https://token.actions.githubusercontent.com", "aud": ["a", "b"], "sub": "repo:a/b",
                            "repository_id": 456, "workflow_ref": "x", "ref_protected": true});
        let tagged = json!({"iss": "https://idp.example", "sub": "s", "aud": "a", "amr": ["pwd", "mfa"],
                            SOURCE_IDENTITY: "me",
                            TAGS: {"principal_tags": {"Team": ["blue"]}, "transitive_tag_keys": ["Team"]}});
        let flat = json!({"iss": "https://idp.example", "https://aws.amazon.com/tags/principal_tags/Team": "blue"});
        let values = |values: &[&str]| Found::Values(values.iter().map(|value| (*value).to_owned()).collect());
        for (claims, key, found) in [
            (&google, "accounts.google.com:aud", values(&["117"])),
            (&google, "Accounts.Google.com:OAUD", values(&["sts.amazonaws.com"])),
            (&google, "accounts.google.com:sub", values(&["117"])),
            (&google, "accounts.google.com:email", values(&["w@p.iam"])),
            (&google, "accounts.google.com:hd", Found::Absent),
            (&google, "accounts.google.com:azp", Found::Absent),
            (&google, "accounts.google.com:amr", Found::Absent),
            (&google, "accounts.google.com:google/organization_number", Found::Unknown),
            (&google, "www.amazon.com:app_id", Found::Absent),
            (&plain, "accounts.google.com:aud", values(&["sts.amazonaws.com"])),
            (&plain, "accounts.google.com:oaud", values(&["sts.amazonaws.com"])),
            (&eks, "oidc.eks.eu-west-1.amazonaws.com/id/5D:aud", values(&["sts.amazonaws.com"])),
            (&eks, "oidc.eks.eu-west-1.amazonaws.com/id/5D:sub", values(&["system:serviceaccount:default:app"])),
            (&github, "token.actions.githubusercontent.com:aud", values(&["a", "b"])),
            (&github, "token.actions.githubusercontent.com:repository_id", values(&["456"])),
            (&github, "token.actions.githubusercontent.com:workflow_ref", Found::Absent),
            (&github, "token.actions.githubusercontent.com:ref_protected", Found::Absent),
            (&tagged, "idp.example:amr", values(&["pwd", "mfa"])),
            (&tagged, "aws:RequestTag/team", values(&["blue"])),
            (&tagged, "aws:TagKeys", values(&["Team"])),
            (&tagged, "sts:TransitiveTagKeys", values(&["Team"])),
            (&tagged, "sts:SourceIdentity", values(&["me"])),
            (&flat, "aws:RequestTag/Team", values(&["blue"])),
            (&google, "aws:TagKeys", Found::Absent),
            (&google, "aws:EpochTime", values(&["1704067200"])),
            (&google, "aws:SecureTransport", values(&["true"])),
            (&google, "aws:SourceIp", Found::Unknown),
        ] {
            assert_eq!(context(claims, "2024-01-01T00:00:00Z").find(key), found, "{key}");
        }
        assert_eq!(actions(&google), [ACTION]);
        assert_eq!(actions(&tagged), [ACTION, "sts:TagSession", "sts:SetSourceIdentity"]);
    }

    #[test]
    fn statements_admit_their_token() {
        let claims = json!({"iss": "https://accounts.google.com", "azp": "117", "sub": "117", "aud": "a"});
        let condition = |claims: &Value| statement(claims, &caller(claims, None))["Condition"].clone();
        let equals = json!({"accounts.google.com:sub": "117", "accounts.google.com:oaud": "a"});
        assert_eq!(condition(&claims), json!({"StringEquals": equals}));
        let claims = json!({"iss": "https://accounts.google.com", "sub": "117", "aud": "a"});
        let equals = json!({"accounts.google.com:sub": "117", "accounts.google.com:aud": "a"});
        assert_eq!(condition(&claims), json!({"StringEquals": equals}));
        let claims = json!({"iss": "https://idp.example/x", "sub": "s", "aud": ["a", "b"]});
        let all = json!({"StringEquals": {"idp.example/x:sub": "s"},
                         "ForAnyValue:StringEquals": {"idp.example/x:aud": ["a", "b"]}});
        assert_eq!(condition(&claims), all);
        let role = Some("arn:aws-cn:iam::111122223333:role/a");
        let principal = statement(&claims, &caller(&claims, role))["Principal"].clone();
        assert_eq!(principal, json!({"Federated": "arn:aws-cn:iam::111122223333:oidc-provider/idp.example/x"}));
    }
}
