//! Credentials as JSON, for what keeps them beyond a process: caches, and what one agent leaves to the next.

use std::time::SystemTime;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::flow::{Content, Credentials, Keys, Principal};

/// The credentials, and when they were issued.
pub fn encode(issued: SystemTime, credentials: &Credentials) -> Value {
    let time = |time| humantime::format_rfc3339_nanos(time).to_string();
    let mut json = json!({"Issued": time(issued), "Expiration": time(credentials.expiration)});
    match &credentials.content {
        Content::Keys(keys) => {
            json["AccessKeyId"] = keys.access_key_id.as_str().into();
            json["SecretAccessKey"] = keys.secret_access_key.expose_secret().into();
            json["SessionToken"] = keys.session_token.expose_secret().into();
        }
        Content::WebIdentityToken(token) => json["WebIdentityToken"] = token.expose_secret().into(),
        Content::GoogleToken(token) => json["GoogleToken"] = token.expose_secret().into(),
    }
    match &credentials.principal {
        Principal::Role { arn, session_name } => {
            json["RoleArn"] = arn.as_str().into();
            json["RoleSessionName"] = session_name.as_str().into();
        }
        Principal::Google(principal) => json["Principal"] = principal.as_str().into(),
    }
    json
}

/// What [`encode`] made; `None` where something is missing.
pub fn decode(json: &Value) -> Option<(SystemTime, Credentials)> {
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let time = |name: &str| json[name].as_str().and_then(|time| humantime::parse_rfc3339(time).ok());
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
    Some((time("Issued")?, Credentials { content, expiration: time("Expiration")?, principal }))
}
