//! Identity and exchange put together, one file a direction; and who keeps what came of it, for all who ask.

use tokio::time::Instant;

use crate::error::Result;
use crate::model::BoxFuture;
use crate::model::credentials::Credentials;
use crate::model::request::TokenRequest;
use crate::system::http::Http;

pub mod aws_signer;
pub mod aws_to_google;
mod cached_token;
pub mod google_to_aws;
pub mod shared_cache;
pub mod token_cache;
pub mod token_quota;

/// Issues what is kept fresh.
pub trait CredentialsIssuer {
    /// One try, which asks nothing any more after `deadline`.
    fn issue(&self, deadline: Option<Instant>) -> BoxFuture<'_, Result<Credentials>>;
}

/// Who makes tokens for Google.
pub trait TokenIssuer {
    /// Makes one.
    fn mint<'a>(&'a self, http: &'a Http, request: &'a TokenRequest) -> BoxFuture<'a, Result<Credentials>>;
}
