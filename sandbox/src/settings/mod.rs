//! What the two clouds hold: accounts, roles, attributes, lifetimes. All of it may change while they run.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use fedboot_policy::document::Policy;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::jwt::issuers::STS_AUDIENCE;

use crate::settings::account::ServiceAccount;
use crate::settings::dialect::Dialect;
use crate::settings::provider::Provider;
use crate::settings::role::Role;

pub(crate) mod account;
pub(crate) mod dialect;
pub(crate) mod fault;
pub(crate) mod names;
pub(crate) mod provider;
pub(crate) mod role;
mod seconds;

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
    #[serde(with = "seconds::optional", rename = "credential_lifetime_seconds")]
    pub credential_lifetime: Option<Duration>,
    /// The shortest `DurationSeconds` that STS accepts.
    #[serde(with = "seconds", rename = "min_duration_seconds")]
    pub min_duration: Duration,
    /// How STS writes XML.
    pub dialect: Dialect,
    /// The role of tasks and pods, and of the keys in an environment or a profile.
    pub workload_role: String,
    /// The role of the EC2 instance; without one IMDS answers 404.
    pub instance_role: Option<String>,
    /// IMDS answers without a token, too.
    pub imdsv1: bool,
    /// How many hops IMDS's answer to a PUT lives. At 1 it never arrives, as in a container.
    pub imds_hop_limit: u32,
    /// AWS STS signs tokens for services elsewhere.
    pub outbound_federation: bool,
    /// Namespace of the pod.
    pub kubernetes_namespace: String,
    /// Service account of the pod.
    pub kubernetes_service_account: String,
    /// Lifetime of the pod's projected tokens, from the next rotation on.
    #[serde(with = "seconds", rename = "pod_token_lifetime_seconds")]
    pub pod_token_lifetime: Duration,
    /// The providers of Google's workload identity pool; the first for AWS is in the external account.
    pub providers: Vec<Provider>,
    /// Members (`principal://…`, `principalSet://…`) with `roles/iam.workloadIdentityUser`, by service account. If
    /// there are none when the sandbox starts, the workload role may speak for the default service account.
    pub workload_identity_users: BTreeMap<String, Vec<String>>,
    /// Google STS insists that `x-goog-cloud-target-resource` is signed. Google itself takes it unsigned, as
    /// google-auth for Python and Node sends it.
    pub signed_target_resource: bool,
    /// The longest that the access tokens of Google STS and IAM Credentials live, whatever was asked for.
    #[serde(with = "seconds::optional", rename = "access_token_cap_seconds")]
    pub access_token_cap: Option<Duration>,
    /// Access tokens for 12 hours may be asked for, not only for one.
    pub lifetime_extension: bool,
}

/// What is not said otherwise.
pub(crate) const WORKLOAD_ROLE: &str = "arn:aws:iam::123456789012:role/fedboot-demo";
/// The role of the node below a task or a pod, which must not be taken for theirs.
pub(crate) const NODE_ROLE: &str = "arn:aws:iam::123456789012:role/fedboot-node";
const PROJECT_NUMBER: u64 = 739_419_398_126;

impl Default for Settings {
    fn default() -> Self {
        let account = ServiceAccount::new("worker@demo-project.iam.gserviceaccount.com");
        let role = Role::trusting(WORKLOAD_ROLE, [&account], STS_AUDIENCE);
        Self {
            service_account: Some(account),
            impersonable: Vec::new(),
            project_id: "demo-project".into(),
            project_number: PROJECT_NUMBER,
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
            workload_role: WORKLOAD_ROLE.into(),
            instance_role: Some(NODE_ROLE.into()),
            imdsv1: false,
            imds_hop_limit: 2,
            outbound_federation: true,
            kubernetes_namespace: "default".into(),
            kubernetes_service_account: "app".into(),
            pod_token_lifetime: Duration::from_secs(86_400),
            providers: Provider::all(PROJECT_NUMBER, "123456789012"),
            workload_identity_users: BTreeMap::new(),
            signed_target_resource: false,
            access_token_cap: None,
            lifetime_extension: false,
        }
    }
}

impl Settings {
    /// Refuses what the services could not serve.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        for role in &self.roles {
            Policy::from_value(&role.trust_policy).with_context(|| format!("trust policy of {}", role.arn))?;
        }
        for provider in &self.providers {
            provider.check().with_context(|| format!("provider {}", provider.name))?;
        }
        Ok(())
    }

    /// The members that stand for the workload, however it proves who it is.
    pub(crate) fn usual_members(&self) -> Vec<String> {
        let role = Role::new(self.workload_role.as_str(), "{}");
        let pool = self.providers.first().map(Provider::pool).unwrap_or_default();
        let assumed = format!("arn:{}:sts::{}:assumed-role/{}", role.partition(), role.account(), role.name());
        vec![
            format!("principalSet://iam.googleapis.com/{pool}/attribute.aws_role/{assumed}"),
            format!("principal://iam.googleapis.com/{pool}/subject/{}", self.pod_subject()),
            format!("principal://iam.googleapis.com/{pool}/subject/{}", role.arn),
        ]
    }

    /// The pod's service account, `system:serviceaccount:NAMESPACE:NAME`.
    pub(crate) fn pod_subject(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.kubernetes_namespace, self.kubernetes_service_account)
    }

    /// These settings with the top-level fields of `changes` in place of their own.
    pub(crate) fn merged(&self, changes: &Value) -> anyhow::Result<Self> {
        let changes = changes.as_object().context("settings are a JSON object")?;
        let mut all = serde_json::to_value(self)?;
        for (name, value) in changes {
            all[name] = value.clone();
        }
        let merged: Self = serde_json::from_value(all).context("settings")?;
        merged.check()?;
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
}
