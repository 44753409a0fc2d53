//! What the two clouds hold: accounts, roles, attributes, lifetimes. All of it may change while they run.

use std::collections::BTreeMap;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::trust;
use crate::xml::Dialect;

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

/// An IAM role with its trust policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// Its trust policy; see [`Role::new`].
    pub trust_policy: Value,
    /// The longest session.
    #[serde(default = "twelve_hours", with = "seconds", rename = "max_duration_seconds")]
    pub max_duration: Duration,
}

impl Role {
    /// A role with the trust policy in JSON. [`crate::Builder::start`] refuses a policy with elements that are not
    /// evaluated here.
    pub fn new(arn: impl Into<String>, trust_policy: &str) -> Self {
        Self {
            arn: arn.into(),
            // What is no JSON stays as a string, which the check refuses.
            trust_policy: serde_json::from_str(trust_policy).unwrap_or_else(|_| Value::String(trust_policy.into())),
            max_duration: twelve_hours(),
        }
    }

    /// A role that trusts these accounts, for one audience.
    pub fn trusting<'a>(
        arn: impl Into<String>,
        accounts: impl IntoIterator<Item = &'a ServiceAccount>,
        audience: &str,
    ) -> Self {
        let subjects: Vec<&str> = accounts.into_iter().map(|account| account.unique_id.as_str()).collect();
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"Federated": trust::PROVIDER},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {
                    "accounts.google.com:sub": subjects,
                    "accounts.google.com:oaud": audience,
                }},
            }],
        });
        Self::new(arn, &policy.to_string())
    }

    /// A role that a session of the trusted role may assume, tag, and give a source identity: the second one of a
    /// chain. In place of a role's ARN may stand whatever a policy's `AWS` principal may be.
    pub fn trusting_role(arn: impl Into<String>, trusted_role_arn: &str, external_id: Option<&str>) -> Self {
        let mut policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"AWS": trusted_role_arn},
                "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
            }],
        });
        if let Some(id) = external_id {
            policy["Statement"][0]["Condition"] = json!({"StringEquals": {"sts:ExternalId": id}});
        }
        Self::new(arn, &policy.to_string())
    }

    /// Sets the longest session, twelve hours otherwise.
    pub fn max_duration(mut self, max_duration: Duration) -> Self {
        self.max_duration = max_duration;
        self
    }

    /// The account number in its ARN.
    pub(crate) fn account(&self) -> &str {
        self.arn.split(':').nth(4).unwrap_or("")
    }

    pub(crate) fn partition(&self) -> &str {
        self.arn.split(':').nth(1).unwrap_or("aws")
    }

    /// Its name without the path.
    pub(crate) fn name(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or("")
    }

    /// `AROA…`, which follows from the ARN.
    pub(crate) fn id(&self) -> String {
        let hash = digest(&SHA256, self.arn.as_bytes());
        let letters = hash.as_ref().iter().take(17).map(|byte| {
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
            alphabet[usize::from(byte % 32)] as char
        });
        "AROA".chars().chain(letters).collect()
    }
}

fn twelve_hours() -> Duration {
    Duration::from_secs(43_200)
}

/// Everything that may be changed at run time, with [`crate::Sandbox::change`] or `POST /settings`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The default service account of the instance; without one the metadata server answers 404.
    pub service_account: Option<ServiceAccount>,
    /// The accounts for which the default one may mint ID tokens.
    pub impersonable: Vec<ServiceAccount>,
    /// Google project.
    pub project_id: String,
    /// Its number.
    pub project_number: u64,
    /// Name of the instance.
    pub instance_name: String,
    /// Its id.
    pub instance_id: u64,
    /// Its zone, as in `europe-west1-b`.
    pub zone: String,
    /// Metadata attributes of the instance.
    pub attributes: BTreeMap<String, String>,
    /// Metadata attributes of the project.
    pub project_attributes: BTreeMap<String, String>,
    /// Lifetime of Google's ID tokens.
    #[serde(with = "seconds", rename = "id_token_lifetime_seconds")]
    pub id_token_lifetime: Duration,
    /// Lifetime of Google's access tokens.
    #[serde(with = "seconds", rename = "access_token_lifetime_seconds")]
    pub access_token_lifetime: Duration,
    /// AWS roles.
    pub roles: Vec<Role>,
    /// AWS region for children.
    pub region: String,
    /// What every session lasts, whatever `DurationSeconds` asks for.
    #[serde(with = "optional_seconds", rename = "credential_lifetime_seconds")]
    pub credential_lifetime: Option<Duration>,
    /// The shortest `DurationSeconds` that STS accepts.
    #[serde(with = "seconds", rename = "min_duration_seconds")]
    pub min_duration: Duration,
    /// How STS writes XML.
    pub dialect: Dialect,
}

