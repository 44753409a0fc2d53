//! A web identity token file: the Google ID token, kept fresh, for clients that assume the role themselves.
//!
//! `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`, `AWS_ROLE_SESSION_NAME`:
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html>

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::place::{self, Writer};
use crate::error::Result;
use crate::flow::{BoxFuture, Content, Credentials, Delivery, Environment};

/// Writes the token file.
pub struct TokenFile {
    path: PathBuf,
    /// Whether it ends with this.
    is_ours: bool,
    mode: u32,
    patience: Duration,
    writer: Writer,
    /// Role ARN and session name, as far as they are known.
    role: RefCell<(Option<String>, Option<String>)>,
}

impl TokenFile {
    /// The file at `path`, an absolute one, with the permissions `mode`, for the role `role_arn` if it is known yet.
    /// One that `is_ours` is removed at the end. Another writer is waited for as long as `patience` lasts.
    pub fn new(path: PathBuf, is_ours: bool, mode: u32, patience: Duration, role_arn: Option<String>) -> Self {
        Self { path, is_ours, mode, patience, writer: Writer::default(), role: RefCell::new((role_arn, None)) }
    }
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
            let Some(Credentials { content: Content::Token(token), role_arn, role_session_name, .. }) = credentials
            else {
                return Ok(());
            };
            self.role.replace((Some(role_arn.clone()), Some(role_session_name.clone())));
            let (path, mode, patience, token) = (self.path.clone(), self.mode, self.patience, token.clone());
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
        environment.set("AWS_WEB_IDENTITY_TOKEN_FILE", &self.path);
        let (role_arn, session) = &*self.role.borrow();
        for (name, value) in [("AWS_ROLE_ARN", role_arn), ("AWS_ROLE_SESSION_NAME", session)] {
            if let Some(value) = value {
                environment.set(name, value);
            }
        }
        environment
    }
}
