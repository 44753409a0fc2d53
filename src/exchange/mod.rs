//! What do I get for it? One file an action; each makes [`Credentials`](crate::model::credentials::Credentials) of a proof, or of
//! credentials that came before.

use crate::error::Result;
use crate::model::BoxFuture;
use crate::model::credentials::Credentials;
use crate::model::proof::Proof;
use crate::model::request::SessionRequest;
use crate::system::http::Http;

pub mod google_sts;
pub mod sts;

/// What do I get for it?
pub trait Exchange {
    /// What [`Exchange::prepare`] leaves for [`Exchange::exchange`].
    type Prepared;

    /// Does what needs no proof yet, so that it happens while the proof is made.
    fn prepare<'a>(&'a self, http: &'a Http) -> BoxFuture<'a, Self::Prepared>;

    /// Turns the proof into credentials for `session`.
    fn exchange<'a>(
        &'a self,
        http: &'a Http,
        prepared: Self::Prepared,
        proof: &'a Proof,
        session: &'a SessionRequest,
    ) -> BoxFuture<'a, Result<Credentials>>;
}
