//! The shared credentials file: static keys in `[default]` for whatever reads the file; where the endpoint stands too, a
//! profile `[fedboot]` without any key, from which every SDK goes on to the endpoint; profiles with a process line.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use crate::error::{Error, Kind, Result};
use crate::flow::{BoxFuture, Credentials, Delivery, Environment};
use crate::ini::{self, Malformed, OTHER_SOURCES, STATIC_KEYS, Section};
use crate::log::timestamp;
use crate::private_file::{self, Writer};
use crate::shown;
use crate::world;

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
    warned: RefCell<Vec<String>>,
    delivered: RefCell<Option<Credentials>>,
}

/// What is written where.
#[derive(Clone)]
pub struct Plan {
    /// The file, by its absolute path.
    pub path: PathBuf,
    /// Beside it AWS's config file, which clients read too.
    pub config: Option<PathBuf>,
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
    /// The file that `plan` describes. `warn` is told once what is amiss.
    pub fn new(plan: Plan, warn: impl Fn(&str) + 'static) -> Self {
        Self {
            plan: RefCell::new(Arc::new(plan)),
            writer: Writer::default(),
            log: Box::new(warn),
            warned: RefCell::default(),
            delivered: RefCell::default(),
        }
    }

    /// From the next delivery on there are these sections too.
    pub fn add(&self, profiles: Vec<Profile>) {
        Arc::make_mut(&mut self.plan.borrow_mut()).profiles.extend(profiles);
    }
}

impl Plan {
    /// Returns what is to be said about it.
    fn write(&self, credentials: Option<&Credentials>) -> Result<Vec<String>> {
        let warnings = RefCell::new(Vec::new());
        let in_place = private_file::update(&self.path, self.mode, self.patience, &|text| {
            let edited = self.edit(text, credentials, false).map_err(|malformed| {
                let problem = format!("has {} in line {}, so no SDK could read it", malformed.problem, malformed.line);
                Error::new(Kind::Fatal, "write credentials", shown::path(&self.path), problem)
                    .advice("mend or remove that line, or name another --credentials-file; the file is as it was")
            })?;
            let aside = ini::newly_aside(text, &edited);
            let mut warnings = warnings.borrow_mut();
            *warnings = unreadable(&self.path, &edited).into_iter().collect();
            if !aside.is_empty() {
                warnings.push(format!(
                    "{}: {} would have been taken before the credentials that fedboot writes there, and is now a comment",
                    shown::path(&self.path),
                    aside.join(", ")
                ));
            }
            Ok(edited)
        })?;
        let mut warnings = warnings.into_inner();
        if in_place {
            warnings.push(format!(
                "{} cannot be replaced (a mount, or its directory is read-only) and is written in place: a reader may see \
                 it half-written",
                shown::path(&self.path)
            ));
        }
        // A pipe is the command's to read.
        let config = self.config.as_ref().filter(|path| path.is_file());
        if let Some((path, text)) = config.and_then(|path| Some((path, world::read_file(path).ok()?))) {
            warnings.extend(unreadable(path, &text));
            warnings.extend(self.sections().filter_map(|name| self.shadowed(name, path, &text)));
        }
        Ok(warnings)
    }

    /// What the config file says of the profile `name` that clients would take before what is delivered there.
    fn shadowed(&self, name: &str, path: &Path, config: &[u8]) -> Option<String> {
        let is_it = |section: &str| ini::is_profile(section, name) || section == "default" && section == name;
        let values = ini::read(config, &is_it).ok()??;
        let profile = self.profiles.iter().find(|profile| profile.name == name);
        let is_ours = |key: &str| match profile {
            Some(profile) => profile.set.iter().any(|(set, _)| *set == key),
            None => STATIC_KEYS.contains(&key),
        };
        let all = STATIC_KEYS.iter().chain(OTHER_SOURCES);
        let first: Vec<_> = all.copied().filter(|key| values.contains_key(*key) && !is_ours(key)).collect();
        (!first.is_empty()).then(|| {
            format!(
                "{} has {} in the profile {name}: clients may take it before the credentials that fedboot delivers \
                 there; remove it",
                shown::path(path),
                first.join(", ")
            )
        })
    }

    /// `are_newer`: the keys that stand there are not to be touched.
    fn edit(
        &self,
        text: &[u8],
        credentials: Option<&Credentials>,
        are_newer: bool,
    ) -> std::result::Result<Vec<u8>, Malformed> {
        let mut text = text.to_vec();
        if let (Some(name), Some(credentials), Some(keys)) =
            (&self.keys_section, credentials, credentials.and_then(Credentials::keys))
        {
            let mut set = vec![
                ("aws_access_key_id", keys.access_key_id.clone()),
                ("aws_secret_access_key", keys.secret_access_key.expose_secret().into()),
                ("aws_session_token", keys.session_token.expose_secret().into()),
                ("x_security_token_expires", timestamp(credentials.expiration)),
            ];
            if are_newer {
                set.clear();
            }
            // The old name of the session token would win in old clients.
            let remove = &["aws_security_token"];
            text = ini::edit(&text, &Section { name, set, remove, aside: OTHER_SOURCES })?;
        }
        let all = [STATIC_KEYS, OTHER_SOURCES].concat();
        for Profile { name, set } in &self.profiles {
            // What stands in fedboot's own profile is fedboot's.
            let aside = if name == "fedboot" { &[] } else { OTHER_SOURCES };
            text = ini::edit(&text, &Section { name, set: set.clone(), remove: &all, aside })?;
        }
        Ok(text)
    }

    /// Whether the file says what was delivered, or what another agent has delivered since.
    fn is_intact(&self, credentials: Option<&Credentials>) -> bool {
        let text = private_file::read(&self.path, 0o777).unwrap_or_default();
        let keys = credentials.and_then(Credentials::keys);
        let theirs = self.keys_section.as_ref().and_then(|name| ini::read(&text, &|section| section == name).ok()?);
        // Of two agents that fill the same section the one with the later keys has it, and neither takes it back.
        let are_newer = theirs.zip(credentials).zip(keys).is_some_and(|((theirs, credentials), ours)| {
            let value = |key: &str| theirs.get(key).map(String::as_str).unwrap_or_default();
            let end = timestamp(credentials.expiration);
            (value("x_security_token_expires"), value("aws_access_key_id")) > (&*end, &*ours.access_key_id)
                && !value("aws_secret_access_key").is_empty()
                && !["", ours.session_token.expose_secret()].contains(&value("aws_session_token"))
        });
        self.edit(&text, credentials, are_newer).is_ok_and(|edited| edited == text)
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
            let given = credentials.cloned();
            let warnings = self.writer.run(move || plan.write(given.as_ref())).await?;
            self.delivered.replace(credentials.cloned());
            for warning in warnings {
                if !self.warned.borrow().contains(&warning) {
                    (self.log)(&warning);
                    self.warned.borrow_mut().push(warning);
                }
            }
            Ok(())
        })
    }

    fn is_intact(&self) -> BoxFuture<'_, bool> {
        let plan = self.plan.borrow().clone();
        let delivered = self.delivered.borrow().clone();
        Box::pin(self.writer.check(move || plan.sections().next().is_none() || plan.is_intact(delivered.as_ref())))
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

/// What keeps some clients from reading the file, which others read.
fn unreadable(path: &Path, text: &[u8]) -> Option<String> {
    let Malformed { line, problem } = ini::trouble(text)?;
    let path = shown::path(path);
    Some(format!("{path} has {problem} in line {line}: boto3 and the AWS CLI cannot read the file"))
}
