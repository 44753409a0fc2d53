//! A file with one token in it, kept fresh.
//!
//! - The Google ID token, for clients that assume the role themselves: `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`,
//!   `AWS_ROLE_SESSION_NAME`:
//!   <https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html>.
//! - The Google access token, for gcloud and what reads the same: `CLOUDSDK_AUTH_ACCESS_TOKEN_FILE`:
//!   <https://cloud.google.com/sdk/docs/authorizing#auth-login>.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::place::{self, Writer};
use crate::error::Result;
use crate::flow::{BoxFuture, Credentials, Delivery, Environment, Principal};

/// Writes the token file.
pub struct TokenFile {
    /// An absolute path.
    pub path: PathBuf,
    /// Whether the file ends with this.
    pub is_ours: bool,
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

impl Drop for TokenFile {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = fs::remove_file(&self.path);
        }
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
            let (path, mode, patience) = (self.path.clone(), self.mode, self.patience);
            // No line end: some SDKs send the file's content as it stands.
            let write = move || place::update(&path, mode, patience, &|_| Ok(token.expose_secret().into()));
            self.writer.run(write).await.map(drop)
        })
    }

    fn is_intact(&self) -> bool {
        self.path.exists()
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
