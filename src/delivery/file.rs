//! The shared credentials file: static keys in `[default]` for whatever reads the file; where the endpoint stands too, a
//! profile `[fedboot]` without any key, from which every SDK goes on to the endpoint; profiles with a process line.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use crate::error::{Error, Kind, Result};
use crate::flow::{BoxFuture, Credentials, Delivery, Environment};
use crate::ini::{self, Malformed, Section};
use crate::log::timestamp;
use crate::private_file::{self, Writer};
use crate::shown;

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

/// A section that clients find something by, without keys.
#[derive(Clone)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// What it says.
    pub set: Vec<(&'static str, String)>,
}

/// Writes the credentials file.
pub struct CredentialsFile {
    plan: RefCell<Arc<Plan>>,
    writer: Writer,
    log: Box<dyn Fn(&str)>,
    warned: Cell<bool>,
}

/// What is written where.
#[derive(Clone)]
pub struct Plan {
    /// The file, by its absolute path.
    pub path: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// The section of the static keys, where they are wanted.
    pub keys_section: Option<String>,
    /// Further sections.
    pub profiles: Vec<Profile>,
    /// The one that clients use.
    pub profile: Option<String>,
    /// How long another writer is waited for.
    pub patience: Duration,
}

impl CredentialsFile {
    /// The file that `plan` describes. `warn` is told once if the file cannot be replaced.
    pub fn new(plan: Plan, warn: impl Fn(&str) + 'static) -> Self {
        Self {
            plan: RefCell::new(Arc::new(plan)),
            writer: Writer::default(),
            log: Box::new(warn),
            warned: Cell::default(),
        }
    }

    /// From the next delivery on there are these sections too.
    pub fn add(&self, profiles: Vec<Profile>) {
        Arc::make_mut(&mut self.plan.borrow_mut()).profiles.extend(profiles);
    }
}

impl Plan {
    fn write(&self, credentials: Option<&Credentials>) -> Result<bool> {
        private_file::update(&self.path, self.mode, self.patience, &|text| {
            self.edit(text, credentials).map_err(|malformed| {
                Error::new(
                    Kind::Fatal,
                    "write credentials",
                    shown::path(&self.path),
                    format!("has {} in line {}, so no SDK could read it", malformed.problem, malformed.line),
                )
                .advice("mend or remove that line, or name another --credentials-file; the file is as it was")
            })
        })
    }

    fn edit(&self, text: &[u8], credentials: Option<&Credentials>) -> std::result::Result<Vec<u8>, Malformed> {
        let mut text = text.to_vec();
        if let (Some(name), Some(credentials), Some(keys)) =
            (&self.keys_section, credentials, credentials.and_then(Credentials::keys))
        {
            let section = Section {
                name,
                set: vec![
                    ("aws_access_key_id", keys.access_key_id.clone()),
                    ("aws_secret_access_key", keys.secret_access_key.expose_secret().into()),
                    ("aws_session_token", keys.session_token.expose_secret().into()),
                    ("x_security_token_expires", timestamp(credentials.expiration)),
                ],
                // The old name of the session token would win in old clients.
                remove: &["aws_security_token"],
            };
            text = ini::edit(&text, &section)?;
        }
        for Profile { name, set } in &self.profiles {
            text = ini::edit(&text, &Section { name, set: set.clone(), remove: CREDENTIAL_KEYS })?;
        }
        Ok(text)
    }

    fn sections(&self) -> impl Iterator<Item = &str> {
        self.keys_section.iter().chain(self.profiles.iter().map(|profile| &profile.name)).map(String::as_str)
    }
}

impl Delivery for CredentialsFile {
    fn deliver<'a>(&'a self, credentials: Option<&'a Credentials>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let plan = self.plan.borrow().clone();
            if plan.sections().next().is_none() {
                return Ok(());
            }
            let path = plan.path.clone();
            let credentials = credentials.cloned();
            let in_place = self.writer.run(move || plan.write(credentials.as_ref())).await?;
            if in_place && !self.warned.replace(true) {
                (self.log)(&format!(
                    "{} cannot be replaced (a mount, or its directory is read-only) and is written in place: a reader may \
                     see it half-written",
                    shown::path(&path)
                ));
            }
            Ok(())
        })
    }

    fn is_intact(&self) -> BoxFuture<'_, bool> {
        let plan = self.plan.borrow().clone();
        Box::pin(self.writer.check(move || {
            let mut sections = plan.sections().peekable();
            sections.peek().is_none() || {
                let text = private_file::read(&plan.path, 0o777).unwrap_or_default();
                sections.all(|name| ini::has(&text, name))
            }
        }))
    }

    fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        let plan = self.plan.borrow();
        if plan.sections().next().is_some() {
            environment.set("AWS_SHARED_CREDENTIALS_FILE", &plan.path);
        }
        if let Some(profile) = &plan.profile {
            environment.set("AWS_PROFILE", profile);
        }
        environment
    }
}
