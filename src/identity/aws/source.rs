//! The sources of an AWS identity, and what one may answer.

use aws_credential_types::Credentials as AwsKeys;
use serde_json::Value;

use crate::error::Error;
use crate::model::aws_identity::{AwsBaseIdentity, AwsIdentity};

/// A source of AWS identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// See the module.
    Environment,
    /// See the module.
    Profile,
    /// See the module.
    WebIdentity,
    /// See the module.
    Container,
    /// See the module.
    Imds,
}

impl Source {
    /// All, in the order in which they are asked.
    pub const ALL: [Self; 5] = [Self::Environment, Self::Profile, Self::WebIdentity, Self::Container, Self::Imds];

    /// Its name in `--identity`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Profile => "profile",
            Self::WebIdentity => "web-identity",
            Self::Container => "container",
            Self::Imds => "imds",
        }
    }
}

/// What a source says.
pub enum Answer {
    /// This is who you are.
    Found(AwsIdentity),
    /// It is not configured, for this reason.
    NotHere(String),
    /// Nobody answers, who may answer later.
    NotYet(Error),
}

/// The identity of keys that a source has, and whose they are as far as it says so.
pub fn of_keys(source: Source, keys: AwsKeys, name: Option<String>) -> AwsIdentity {
    AwsIdentity { source: source.name(), name, start: AwsBaseIdentity::Keys(keys), roles: Vec::new() }
}

/// Keys in JSON as the metadata services and `credential_process` write them. `token` is how they call the session
/// token. `None`: there are none.
pub fn keys_in(json: &Value, token: &str) -> Option<AwsKeys> {
    let text = |name: &str| json[name].as_str().filter(|text| !text.is_empty());
    let expiration = text("Expiration").and_then(|time| humantime::parse_rfc3339_weak(time).ok());
    let session_token = text(token).map(str::to_owned);
    Some(AwsKeys::new(text("AccessKeyId")?, text("SecretAccessKey")?, session_token, expiration, "fedboot"))
}
