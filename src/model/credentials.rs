//! What was issued, for a while.

use std::time::SystemTime;

use aws_credential_types::Credentials as AwsKeys;
use secrecy::{ExposeSecret, SecretString};

use crate::system::shown;

/// What was issued, for a while.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// What clients use.
    pub content: Content,
    /// When it is no longer accepted.
    pub expiration: SystemTime,
    /// Who acts with it.
    pub principal: Principal,
    /// Whose identity it was issued to, and where that was found; empty where nobody knows.
    pub identity: String,
}

impl Credentials {
    /// The keys, where it is not a token.
    pub fn keys(&self) -> Option<&Keys> {
        match &self.content {
            Content::Keys(keys) => Some(keys),
            Content::WebIdentityToken(_) | Content::GoogleToken(_) => None,
        }
    }

    /// The token, where it is not keys.
    pub fn token(&self) -> Option<&SecretString> {
        match &self.content {
            Content::WebIdentityToken(token) | Content::GoogleToken(token) => Some(token),
            Content::Keys(_) => None,
        }
    }
}

/// Who acts with credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// An AWS role, the last one of a chain, in a session of this name, both as they were asked for.
    Role {
        /// Its ARN.
        arn: String,
        /// The name under which CloudTrail shows what is done with it.
        session_name: String,
    },
    /// A Google service account's address, or the workload identity pool where there is none.
    Google(String),
}

impl Principal {
    /// As logs and probes name it.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Role { arn, session_name } => vec![("role", arn.clone()), ("session", session_name.clone())],
            Self::Google(name) if name.contains('@') => vec![("service_account", name.clone())],
            Self::Google(name) => vec![("principal", name.clone())],
        }
    }
}

/// What clients use.
#[derive(Clone, Debug)]
pub enum Content {
    /// AWS keys.
    Keys(Keys),
    /// A web identity token, which the client exchanges for keys itself.
    WebIdentityToken(SecretString),
    /// A Google token: an access token or an ID token, or one that is exchanged for such.
    GoogleToken(SecretString),
}

/// AWS keys of a session.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Not a secret: it stands in logs and in CloudTrail.
    pub access_key_id: String,
    /// The key that signs.
    pub secret_access_key: SecretString,
    /// Goes with every signed request.
    pub session_token: SecretString,
}

impl Keys {
    /// The key's id, where it is like one: a service that is none may have sent anything.
    pub fn shown_id(&self) -> String {
        let id = &self.access_key_id;
        let is_letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if (1..=32).contains(&id.len()) && id.bytes().all(is_letter) { id.clone() } else { shown::CUT.into() }
    }
}

impl From<&Keys> for AwsKeys {
    fn from(keys: &Keys) -> Self {
        let (secret, token) = (keys.secret_access_key.expose_secret(), keys.session_token.expose_secret());
        Self::new(&keys.access_key_id, secret, Some(token.into()), None, "fedboot")
    }
}

/// Why the last try failed.
#[derive(Clone, Debug)]
pub struct RefreshFailure {
    /// When.
    pub at: SystemTime,
    /// When it will be tried again.
    pub next_try: SystemTime,
    /// How often in a row.
    pub failures: u32,
    /// The error as a sentence.
    pub error: String,
}
