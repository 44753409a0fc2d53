//! What an exchange is asked for: an AWS session, or a token of Google.

use std::time::Duration;

use crate::system::shown;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct SessionRequest {
    /// The role.
    pub role_arn: String,
    /// The name under which CloudTrail shows what is done with it.
    pub role_session_name: String,
    /// How long it shall last, in whole seconds.
    pub duration: Duration,
}

/// What a Google client may ask for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenRequest {
    /// An access token of these scopes.
    AccessToken(Vec<String>),
    /// An ID token for this audience.
    IdToken(String),
    /// What the exchange is shown, for whoever does that itself.
    SubjectToken,
}

impl TokenRequest {
    /// In words, for a log: anybody on this machine may ask for anything.
    pub fn describe(&self) -> String {
        match self {
            Self::AccessToken(scopes) => {
                let scopes: Vec<_> = scopes.iter().map(|scope| shown::name(scope)).collect();
                format!("an access token for {}", scopes.join(" "))
            }
            Self::IdToken(audience) => format!("an ID token for {}", shown::name(audience)),
            Self::SubjectToken => "a subject token".into(),
        }
    }

    /// In words that no other has, for a cache.
    pub fn exactly(&self) -> String {
        match self {
            Self::AccessToken(scopes) => format!("an access token for {}", scopes.join(" ")),
            Self::IdToken(audience) => format!("an ID token for {audience}"),
            Self::SubjectToken => "a subject token".into(),
        }
    }
}

/// Scopes in one order, none twice: what is the same is asked for once.
pub fn scopes_in_order(scopes: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut scopes: Vec<String> = scopes.into_iter().filter(|scope| !scope.is_empty()).collect();
    scopes.sort();
    scopes.dedup();
    scopes
}
