//! Google's [IAM Credentials](https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateIdToken)
//! and its published keys.

use std::time::SystemTime;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::fault::Service;
use crate::jwt;
use crate::log::Request;
use crate::metadata::claims;
use crate::reply::Reply;
use crate::state::State;

/// Where Google publishes its keys.
pub(crate) const JWKS_PATH: &str = "/oauth2/v3/certs";
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
const ACCOUNTS: &str = "/v1/projects/-/serviceAccounts/";

/// Which service a path on the shared listener belongs to.
pub(crate) fn service_of(path: &str) -> Service {
    match path {
        JWKS_PATH | DISCOVERY_PATH => Service::Jwks,
        _ => Service::IamCredentials,
    }
}

/// The published keys, and where they are.
pub(crate) fn keys(request: &Request) -> Reply {
    let host = request.header("host").unwrap_or("localhost");
    let scheme = if request.tls { "https" } else { "http" };
    match request.path.as_str() {
        JWKS_PATH => Reply::json(200, &jwt::published().jwks(), "the published key"),
        _ => Reply::json(
            200,
            &json!({
                "issuer": "https://accounts.google.com",
                "jwks_uri": format!("{scheme}://{host}{JWKS_PATH}"),
                "id_token_signing_alg_values_supported": ["RS256"],
                "subject_types_supported": ["public"],
                "response_types_supported": ["id_token"],
            }),
            "the discovery document",
        ),
    }
}

/// `POST /v1/projects/-/serviceAccounts/EMAIL:generateIdToken` with an access token from the metadata server.
pub(crate) fn iam_credentials(state: &State, request: &Request, skew: i64) -> Reply {
    let path = percent_decode_str(&request.path).decode_utf8_lossy();
    let Some((name, method)) = path.strip_prefix(ACCOUNTS).and_then(|rest| rest.rsplit_once(':')) else {
        return refused(404, "NOT_FOUND", "Requested entity was not found.", None);
    };
    if method != "generateIdToken" {
        return refused(404, "NOT_FOUND", &format!("Method {method} not found."), None);
    }
    if request.method != "POST" {
        return refused(405, "METHOD_NOT_ALLOWED", "POST is wanted.", None);
    }
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let token = bearer.and_then(|token| state.find_token(token)).filter(|token| SystemTime::now() < token.expires_at);
    let Some(token) = token else {
        let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie \
                       or other valid authentication credential. See \
                       https://developers.google.com/identity/sign-in/web/devconsole-project.";
        return refused(401, "UNAUTHENTICATED", message, None);
    };
    let allowed_scope = |scope: &String| scope.ends_with("/auth/cloud-platform") || scope.ends_with("/auth/iam");
    if !token.scopes.iter().any(allowed_scope) {
        return refused(
            403,
            "PERMISSION_DENIED",
            "Request had insufficient authentication scopes.",
            Some(json!({"reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "domain": "googleapis.com"})),
        );
    }
    let settings = state.settings();
    // An account may always speak for itself only if it was given that permission, so the caller is not added here.
    let target = settings.impersonable.iter().find(|account| account.email == name || account.unique_id == name);
    let Some(target) = target else {
        return refused(
            403,
            "PERMISSION_DENIED",
            "Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not exist).",
            Some(json!({
                "reason": "IAM_PERMISSION_DENIED",
                "domain": "iam.googleapis.com",
                "metadata": {"permission": "iam.serviceAccounts.getOpenIdToken"},
            })),
        );
    };
    let Ok(body) = serde_json::from_str::<Value>(&request.body) else {
        return refused(400, "INVALID_ARGUMENT", "Invalid JSON payload received.", None);
    };
    let Some(audience) = body["audience"].as_str().filter(|a| !a.is_empty()) else {
        return refused(400, "INVALID_ARGUMENT", "Audience must be provided.", None);
    };
    if body["delegates"].as_array().is_some_and(|d| !d.is_empty()) {
        return refused(400, "INVALID_ARGUMENT", "The sandbox knows no delegates.", None);
    }
    let with_email = body["includeEmail"] == true;
    let claims = claims(&settings, target, audience, with_email, skew);
    Reply::json(
        200,
        &json!({"token": jwt::published().sign(&claims)}),
        format!("{} minted for {}: {claims}", token.email, target.email),
    )
}

/// An error of Google's by its name, with the status and message that usually go with it.
pub(crate) fn error(name: &str, message: Option<String>, status: Option<u16>) -> Reply {
    let usual = match name {
        "UNAUTHENTICATED" => 401,
        "PERMISSION_DENIED" => 403,
        "NOT_FOUND" => 404,
        "RESOURCE_EXHAUSTED" => 429,
        "INTERNAL" => 500,
        "UNAVAILABLE" => 503,
        _ => 400,
    };
    let message = message.unwrap_or_else(|| "This fault was asked for.".into());
    refused(status.unwrap_or(usual), name, &message, None)
}

fn refused(status: u16, name: &str, message: &str, info: Option<Value>) -> Reply {
    let mut error = json!({"code": status, "message": message, "status": name});
    if let Some(mut info) = info {
        info["@type"] = json!("type.googleapis.com/google.rpc.ErrorInfo");
        error["details"] = json!([info]);
    }
    Reply::json(status, &json!({"error": error}), format!("refused: {name}: {message}"))
}
