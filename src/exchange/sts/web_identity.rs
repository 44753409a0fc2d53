//! AWS STS: `AssumeRoleWithWebIdentity`.
//!
//! An unsigned form POST with the token in the body, never in the URL (URLs stand in proxies' logs).
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>

use secrecy::ExposeSecret;

use crate::error::Result;
use crate::exchange::Exchange;
use crate::exchange::sts::client::{SessionPolicies, Sts, form};
use crate::exchange::sts::errors::Caller;
use crate::model::BoxFuture;
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
}

impl Exchange for AssumeRoleWithWebIdentity {
    type Prepared = std::result::Result<Connection, Failure>;

    fn prepare<'a>(&'a self, http: &'a Http) -> BoxFuture<'a, Self::Prepared> {
        Box::pin(self.sts.connect(http))
    }

    fn exchange<'a>(
        &'a self,
        http: &'a Http,
        prepared: Self::Prepared,
        proof: &'a Proof,
        session: &'a SessionRequest,
    ) -> BoxFuture<'a, Result<Credentials>> {
        Box::pin(async move {
            let mut form = form("AssumeRoleWithWebIdentity", session, &self.limits);
            form.append_pair("WebIdentityToken", proof.token.expose_secret());
            let caller = Caller::Token(&proof.claims);
            self.sts.credentials(http, prepared, (&[], form.finish()), session, &caller).await
        })
    }
}
