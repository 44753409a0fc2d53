//! The shared credentials file: static keys in `[default]` for whatever reads the file, and, where the endpoint
//! stands too, a profile `[fedboot]` without any key, from which every SDK goes on to the endpoint.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::ini::{self, Malformed, Section};
use super::place;
use crate::error::{Error, Kind, Result};
use crate::flow::{BoxFuture, Credentials, Delivery, Environment};
use crate::log::timestamp;

/// The profile that clients of the endpoint use.
const PROFILE: &str = "fedboot";

/// What else would make a profile one with credentials, and so keep SDKs from the endpoint.
const CREDENTIAL_KEYS: &[&str] = &[
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_security_token",
    "x_security_token_expires",
    "credential_process",
    "credential_source",
    "role_arn",
    "source_profile",
    "web_identity_token_file",
    "sso_session",
    "sso_start_url",
    "sso_account_id",
    "sso_role_name",
];

/// Writes the credentials file.
pub struct CredentialsFile {
    plan: Arc<Plan>,
    log: Box<dyn Fn(&str)>,
    warned: Cell<bool>,
    /// Before the first delivery there is no command that could ask the endpoint meanwhile.
    delivered: Cell<bool>,
}

struct Plan {
    path: PathBuf,
    /// The region of `[fedboot]`, where that profile is wanted.
    profile_region: Option<String>,
    /// How long another writer is waited for.
    patience: Duration,
}

impl CredentialsFile {
    /// The file at `path`, an absolute one; with a profile `[fedboot]` if it is given a region. `warn` is told once
    /// if the file cannot be replaced. Another writer is waited for as long as `patience` lasts.
    pub fn new(
        path: PathBuf,
        profile_region: Option<String>,
        patience: Duration,
        warn: impl Fn(&str) + 'static,
    ) -> Self {
        Self {
            plan: Arc::new(Plan { path, profile_region, patience }),
            log: Box::new(warn),
            warned: Cell::default(),
            delivered: Cell::default(),
        }
    }
}

impl Plan {
    fn write(&self, credentials: Option<&Credentials>) -> Result<bool> {
        place::update(&self.path, self.patience, &|text| {
            self.edit(text, credentials).map_err(|malformed| {
                Error::new(
                    Kind::Fatal,
                    "write credentials",
                    self.path.display().to_string(),
                    format!("has {} in line {}, so no SDK could read it", malformed.problem, malformed.line),
                )
                .advice("mend or remove that line, or name another --credentials-file; the file is as it was")
            })
        })
    }

    fn edit(&self, text: &[u8], credentials: Option<&Credentials>) -> std::result::Result<Vec<u8>, Malformed> {
        let mut text = text.to_vec();
        if let Some(credentials) = credentials {
            let default = Section {
                name: "default",
                set: vec![
                    ("aws_access_key_id", credentials.access_key_id.clone()),
                    ("aws_secret_access_key", credentials.secret_access_key.expose_secret().into()),
                    ("aws_session_token", credentials.session_token.expose_secret().into()),
                    ("x_security_token_expires", timestamp(credentials.expiration)),
                ],
                // The old name of the session token would win in old clients.
                remove: &["aws_security_token"],
            };
            text = ini::edit(&text, &default)?;
        }
        if let Some(region) = &self.profile_region {
            let profile = Section { name: PROFILE, set: vec![("region", region.clone())], remove: CREDENTIAL_KEYS };
            text = ini::edit(&text, &profile)?;
        }
        Ok(text)
    }
}

impl Delivery for CredentialsFile {
    fn deliver<'a>(&'a self, credentials: Option<&'a Credentials>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let in_place = if self.delivered.replace(true) {
                // In a thread of its own: the endpoint answers while a slow disk takes its time.
                let (plan, credentials) = (self.plan.clone(), credentials.cloned());
                tokio::task::spawn_blocking(move || plan.write(credentials.as_ref()))
                    .await
                    .map_err(|error| Error::new(Kind::Transient, "write credentials", "", error.to_string()))??
            } else {
                self.plan.write(credentials)?
            };
            if in_place && !self.warned.replace(true) {
                (self.log)(&format!(
                    "{} cannot be replaced (a mount, or its directory is read-only) and is written in place: a reader may \
                     see it half-written",
                    self.plan.path.display()
                ));
            }
            Ok(())
        })
    }

    fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        environment.set("AWS_SHARED_CREDENTIALS_FILE", &self.plan.path);
        match self.plan.profile_region {
            Some(_) => environment.set("AWS_PROFILE", PROFILE),
            None => environment.unset("AWS_PROFILE"),
        }
        environment
    }
}
