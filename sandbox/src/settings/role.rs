//! An IAM role.

use std::time::Duration;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::jwt::issuers::{self, STS_AUDIENCE};
use crate::settings::account::ServiceAccount;
use crate::settings::seconds;

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
                "Principal": {"Federated": issuers::GOOGLE},
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

    /// A role for programs on AWS: instances, tasks and pods have it, and with its token the service account
    /// `system:serviceaccount:NAMESPACE:NAME` of the sandbox's cluster may assume it (IRSA).
    pub fn for_workload(arn: impl Into<String>, service_account: &str) -> Self {
        let role = Self::new(arn, "{}");
        let issuer = issuers::name(issuers::EKS);
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {
                        "Service": ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com", "pods.eks.amazonaws.com"],
                    },
                    "Action": ["sts:AssumeRole", "sts:TagSession"],
                },
                {
                    "Effect": "Allow",
                    "Principal": {"Federated": role.provider_arn(issuer)},
                    "Action": "sts:AssumeRoleWithWebIdentity",
                    "Condition": {"StringEquals": {
                        format!("{issuer}:sub"): service_account,
                        format!("{issuer}:aud"): STS_AUDIENCE,
                    }},
                },
            ],
        });
        Self { trust_policy: policy, ..role }
    }

    /// Sets the longest session, twelve hours otherwise.
    pub fn max_duration(mut self, max_duration: Duration) -> Self {
        self.max_duration = max_duration;
        self
    }

    /// The ARN of an issuer's OIDC provider in the role's account.
    pub(crate) fn provider_arn(&self, issuer: &str) -> String {
        format!("arn:{}:iam::{}:oidc-provider/{issuer}", self.partition(), self.account())
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
