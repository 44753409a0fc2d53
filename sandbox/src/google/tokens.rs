//! Access tokens: what each stands for, and
//! [`tokeninfo`](https://cloud.google.com/docs/authentication/token-types#access-contents), which tells it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::clock::{random_text, unix};
use crate::google::account::ServiceAccount;
use crate::google::error;
use crate::log::Request;
use crate::reply::Reply;
use crate::state::State;

/// The scope that stands for everything.
pub(crate) const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Where a token is shown.
pub(crate) const INFO_PATH: &str = "/tokeninfo";
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

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

/// A new token, known from now on.
pub(crate) fn mint(state: &State, prefix: &str, holder: Holder, scopes: Vec<String>, lifetime: Duration) -> String {
    let value = format!("{prefix}{}", random_text(ALPHABET, 160));
    state.remember_token(value.clone(), AccessToken { holder, scopes, expires_at: SystemTime::now() + lifetime });
    value
}

/// The meaning of a token that has not ended.
pub(crate) fn find(state: &State, token: &str) -> Option<AccessToken> {
    state.find_token(token).filter(|token| SystemTime::now() < token.expires_at)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_binding() {
        let pool = "projects/7/locations/global/workloadIdentityPools/p".to_string();
        let role = "arn:aws:sts::123456789012:assumed-role/r";
        let federated = Federated {
            subject: format!("{role}/session"),
            attributes: BTreeMap::from([("aws_role".to_string(), role.to_string())]),
            pool: pool.clone(),
        };
        let base = format!("://iam.googleapis.com/{pool}");
        for (member, good) in [
            (format!("principal{base}/subject/{role}/session"), true),
            (format!("principal{base}/subject/{role}/other"), false),
            (format!("principalSet{base}/attribute.aws_role/{role}"), true),
            (format!("principalSet{base}/attribute.aws_role/{role}2"), false),
            (format!("principalSet{base}/attribute.account/{role}"), false),
            (format!("principalSet{base}/*"), true),
            (format!("principal{base}/*"), false),
            (format!("principalSet://iam.googleapis.com/{pool}2/*"), false),
            ("serviceAccount:a@b".into(), false),
        ] {
            assert_eq!(federated.is(&member), good, "{member}");
        }
    }
}
