//! Where do clients look? One file a place (`credentials_file`, `endpoint`, `metadata_server`, `token_file`, `process`,
//! `variables`), with `loopback` and `connections` for servers below them, and what would be found before them:
//! `shadowed_variables`, `shadowed_files`, `replaced_profile`, `no_proxy`.

use std::rc::Rc;

use crate::error::Result;
use crate::model::BoxFuture;
use crate::model::client::Client;
use crate::model::credentials::{Credentials, RefreshFailure};
use crate::model::environment::Environment;
use crate::model::request::TokenRequest;

mod connections;
pub mod credential_cache;
pub mod credentials_file;
pub mod endpoint;
pub mod loopback;
pub mod metadata_server;
pub mod no_proxy;
pub mod process;
pub mod replaced_profile;
pub mod shadowed_files;
pub mod shadowed_variables;
pub mod token_file;
pub mod variables;

/// Where do clients look?
pub trait Delivery {
    /// Puts the credentials where clients find them, all or nothing. `None`: there are none yet, but clients that
    /// start now shall find them later.
    fn deliver<'a>(&'a self, credentials: Option<&'a Credentials>) -> BoxFuture<'a, Result<()>>;

    /// Leaves word for clients why there is nothing newer.
    fn fail<'a>(&'a self, _: &'a RefreshFailure) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// Whether what was delivered is still there; others may have removed or replaced it.
    fn is_intact(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { true })
    }

    /// What the command's environment must say for its clients to look there.
    fn environment(&self) -> Environment;
}

/// Where tokens for Google come from: made, or kept.
pub trait TokenSource {
    /// One that will be good for a while. Requests for the same at the same time are one exchange; one that nobody has
    /// asked for before is made when the client's turn comes.
    fn token<'a>(&'a self, request: &'a TokenRequest, client: &'a Rc<Client>)
    -> BoxFuture<'a, Result<Rc<Credentials>>>;

    /// The same, if it need not be waited for.
    fn ready(&self, request: &TokenRequest) -> Option<Rc<Credentials>>;

    /// Says why there is no new one of those that are kept by the agent's loop, and when it tries again.
    fn fail(&self, failure: &RefreshFailure);
}
