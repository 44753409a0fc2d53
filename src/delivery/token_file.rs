//! A file with one token in it, kept fresh.
//!
//! - The Google ID token, for clients that assume the role themselves: `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`,
//!   `AWS_ROLE_SESSION_NAME`:
//!   <https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html>.
//! - The Google access token, for gcloud and what reads the same: `CLOUDSDK_AUTH_ACCESS_TOKEN_FILE`:
//!   <https://cloud.google.com/sdk/docs/authorizing#auth-login>.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::ExposeSecret;

use crate::delivery::Delivery;
use crate::error::Result;
use crate::model::BoxFuture;
use crate::model::credentials::{Credentials, Principal};
use crate::model::environment::Environment;
use crate::system::private_file::{self, HeldFile, Writer};

/// Writes the token file.
pub struct TokenFile {
    /// An absolute path.
    pub path: PathBuf,
    /// The file itself, where its name is one of fedboot's own, so that it ends with this.
    pub own: Option<Own>,
    /// Its permissions.
    pub mode: u32,
    /// How long another writer is waited for.
    pub patience: Duration,
    /// The variable by which clients find it.
    pub variable: &'static str,
    /// Makes writers take turns.
    pub writer: Writer,
    /// Role ARN and session name, as far as they are known and a client needs them.
    pub role: RefCell<(Option<String>, Option<String>)>,
}

/// A file that goes when this does, once it is there.
#[derive(Clone, Default)]
pub struct Own(Arc<Mutex<Option<HeldFile>>>);

impl Own {
    fn held(&self) -> MutexGuard<'_, Option<HeldFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Delivery for TokenFile {
    fn deliver<'a>(&'a self, credentials: Option<&'a Credentials>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Some((credentials, token)) = credentials.and_then(|it| Some((it, it.token()?.clone()))) else {
                return Ok(());
            };
            if let Principal::Role { arn, session_name } = &credentials.principal {
                self.role.replace((Some(arn.clone()), Some(session_name.clone())));
            }
            let (path, own, mode, patience) = (self.path.clone(), self.own.clone(), self.mode, self.patience);
            // No line end: some SDKs send the file's content as it stands.
            let write = move || {
                if let Some(own) = own {
                    let held = private_file::hold(&path, mode, token.expose_secret().as_bytes())?;
                    own.held().replace(held);
                    return Ok(());
                }
                private_file::update(&path, mode, patience, &|_| Ok(token.expose_secret().into())).map(drop)
            };
            self.writer.run(write).await
        })
    }

    fn is_intact(&self) -> BoxFuture<'_, bool> {
        let (path, own) = (self.path.clone(), self.own.clone());
        Box::pin(self.writer.check(move || match own {
            Some(own) => own.held().as_ref().is_some_and(HeldFile::is_there),
            None => path.exists(),
        }))
    }

    fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        environment.set(self.variable, &self.path);
        let (role_arn, session) = &*self.role.borrow();
        for (name, value) in [("AWS_ROLE_ARN", role_arn), ("AWS_ROLE_SESSION_NAME", session)] {
            if let Some(value) = value {
                environment.set(name, value);
            }
        }
        environment
    }
}
