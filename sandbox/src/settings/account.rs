//! A service account.

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// A Google service account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "AccountForm")]
pub struct ServiceAccount {
    /// Its address.
    pub email: String,
    /// Its numeric unique id: `sub` and `azp` of its tokens.
    pub unique_id: String,
}

/// An account is written in full or as its address alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum AccountForm {
    Email(String),
    Full { email: String, unique_id: String },
}

impl From<AccountForm> for ServiceAccount {
    fn from(form: AccountForm) -> Self {
        match form {
            AccountForm::Email(email) => Self::new(email),
            AccountForm::Full { email, unique_id } => Self { email, unique_id },
        }
    }
}

impl ServiceAccount {
    /// An account whose unique id follows from its address, always the same.
    pub fn new(email: impl Into<String>) -> Self {
        let email = email.into();
        let hash = digest(&SHA256, email.as_bytes());
        let digits = hash.as_ref().iter().take(20).map(|byte| (b'0' + byte % 10) as char);
        let unique_id = std::iter::once('1').chain(digits).collect();
        Self { email, unique_id }
    }
}

impl From<&str> for ServiceAccount {
    fn from(email: &str) -> Self {
        Self::new(email)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_well_formed() {
        let account = ServiceAccount::new("a@b");
        assert_eq!(account, ServiceAccount::new("a@b"));
        assert_eq!(account.unique_id.len(), 21);
    }
}
