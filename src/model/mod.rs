//! What flows from stage to stage.

use std::future::Future;
use std::pin::Pin;

pub mod aws_identity;
pub mod client;
pub mod credentials;
pub mod credentials_json;
pub mod environment;
pub mod fact;
pub mod partition;
pub mod proof;
pub mod provider;
pub mod request;
pub mod role;

/// A boxed future, so that stages can be chosen at run time.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
