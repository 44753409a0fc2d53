//! Google's IAM Credentials:
//! [generateAccessToken](https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken),
//! [generateIdToken](https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateIdToken).
//!
//! A service account may speak for those that [`Settings::impersonable`] lists, a federated identity for those that
//! [`Settings::workload_identity_users`] binds it to.

use std::time::{Duration, SystemTime};

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::clock::{rfc3339, shifted, whole_second};
use crate::google::error::refused;
use crate::google::metadata::claims;
use crate::google::tokens;
use crate::jwt::key::PUBLISHED;
use crate::reply::Reply;
use crate::settings::Settings;
use crate::settings::account::ServiceAccount;
use crate::state::State;
use crate::state::access_token::{AccessToken, Holder};
use crate::state::log::Request;

pub(crate) const ACCOUNTS: &str = "/v1/projects/-/serviceAccounts/";
const HOUR: Duration = Duration::from_secs(3600);
const HALF_A_DAY: Duration = Duration::from_secs(43_200);

/// `POST /v1/projects/-/serviceAccounts/EMAIL:METHOD` with an access token.
pub(crate) fn answer(state: &State, request: &Request, skew: i64) -> Reply {
    if request.path == tokens::INFO_PATH {
        return tokens::info(state, request);
    }
    credentials(state, request, skew).unwrap_or_else(|refusal| refusal)
}

fn credentials(state: &State, request: &Request, skew: i64) -> Result<Reply, Reply> {
    let wrong = |status, name, message: &str| refused(status, name, message, None);
    let path = percent_decode_str(&request.path).decode_utf8_lossy();
    let method = path.strip_prefix(ACCOUNTS).and_then(|rest| rest.rsplit_once(':'));
    let (name, method) = method.ok_or_else(|| wrong(404, "NOT_FOUND", "Requested entity was not found."))?;
    let permission = match method {
        "generateAccessToken" => "iam.serviceAccounts.getAccessToken",
        "generateIdToken" => "iam.serviceAccounts.getOpenIdToken",
        _ => return Err(wrong(404, "NOT_FOUND", &format!("Method {method} not found."))),
    };
    if request.method != "POST" {
        return Err(wrong(405, "METHOD_NOT_ALLOWED", "POST is wanted."));
    }
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let token = bearer.and_then(|token| tokens::find(state, token)).ok_or_else(|| {
        let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie \
                       or other valid authentication credential. See \
                       https://developers.google.com/identity/sign-in/web/devconsole-project.";
        wrong(401, "UNAUTHENTICATED", message)
    })?;
    let denied = |message: &str, info: Value| refused(403, "PERMISSION_DENIED", message, Some(info));
    let allowed_scope = |scope: &String| scope.ends_with("/auth/cloud-platform") || scope.ends_with("/auth/iam");
    if !token.scopes.iter().any(allowed_scope) {
        let info = json!({"reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "domain": "googleapis.com"});
        return Err(denied("Request had insufficient authentication scopes.", info));
    }
    let settings = state.settings();
    let target = permitted(&settings, &token, name).ok_or_else(|| {
        let metadata = json!({"permission": permission});
        let info = json!({"reason": "IAM_PERMISSION_DENIED", "domain": "iam.googleapis.com", "metadata": metadata});
        denied(&format!("Permission '{permission}' denied on resource (or it may not exist)."), info)
    })?;
    let invalid = |message: &str| wrong(400, "INVALID_ARGUMENT", message);
    let body: Value = serde_json::from_str(&request.body).map_err(|_| invalid("Invalid JSON payload received."))?;
    if body["delegates"].as_array().is_some_and(|d| !d.is_empty()) {
        return Err(invalid("The sandbox knows no delegates."));
    }
    let caller = token.holder.name();
    Ok(match method {
        "generateIdToken" => id_token(&settings, &target, &caller, &body, skew),
        _ => access_token(state, &settings, target, &caller, &body, skew),
    })
}

/// The account of that address or number, if the token's holder may speak for it.
fn permitted(settings: &Settings, token: &AccessToken, name: &str) -> Option<ServiceAccount> {
    let is_meant = |account: &ServiceAccount| account.email == name || account.unique_id == name;
    match &token.holder {
        // An account may speak for itself only if it was given that permission, so the caller is not added here.
        Holder::Account(_) => settings.impersonable.iter().find(|account| is_meant(account)).cloned(),
        Holder::Federated(federated) => {
            let bound = settings.workload_identity_users.iter();
            let bound = bound.filter(|(_, members)| members.iter().any(|member| federated.is(member)));
            let known = settings.service_account.iter().chain(&settings.impersonable);
            bound
                .map(|(email, _)| known.clone().find(|a| a.email == *email).cloned().unwrap_or(email.as_str().into()))
                .find(is_meant)
        }
    }
}

fn id_token(settings: &Settings, target: &ServiceAccount, caller: &str, body: &Value, skew: i64) -> Reply {
    let Some(audience) = body["audience"].as_str().filter(|a| !a.is_empty()) else {
        return refused(400, "INVALID_ARGUMENT", "Audience must be provided.", None);
    };
    let with_email = body["includeEmail"] == true;
    let claims = claims(settings, target, audience, with_email, skew);
    Reply::json(
        200,
        &json!({"token": PUBLISHED.sign(&claims)}),
        format!("{caller} minted for {}: {claims}", target.email),
    )
}

fn access_token(
    state: &State,
    settings: &Settings,
    target: ServiceAccount,
    caller: &str,
    body: &Value,
    skew: i64,
) -> Reply {
    let invalid = |message: &str| refused(400, "INVALID_ARGUMENT", message, None);
    let scopes: Option<Vec<String>> = body["scope"]
        .as_array()
        .and_then(|scopes| scopes.iter().map(|scope| scope.as_str().map(str::to_string)).collect());
    let Some(scopes) = scopes.filter(|scopes| !scopes.is_empty() && scopes.iter().all(|scope| !scope.is_empty()))
    else {
        return invalid("Request contains an invalid argument.");
    };
    let asked = match &body["lifetime"] {
        Value::Null => HOUR,
        lifetime => match lifetime.as_str().and_then(duration) {
            Some(asked) => asked,
            None => {
                return invalid(
                    "Invalid value at 'lifetime' (type.googleapis.com/google.protobuf.Duration), Field 'lifetime', \
                     Illegal duration format; duration must end with 's'",
                );
            }
        },
    };
    let longest = if settings.lifetime_extension { HALF_A_DAY } else { HOUR };
    if asked.is_zero() || asked > longest {
        return invalid(&format!(
            "The access token lifetime cannot exceed {} seconds; if a lifetime value larger than 1 hour is required, \
             please add the service account as an allowed value in an Organization Policy that enforces the \
             `constraints/iam.allowServiceAccountCredentialLifetimeExtension` constraint.",
            longest.as_secs()
        ));
    }
    let lifetime = settings.access_token_cap.map_or(asked, |cap| cap.min(asked));
    // The time is told in whole seconds and rounded up; the token lives as long.
    let end = whole_second(SystemTime::now() + lifetime);
    let verdict = format!("{caller} got a token of {} for {}", target.email, scopes.join(" "));
    let lifetime = end.duration_since(SystemTime::now()).unwrap_or_default();
    let token = tokens::mint(state, "ya29.c.", Holder::Account(target), scopes, lifetime);
    let body = json!({"accessToken": token, "expireTime": rfc3339(shifted(end, skew), false)});
    Reply::json(200, &body, verdict)
}

/// `3600s`, `3.5s`
fn duration(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.strip_suffix('s')?.parse().ok()?).ok()
}