impl Default for Settings {
    fn default() -> Self {
        let account = ServiceAccount::new("worker@demo-project.iam.gserviceaccount.com");
        let role = Role::trusting("arn:aws:iam::123456789012:role/fedboot-demo", [&account], "sts.amazonaws.com");
        Self {
            service_account: Some(account),
            impersonable: Vec::new(),
            project_id: "demo-project".into(),
            project_number: 739_419_398_126,
            instance_name: "demo-worker-0".into(),
            instance_id: 1_529_866_622_329_384_490,
            zone: "europe-west1-b".into(),
            attributes: BTreeMap::new(),
            project_attributes: BTreeMap::new(),
            id_token_lifetime: Duration::from_secs(3600),
            access_token_lifetime: Duration::from_secs(3600),
            roles: vec![role],
            region: "eu-west-1".into(),
            credential_lifetime: None,
            min_duration: Duration::from_secs(900),
            dialect: Dialect::aws(),
        }
    }
}

impl Settings {
    /// Refuses what the services could not serve.
    pub(crate) fn check(&self) -> Result<(), String> {
        for role in &self.roles {
            trust::check(&role.trust_policy).map_err(|why| format!("trust policy of {}: {why}", role.arn))?;
        }
        Ok(())
    }

    /// These settings with the top-level fields of `changes` in place of their own.
    pub(crate) fn merged(&self, changes: &Value) -> Result<Self, String> {
        let changes = changes.as_object().ok_or("settings are a JSON object")?;
        let mut all = serde_json::to_value(self).map_err(|e| e.to_string())?;
        for (name, value) in changes {
            all[name] = value.clone();
        }
        let merged: Self = serde_json::from_value(all).map_err(|e| format!("settings: {e}"))?;
        merged.check()?;
        Ok(merged)
    }
}

mod seconds {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(duration.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

mod optional_seconds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        duration.map(|d| d.as_secs_f64()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Option::<f64>::deserialize(from)?
            .map(|s| Duration::try_from_secs_f64(s).map_err(serde::de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_changes_and_refuses_unknown_ones() {
        let settings = Settings::default();
        let changes = json!({
            "credential_lifetime_seconds": 2.5,
            "service_account": null,
            "impersonable": ["a@b", {"email": "c@d", "unique_id": "7"}],
            "dialect": {"prolog": true},
        });
        let merged = settings.merged(&changes).unwrap();
        assert_eq!(merged.credential_lifetime, Some(Duration::from_millis(2500)));
        assert_eq!(merged.service_account, None);
        assert_eq!(merged.impersonable[0], ServiceAccount::new("a@b"));
        assert_eq!(merged.impersonable[1].unique_id, "7");
        assert!(merged.dialect.prolog);
        assert_eq!(merged.roles, settings.roles);
        assert!(settings.merged(&json!({"regoin": "x"})).is_err());
        assert!(settings.merged(&json!({"credential_lifetime_seconds": -1})).is_err());
        assert!(settings.merged(&json!({"roles": [{"arn": "a", "trust_policy": {}}]})).is_err());
    }

    #[test]
    fn ids_are_stable_and_well_formed() {
        let account = ServiceAccount::new("a@b");
        assert_eq!(account, ServiceAccount::new("a@b"));
        assert_eq!(account.unique_id.len(), 21);
        let role = Role::new("arn:aws:iam::123456789012:role/path/name", "{}");
        assert_eq!((role.account(), role.name(), role.id().len()), ("123456789012", "name", 21));
    }
}
