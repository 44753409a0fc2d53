//! Access tokens: what each stands for, and
//! [`tokeninfo`](https://cloud.google.com/docs/authentication/token-types#access-contents), which tells it.

use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::clock::{random_text, unix};
use crate::google::error;
use crate::reply::Reply;
use crate::state::State;
use crate::state::access_token::{AccessToken, Holder};
use crate::state::log::Request;

/// The scope that stands for everything.
pub(crate) const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Where a token is shown.
pub(crate) const INFO_PATH: &str = "/tokeninfo";
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A new token, known from now on.
pub(crate) fn mint(state: &State, prefix: &str, holder: Holder, scopes: Vec<String>, lifetime: Duration) -> String {
    let value = format!("{prefix}{}", random_text(ALPHABET, 160));
    let meaning = AccessToken { holder, scopes, expires_at: SystemTime::now() + lifetime };
    state.access_tokens.lock().insert(value.clone(), meaning);
    value
}

/// The meaning of a token that has not ended.
pub(crate) fn find(state: &State, token: &str) -> Option<AccessToken> {
    state.access_tokens.lock().get(token).cloned().filter(|token| SystemTime::now() < token.expires_at)
}

/// `GET /tokeninfo?access_token=TOKEN`
pub(crate) fn info(state: &State, request: &Request) -> Reply {
    let token = request.param("access_token").and_then(|token| find(state, token));
    let Some(token) = token else {
        return error::oauth("invalid_token", "Invalid Value", None);
    };
    let left = token.expires_at.duration_since(SystemTime::now()).unwrap_or_default().as_secs();
    let mut body = json!({
        "access_type": "online",
        "exp": unix(token.expires_at).to_string(),
        "expires_in": left.to_string(),
        "scope": token.scopes.join(" "),
    });
    match &token.holder {
        Holder::Account(account) => {
            body["azp"] = json!(account.unique_id);
            body["aud"] = json!(account.unique_id);
            body["sub"] = json!(account.unique_id);
            body["email"] = json!(account.email);
            body["email_verified"] = json!("true");
        }
        Holder::Federated(federated) => body["sub"] = json!(federated.principal()),
    }
    Reply::json(200, &body, format!("a token of {}", token.holder.name()))
}
