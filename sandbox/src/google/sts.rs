//! Google's Security Token Service: the
//! [token exchange](https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token) of
//! [RFC 8693](https://www.rfc-editor.org/rfc/rfc8693). A form POST in, JSON out.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::clock::{shifted, unix};
use crate::google::attributes::{self, Refusal};
use crate::google::error;
use crate::google::signed_request;
use crate::google::tokens;
use crate::jwt::issuers;
use crate::jwt::key::Disbelief;
use crate::reply::Reply;
use crate::settings::Settings;
use crate::settings::provider::{Provider, Trusts};
use crate::state::State;
use crate::state::access_token::Holder;
use crate::state::log::Request;

const PATH: &str = "/v1/token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const AWS_REQUEST: &str = "urn:ietf:params:aws:token-type:aws4_request";
const JWT: [&str; 2] = ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"];
const LIFETIME: Duration = Duration::from_secs(3600);

pub(crate) fn answer(state: &State, request: &Request, skew: i64) -> Reply {
    if request.path != PATH {
        return error::refused(404, "NOT_FOUND", "Requested entity was not found.", None);
    }
    if request.method != "POST" {
        return error::refused(405, "METHOD_NOT_ALLOWED", "POST is wanted.", None);
    }
    exchange(state, request, skew).unwrap_or_else(|(code, description)| refused(code, &description))
}

/// What follows the NUL is for the log.
fn refused(code: &str, description: &str) -> Reply {
    let (description, why) = description.split_once('\u{0}').unwrap_or((description, ""));
    let mut reply = error::oauth(code, description, None);
    if !why.is_empty() {
        reply.verdict += &format!(" ({why})");
    }
    reply
}

fn exchange(state: &State, request: &Request, skew: i64) -> Result<Reply, Refusal> {
    let settings = state.settings();
    let form = |name: &str| {
        let value = request.param(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| ("invalid_request", format!("Missing required parameter: {name}")))
    };
    let invalid = |name: &str| ("invalid_request", format!("Invalid value for \"{name}\"."));
    if !request.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return Err(("invalid_request", "The request is not application/x-www-form-urlencoded.".into()));
    }
    let grant = form("grant_type")?;
    if grant != GRANT {
        return Err(("unsupported_grant_type", format!("Invalid grant_type: {grant}")));
    }
    let provider = provider(&settings, form("audience")?)?;
    if form("requested_token_type")? != ACCESS_TOKEN {
        return Err(invalid("requested_token_type"));
    }
    let scopes: Vec<String> = form("scope")?.split_whitespace().map(str::to_string).collect();
    if let Some(wrong) = scopes.iter().find(|scope| !scope.starts_with("https://www.googleapis.com/auth/")) {
        return Err(("invalid_scope", format!("Invalid OAuth scope: {wrong}")));
    }
    let (kind, token) = (form("subject_token_type")?, form("subject_token")?);
    let assertion = match &provider.trusts {
        Trusts::Aws { .. } if kind == AWS_REQUEST => {
            signed_request::assertion(state, &settings, provider, request, token, skew)?
        }
        Trusts::Oidc { issuer_uri, .. } if JWT.contains(&kind) => claims(provider, issuer_uri, token, skew)?,
        _ => return Err(invalid("subject_token_type")),
    };
    let federated = attributes::federated(provider, &assertion)?;
    let lifetime = settings.access_token_cap.map_or(LIFETIME, |cap| cap.min(LIFETIME));
    let verdict = format!("a token of {} with {:?}", federated.principal(), federated.attributes);
    let token = tokens::mint(state, "ya29.d.", Holder::Federated(federated), scopes, lifetime);
    let body = json!({
        "access_token": token,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": lifetime.as_secs(),
    });
    Ok(Reply::json(200, &body, verdict))
}

fn provider<'s>(settings: &'s Settings, audience: &str) -> Result<&'s Provider, Refusal> {
    let known = settings.providers.iter().find(|provider| provider.audience() == audience);
    if let Some(provider) = known.filter(|provider| !provider.disabled) {
        return Ok(provider);
    }
    let name = audience.strip_prefix("//iam.googleapis.com/projects/");
    let name = name.and_then(|name| name.split_once("/locations/global/workloadIdentityPools/"));
    let whole = |rest: &str| matches!(rest.split('/').collect::<Vec<_>>()[..], [_, "providers", _]);
    let Some((number, _)) = name.filter(|(number, rest)| !number.contains('/') && whole(rest)) else {
        let message = "Invalid value for \"audience\". This value should be the full resource name of the Identity \
                       Provider. See https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token for the \
                       list of possible formats.";
        return Err(("invalid_request", message.into()));
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = "Invalid value for \"audience\". Project number must be an integer.";
        return Err(("invalid_request", message.into()));
    }
    let message = "The target service indicated by the \"audience\" parameters is invalid. This might either be \
                   because the pool or provider is disabled or deleted or because it doesn't exist.";
    Err(("invalid_target", message.into()))
}

/// The claims of a token that the provider's issuer signed for it and that still holds.
fn claims(provider: &Provider, expected_issuer: &str, token: &str, skew: i64) -> Result<Value, Refusal> {
    let grant = |message: String| ("invalid_grant", message);
    let claims = issuers::verify(token).map_err(|disbelief| match disbelief {
        Disbelief::Malformed(why) => grant(format!("The given credential is not a valid ID Token.\u{0}{why}")),
        Disbelief::UnknownIssuer(_) => grant("Error connecting to the given credential's issuer.".into()),
        Disbelief::UnknownKey(kid) => grant(format!("Invalid ID Token signature.\u{0}no key \"{kid}\"")),
        Disbelief::BadSignature => grant("Invalid ID Token signature.".into()),
    })?;
    let issuer = claims["iss"].as_str().unwrap_or("");
    if issuer != expected_issuer {
        return Err(grant(format!("The issuer in ID Token {issuer} does not match the expected ones.")));
    }
    let audiences: Vec<&str> = match &claims["aud"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let allowed = provider.allowed_audiences();
    if !audiences.iter().any(|audience| allowed.iter().any(|allowed| allowed == audience)) {
        let found = audiences.join(", ");
        let message = format!("The audience in ID Token [{found}] does not match the expected audience.");
        return Err(grant(message));
    }
    let now = unix(shifted(SystemTime::now(), skew));
    let (issued, expires) = (claims["iat"].as_i64(), claims["exp"].as_i64());
    let (Some(issued), Some(expires)) = (issued, expires) else {
        return Err(grant("The given credential is not a valid ID Token.\u{0}iat or exp is missing".into()));
    };
    if expires <= now {
        return Err(grant(format!("ID Token issued at {issued} is stale to sign-in.")));
    }
    if issued > now + 60 {
        return Err(grant(format!("ID Token issued at {issued} is in the future.")));
    }
    Ok(claims)
}
