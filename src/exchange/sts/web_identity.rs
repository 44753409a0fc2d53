//! AWS STS: `AssumeRoleWithWebIdentity`.
//!
//! An unsigned form POST with the token in the body, never in the URL (URLs stand in proxies' logs).
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>

use secrecy::ExposeSecret;

use crate::error::Result;
use crate::exchange::sts::client::{SessionPolicies, Sts, form};
use crate::exchange::sts::errors::Caller;
use crate::model::credentials::Credentials;
use crate::model::proof::Proof;
use crate::model::request::SessionRequest;
use crate::system::http::{Connection, Failure, Http};

/// One STS endpoint, and what limits the sessions.
pub struct AssumeRoleWithWebIdentity {
    sts: Sts,
    limits: SessionPolicies,
}

impl AssumeRoleWithWebIdentity {
    /// Sessions of `sts` within `limits`.
    pub fn new(sts: Sts, limits: SessionPolicies) -> Self {
        Self { sts, limits }
    }

    /// Opens the connection, which needs no proof yet and so happens while the proof is made.
    ///
    /// # Errors
    /// What came back instead of one.
    pub async fn connect(&self, http: &Http) -> std::result::Result<Connection, Failure> {
        self.sts.connect(http).await
    }

    /// Assumes `session`'s role with the `proof`.
    ///
    /// # Errors
    /// What came back instead of credentials.
    pub async fn exchange(
        &self,
        http: &Http,
        connection: std::result::Result<Connection, Failure>,
        proof: &Proof,
        session: &SessionRequest,
    ) -> Result<Credentials> {
        let mut form = form("AssumeRoleWithWebIdentity", session, &self.limits);
        form.append_pair("WebIdentityToken", proof.token.expose_secret());
        let caller = Caller::Token(&proof.claims);
        self.sts.credentials(http, connection, (&[], form.finish()), session, &caller).await
    }
}
