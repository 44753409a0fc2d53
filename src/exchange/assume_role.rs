//! AWS STS: `AssumeRole`, with the credentials of another role (role chaining).
//!
//! A form POST signed with Signature Version 4. AWS lets such a session last an hour at most.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>,
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials as Signer;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use hyper::header::HeaderName;
use secrecy::ExposeSecret;

use super::sts::{FORM, Limits, Sts, form};
use super::sts_errors::Caller;
use crate::error::{Error, Kind, Result};
use crate::flow::{Credentials, Keys, Session};
use crate::http::Http;

/// The longest session of a chained role:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining>.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// What only `AssumeRole` can say; with web identity it would stand in the token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
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
    limits: Limits,
    terms: Terms,
}

impl AssumeRole {
    /// Sessions of `sts`, which is in `region`.
    pub fn new(sts: Sts, region: String, limits: Limits, terms: Terms) -> Self {
        Self { sts, region, limits, terms }
    }

    /// Assumes `session`'s role with the `keys` of the role `caller`, at the time `now`.
    ///
    /// # Errors
    /// What came back instead of credentials.
    pub async fn exchange(
        &self,
        http: &Http,
        caller: &str,
        keys: &Keys,
        session: &Session,
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
        let signature = self.sign(keys, &body, now).map_err(|error| {
            Error::new(Kind::Fatal, format!("assume role {}", session.role_arn), self.sts.url(), error.to_string())
        })?;
        let headers: Vec<_> = signature
            .iter()
            .filter_map(|(name, value)| Some((HeaderName::try_from(name).ok()?, value.as_str())))
            .collect();
        let connection = self.sts.connect(http).await;
        let mut actions = String::from("sts:AssumeRole");
        if self.terms.source_identity.is_some() {
            actions += ", sts:SetSourceIdentity";
        }
        if !self.terms.tags.is_empty() {
            actions += ", sts:TagSession";
        }
        let caller = Caller::Role { arn: caller, external_id: self.terms.external_id.as_deref(), actions: &actions };
        self.sts.post(http, connection, &headers, body, session, &caller, &keys.session_token).await
    }

    fn sign(
        &self,
        keys: &Keys,
        body: &str,
        now: SystemTime,
    ) -> std::result::Result<Vec<(String, String)>, Box<dyn std::error::Error + Send + Sync>> {
        let (secret, token) = (keys.secret_access_key.expose_secret(), keys.session_token.expose_secret());
        let signer = Signer::new(&keys.access_key_id, secret, Some(token.into()), None, "fedboot").into();
        let parameters = v4::SigningParams::builder()
            .identity(&signer)
            .region(&self.region)
            .name("sts")
            .time(now)
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers = [("content-type", FORM)];
        let url = self.sts.url();
        let request = SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(body.as_bytes()))?;
        let (instructions, _) = sign(request, &parameters)?.into_parts();
        Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}
