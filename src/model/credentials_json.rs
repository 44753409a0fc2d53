//! Credentials as JSON, for what keeps them beyond a process: caches, and what one agent leaves to the next.

use std::time::SystemTime;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::model::credentials::{Content, Credentials, Keys, Principal};
use crate::system::log::shown;

/// The credentials, and when they were issued.
pub fn encode(issued: SystemTime, credentials: &Credentials) -> Map<String, Value> {
    let time = |time| humantime::format_rfc3339_nanos(shown(time)).to_string();
    let mut all = vec![("Issued", time(issued)), ("Expiration", time(credentials.expiration))];
    match &credentials.content {
        Content::Keys(keys) => all.extend([
            ("AccessKeyId", keys.access_key_id.clone()),
            ("SecretAccessKey", keys.secret_access_key.expose_secret().into()),
            ("SessionToken", keys.session_token.expose_secret().into()),
        ]),
        Content::WebIdentityToken(token) => all.push(("WebIdentityToken", token.expose_secret().into())),
        Content::GoogleToken(token) => all.push(("GoogleToken", token.expose_secret().into())),
    }
    match &credentials.principal {
        Principal::Role { arn, session_name } => {
            all.extend([("RoleArn", arn.clone()), ("RoleSessionName", session_name.clone())]);
        }
        Principal::Google(principal) => all.push(("Principal", principal.clone())),
    }
    all.push(("Identity", credentials.identity.clone()));
    all.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// What [`encode`] made; `None` where something is missing.
pub fn decode(json: &Map<String, Value>) -> Option<(SystemTime, Credentials)> {
    let text = |name: &str| json.get(name)?.as_str().map(str::to_owned);
    let time = |name: &str| humantime::parse_rfc3339(json.get(name)?.as_str()?).ok();
    let content = match (text("GoogleToken"), text("WebIdentityToken")) {
        (Some(token), _) => Content::GoogleToken(SecretString::from(token)),
        (None, Some(token)) => Content::WebIdentityToken(SecretString::from(token)),
        (None, None) => Content::Keys(Keys {
            access_key_id: text("AccessKeyId")?,
            secret_access_key: SecretString::from(text("SecretAccessKey")?),
            session_token: SecretString::from(text("SessionToken")?),
        }),
    };
    let principal = match text("Principal") {
        Some(principal) => Principal::Google(principal),
        None => Principal::Role { arn: text("RoleArn")?, session_name: text("RoleSessionName")? },
    };
    Some((
        time("Issued")?,
        Credentials {
            content,
            expiration: time("Expiration")?,
            principal,
            identity: text("Identity").unwrap_or_default(),
        },
    ))
}
