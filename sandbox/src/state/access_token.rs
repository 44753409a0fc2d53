//! What Google's access tokens stand for.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::settings::account::ServiceAccount;

/// A token's meaning.
#[derive(Clone)]
pub(crate) struct AccessToken {
    pub holder: Holder,
    pub scopes: Vec<String>,
    pub expires_at: SystemTime,
}

/// In whose name a token speaks.
#[derive(Clone)]
pub(crate) enum Holder {
    Account(ServiceAccount),
    Federated(Federated),
}

/// An identity of a workload identity pool, as Google sees it.
#[derive(Clone, Debug)]
pub(crate) struct Federated {
    /// `projects/NUMBER/locations/global/workloadIdentityPools/POOL`
    pub pool: String,
    /// `google.subject`
    pub subject: String,
    /// `attribute.NAME`
    pub attributes: BTreeMap<String, String>,
}

impl Federated {
    pub(crate) fn principal(&self) -> String {
        format!("principal://iam.googleapis.com/{}/subject/{}", self.pool, self.subject)
    }

    /// Whether a [member of a binding](https://cloud.google.com/iam/docs/principal-identifiers) means it.
    pub(crate) fn is(&self, member: &str) -> bool {
        let Some((kind, name)) = member.split_once("://iam.googleapis.com/") else {
            return false;
        };
        let Some(name) = name.strip_prefix(&self.pool).and_then(|rest| rest.strip_prefix('/')) else {
            return false;
        };
        match (kind, name.split_once('/')) {
            ("principal", Some(("subject", subject))) => subject == self.subject,
            ("principalSet", Some((attribute, value))) => {
                let own = attribute.strip_prefix("attribute.").and_then(|name| self.attributes.get(name));
                own.is_some_and(|own| own == value)
            }
            ("principalSet", None) => name == "*",
            _ => false,
        }
    }
}

impl Holder {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Account(account) => account.email.clone(),
            Self::Federated(federated) => federated.principal(),
        }
    }
}
