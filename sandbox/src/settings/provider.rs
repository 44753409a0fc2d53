//! A [workload identity pool provider](https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools.providers):
//! whose word Google takes, and what it makes of it.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::jwt::issuers;
use crate::language::cel;

/// What every mapping must have.
pub(crate) const SUBJECT: &str = "google.subject";
/// The role without the session, as gcloud maps it where nothing else is said.
const AWS_ROLE: &str = "assertion.arn.contains('assumed-role') ? \
     assertion.arn.extract('{account_arn}assumed-role/') + 'assumed-role/' + \
     assertion.arn.extract('assumed-role/{role_name}/') : assertion.arn";

/// A provider of a workload identity pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Form")]
pub struct Provider {
    /// `projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/NAME`
    pub name: String,
    /// Whose word it takes: `"aws": {…}` or `"oidc": {…}`.
    #[serde(flatten)]
    pub trusts: Trusts,
    /// `google.subject` and `attribute.NAME`, each an expression about the `assertion`.
    pub attribute_mapping: BTreeMap<String, String>,
    /// What must be true of `assertion`, `google` and `attribute`.
    pub attribute_condition: Option<String>,
    /// Nobody gets through.
    pub disabled: bool,
}

/// Whose word a provider takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trusts {
    /// An AWS account, proved by a signed `GetCallerIdentity`.
    Aws {
        /// Its number.
        account_id: String,
    },
    /// An OpenID Connect issuer.
    Oidc {
        /// `iss` of its tokens.
        issuer_uri: String,
        /// What `aud` may be; if nothing is said, the provider's own full name.
        #[serde(default)]
        allowed_audiences: Vec<String>,
    },
}

/// Without a mapping there is the usual one.
#[derive(Deserialize)]
struct Form {
    name: String,
    #[serde(flatten)]
    trusts: Trusts,
    attribute_mapping: Option<BTreeMap<String, String>>,
    attribute_condition: Option<String>,
    #[serde(default)]
    disabled: bool,
}

impl From<Form> for Provider {
    fn from(form: Form) -> Self {
        let usual = Self::new(form.name, form.trusts);
        Self {
            attribute_mapping: form.attribute_mapping.unwrap_or(usual.attribute_mapping),
            attribute_condition: form.attribute_condition,
            disabled: form.disabled,
            ..usual
        }
    }
}

impl Provider {
    /// A provider with the usual mapping: for AWS `google.subject`, `attribute.aws_role` and `attribute.account`, else
    /// the token's subject.
    pub fn new(name: impl Into<String>, trusts: Trusts) -> Self {
        let mapping: &[(&str, &str)] = match trusts {
            Trusts::Aws { .. } => &[
                (SUBJECT, "assertion.arn"),
                ("attribute.aws_role", AWS_ROLE),
                ("attribute.account", "assertion.account"),
            ],
            Trusts::Oidc { .. } => &[(SUBJECT, "assertion.sub")],
        };
        let attribute_mapping = mapping.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Self { name: name.into(), trusts, attribute_mapping, attribute_condition: None, disabled: false }
    }

    /// The three of the sandbox's pool: `aws`, for the account; `eks`, for the cluster's tokens; `aws-tokens`, for those
    /// that AWS STS signs for the account.
    pub(crate) fn all(project_number: u64, account: &str) -> Vec<Self> {
        let pool = format!("projects/{project_number}/locations/global/workloadIdentityPools/aws-pool");
        let oidc = |issuer_uri: String| Trusts::Oidc { issuer_uri, allowed_audiences: Vec::new() };
        [
            ("aws", Trusts::Aws { account_id: account.into() }),
            ("eks", oidc(issuers::EKS.into())),
            ("aws-tokens", oidc(issuers::of_account(account))),
        ]
        .map(|(name, trusts)| Self::new(format!("{pool}/providers/{name}"), trusts))
        .into()
    }

    /// Refuses a mapping that Google would not store, and what is no expression.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.attribute_mapping.contains_key(SUBJECT), "the mapping has no {SUBJECT}");
        for (name, expression) in &self.attribute_mapping {
            let known = name == SUBJECT || name.starts_with("attribute.");
            ensure!(known, "{name} is neither {SUBJECT} nor attribute.NAME");
            cel::parse(expression).with_context(|| name.clone())?;
        }
        self.attribute_condition.as_deref().map_or(Ok(()), |it| cel::parse(it).map(drop).context("condition"))
    }

    /// `//iam.googleapis.com/…`, as the token exchange has it.
    pub fn audience(&self) -> String {
        format!("//iam.googleapis.com/{}", self.name)
    }

    /// Its pool, `projects/NUMBER/locations/global/workloadIdentityPools/POOL`.
    pub fn pool(&self) -> &str {
        self.name.split("/providers/").next().unwrap_or_default()
    }

    /// The AWS account whose word it takes.
    pub fn account(&self) -> Option<&str> {
        match &self.trusts {
            Trusts::Aws { account_id } => Some(account_id),
            Trusts::Oidc { .. } => None,
        }
    }

    /// The issuer whose word it takes.
    pub fn issuer(&self) -> Option<&str> {
        match &self.trusts {
            Trusts::Aws { .. } => None,
            Trusts::Oidc { issuer_uri, .. } => Some(issuer_uri),
        }
    }

    /// What `aud` of a token may be.
    pub fn allowed_audiences(&self) -> Vec<String> {
        match &self.trusts {
            Trusts::Oidc { allowed_audiences, .. } if !allowed_audiences.is_empty() => allowed_audiences.clone(),
            _ => vec![format!("https:{}", self.audience()), self.audience()],
        }
    }
}
