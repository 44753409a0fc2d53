//! AWS STS: `AssumeRole`, with the credentials of another role (role chaining).
//!
//! A signed form POST. AWS lets such a session last an hour at most.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials as AwsKeys;

use crate::error::{Error, Kind, Result};
use crate::exchange::sts::client::{FORM, SessionPolicies, Sts, form};
use crate::exchange::sts::errors::Caller;
use crate::exchange::sts::signature;
use crate::model::credentials::Credentials;
use crate::model::request::SessionRequest;
use crate::system::http::Http;

/// The longest session of a chained role:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining>.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// What only `AssumeRole` can say; with web identity it would stand in the token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssumeRoleTerms {
    /// What the role's trust policy asks for.
    pub external_id: Option<String>,
    /// Who is behind all of it.
    pub source_identity: Option<String>,
    /// Session tags.
    pub tags: Vec<(String, String)>,
}

/// One STS endpoint, and on which terms its roles are assumed.
pub struct AssumeRole {
    sts: Sts,
    region: String,
    limits: SessionPolicies,
    terms: AssumeRoleTerms,
}

impl AssumeRole {
    /// Sessions of `sts`, which is in `region`.
    pub fn new(sts: Sts, region: String, limits: SessionPolicies, terms: AssumeRoleTerms) -> Self {
        Self { sts, region, limits, terms }
    }

    /// Assumes `session`'s role with the `keys` of `caller`, at the time `now`.
    ///
    /// # Errors
    /// What came back instead of credentials.
    pub async fn exchange(
        &self,
        http: &Http,
        caller: &str,
        keys: &AwsKeys,
        session: &SessionRequest,
        now: SystemTime,
    ) -> Result<Credentials> {
        let mut form = form("AssumeRole", session, &self.limits);
        for (name, value) in [("ExternalId", &self.terms.external_id), ("SourceIdentity", &self.terms.source_identity)]
        {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        for (number, (key, value)) in (1..).zip(&self.terms.tags) {
            form.append_pair(&format!("Tags.member.{number}.Key"), key);
            form.append_pair(&format!("Tags.member.{number}.Value"), value);
        }
        let body = form.finish();
        let url = self.sts.url();
        let signed =
            signature::sign(keys, &self.region, &url, &[("content-type", FORM)], &body, now).map_err(|problem| {
                Error::new(Kind::Fatal, format!("assume role {}", session.role_arn), self.sts.shown(), problem)
            })?;
        let connection = self.sts.connect(http).await;
        let mut actions = String::from("sts:AssumeRole");
        if self.terms.source_identity.is_some() {
            actions += ", sts:SetSourceIdentity";
        }
        if !self.terms.tags.is_empty() {
            actions += ", sts:TagSession";
        }
        let has_external_id = self.terms.external_id.is_some();
        let caller = Caller::Role { arn: caller, has_external_id, actions: &actions };
        self.sts.credentials(http, connection, (&signature::headers(&signed), body), session, &caller).await
    }
}
