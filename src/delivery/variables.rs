//! The three variables that every client of AWS knows, set once in the command's environment. Nothing can change them
//! there later, so they end with the session.

use std::cell::RefCell;

use secrecy::ExposeSecret;

use crate::delivery::Delivery;
use crate::error::Result;
use crate::model::BoxFuture;
use crate::model::credentials::{Credentials, Keys};
use crate::model::environment::Environment;

/// Keys for the environment.
#[derive(Default)]
pub struct Variables(RefCell<Option<Keys>>);

impl Delivery for Variables {
    fn deliver<'a>(&'a self, credentials: Option<&'a Credentials>) -> BoxFuture<'a, Result<()>> {
        self.0.replace(credentials.and_then(Credentials::keys).cloned());
        Box::pin(async { Ok(()) })
    }

    fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        if let Some(keys) = &*self.0.borrow() {
            environment.set("AWS_ACCESS_KEY_ID", &keys.access_key_id);
            environment.set("AWS_SECRET_ACCESS_KEY", keys.secret_access_key.expose_secret());
            environment.set("AWS_SESSION_TOKEN", keys.session_token.expose_secret());
        }
        environment
    }
}
