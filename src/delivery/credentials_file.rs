//! The shared credentials file: static keys in `[default]` for whatever reads the file; where the endpoint stands too, a
//! profile `[fedboot]` without any key, from which every SDK goes on to the endpoint; profiles with a process line.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use secrecy::ExposeSecret;

use crate::delivery::Delivery;
use crate::delivery::replaced_profile::{ReplacedProfile, content};
use crate::error::{Error, Kind, Result, reasons};
use crate::format::ini::{self, Carried, Malformed, OTHER_SOURCES, STATIC_KEYS, Section};
use crate::model::BoxFuture;
use crate::model::credentials::{Content, Credentials, Keys, Principal};
use crate::model::environment::Environment;
use crate::system::log::timestamp;
use crate::system::private_file::{self, Writer};
use crate::system::shown;

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
    written: RefCell<Arc<Written>>,
}

/// What the last write has found and left.
#[derive(Default)]
struct Written {
    /// What is to be said about it.
    warnings: Vec<String>,
    /// The settings of the replaced profile.
    carried: Option<Carried>,
    /// Whether something is set aside that is to be put back in the end.
    has_aside: bool,
}

/// What is written where.
#[derive(Clone)]
pub struct Plan {
    /// The file, by its absolute path.
    pub path: PathBuf,
    /// The file that clients would read if they could not be led to that one, of which it starts as a copy.
    pub copied: Option<PathBuf>,
    /// The profile that clients would use. Beside its credentials file stands AWS's config file, which they read too.
    pub replaced: ReplacedProfile,
    /// Whether it was said which region is meant, so that the replaced profile's does not count.
    pub region_is_said: bool,
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
            written: RefCell::default(),
        }
    }

    /// Whether something is set aside in the file that is to be put back.
    pub fn has_aside(&self) -> bool {
        self.written.borrow().has_aside
    }

    /// Puts it back.
    pub async fn put_back(&self) {
        let (plan, delivered) = (self.plan.borrow().clone(), self.delivered.borrow().clone());
        let written = self.written.borrow().clone();
        // Where that fails it is still there to be read, and the next fedboot puts it back.
        let _ = self.writer.run(move || plan.put_back(delivered.as_ref(), written.carried.as_ref())).await;
    }

    /// From the next delivery on there are these sections too.
    pub fn add(&self, profiles: Vec<Profile>) {
        Arc::make_mut(&mut self.plan.borrow_mut()).profiles.extend(profiles);
    }
}

impl Plan {
    fn write(&self, credentials: Option<&Credentials>) -> Result<Written> {
        let config = self.replaced.config.as_deref().map(content).unwrap_or_default();
        let written = RefCell::new(Written::default());
        let in_place = private_file::update(&self.path, self.mode, self.patience, &|text| {
            let (edited, done) = self.written_over(text, &config, credentials)?;
            written.replace(done);
            Ok(edited)
        })?;
        let mut written = written.into_inner();
        if in_place {
            written.warnings.push(format!(
                "{} cannot be replaced (a mount, or its directory is read-only) and is written in place: a reader may see \
                 it half-written",
                shown::path(&self.path)
            ));
        }
        written.warnings.extend(self.warnings_of(&config));
        Ok(written)
    }

    /// What would be said of a delivery, which does not take place.
    ///
    /// # Errors
    /// Why it could not.
    pub fn foretell(&self) -> Result<Vec<String>> {
        if self.sections().next().is_none() {
            return Ok(Vec::new());
        }
        let config = self.replaced.config.as_deref().map(content).unwrap_or_default();
        let keys = Keys { access_key_id: "ASIA".into(), secret_access_key: "s".into(), session_token: "t".into() };
        let some = Credentials {
            content: Content::Keys(keys),
            expiration: SystemTime::UNIX_EPOCH,
            principal: Principal::Google(String::new()),
            identity: String::new(),
        };
        let (_, written) = self.written_over(&content(&self.path), &config, Some(&some))?;
        Ok(written.warnings.into_iter().chain(self.warnings_of(&config)).collect())
    }

    /// The new text of the file, and what is to be said of it.
    fn written_over(
        &self,
        text: &[u8],
        config: &[u8],
        credentials: Option<&Credentials>,
    ) -> Result<(Vec<u8>, Written)> {
        let copied = self.copied.as_deref().filter(|_| text.is_empty()).map(content);
        let text = copied.as_deref().unwrap_or(text);
        let carried = self.carried(text, config);
        let edited = self.edit(text, credentials, carried.as_ref(), false).map_err(|malformed| {
            let problem = format!("has {} in line {}, so no SDK could read it", malformed.problem, malformed.line);
            Error::new(Kind::Fatal, "write credentials", shown::path(&self.path), problem)
                .reason(&reasons::MALFORMED_FILE)
                .advice("mend or remove that line, or name another --credentials-file; the file is as it was")
        })?;
        let mut warnings: Vec<_> = unreadable(&self.path, &edited, text).into_iter().collect();
        warnings.extend(for_all(&self.path, &edited));
        let (keys, sources): (Vec<_>, Vec<_>) =
            ini::newly_aside(text, &edited).into_iter().partition(|name| STATIC_KEYS.contains(&name.as_str()));
        let kinds = [
            ("are long-term keys in a profile that fedboot fills", keys),
            ("would have been taken before the credentials that fedboot writes there", sources),
        ];
        for (what, names) in kinds.into_iter().filter(|(_, names)| !names.is_empty()) {
            let (path, names) = (shown::path(&self.path), names.join(", "));
            warnings.push(format!("{path}: {names} {what}: a comment now, and put back when fedboot ends"));
        }
        let has_aside = ini::has_aside(&edited);
        Ok((edited, Written { warnings, carried, has_aside }))
    }

    /// What is to be said of AWS's config file, which stands beside it.
    fn warnings_of(&self, config: &[u8]) -> Vec<String> {
        let Some(path) = &self.replaced.config else { return Vec::new() };
        let mut warnings: Vec<_> = unreadable(path, config, config).into_iter().collect();
        warnings.extend(for_all(path, config));
        warnings.extend(self.sections().filter_map(|name| self.shadowed(name, path, config)));
        warnings
    }

    /// Puts back what was set aside, in the sections that are still as this agent has left them.
    fn put_back(&self, credentials: Option<&Credentials>, carried: Option<&Carried>) -> Result<()> {
        private_file::update(&self.path, self.mode, self.patience, &|text| {
            let is_ours = self.edit(text, credentials, carried, false).is_ok_and(|edited| edited == text);
            let mut text = text.to_vec();
            for section in self.edits(&text, credentials, carried, false).iter().filter(|_| is_ours) {
                text = ini::put_back(&text, section).unwrap_or(text);
            }
            Ok(text)
        })
        .map(drop)
    }

    /// The profile that clients use, by name or as the usual one.
    fn used(&self) -> Option<&str> {
        self.profile.as_deref().or(self.keys_section.as_deref())
    }

    /// The settings that clients would miss; none where they use the same profile as before.
    fn carried(&self, text: &[u8], config: &[u8]) -> Option<Carried> {
        let Self { replaced, .. } = self;
        let used = self.used().filter(|used| *used != replaced.name)?;
        let other = replaced.credentials.as_deref().filter(|path| **path != *self.path).map(content);
        let mut settings = replaced.settings(other.as_deref().unwrap_or(text), config);
        if self.profile.is_some() {
            // What the config file says of the profile itself.
            let own = ini::settings(config, &|section| ini::is_profile(section, used)).unwrap_or_default();
            settings.retain(|(name, _)| !own.iter().any(|(other, _)| other == name));
        }
        Some(Carried { from: replaced.name.clone(), settings })
    }

    /// What the config file says of the profile `name` that clients would take before what is delivered there.
    fn shadowed(&self, name: &str, path: &Path, config: &[u8]) -> Option<String> {
        let values = ini::read(config, &|section| ini::is_profile_or_default(section, name)).ok()??;
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
        carried: Option<&Carried>,
        are_newer: bool,
    ) -> std::result::Result<Vec<u8>, Malformed> {
        let mut edited = text.to_vec();
        for section in self.edits(text, credentials, carried, are_newer) {
            edited = ini::edit(&edited, &section)?;
        }
        Ok(edited)
    }

    /// What each section shall say.
    fn edits<'a>(
        &'a self,
        text: &[u8],
        credentials: Option<&Credentials>,
        carried: Option<&Carried>,
        are_newer: bool,
    ) -> Vec<Section<'a>> {
        let carried = |name: &str| carried.filter(|_| self.used() == Some(name)).cloned();
        let read = |name: &str| ini::read(text, &|section| section == name).ok().flatten().unwrap_or_default();
        let mut sections = Vec::new();
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
            let remove = vec!["aws_security_token"];
            let (keeps_keys, carried) = (are_long_term(&read(name)), carried(name));
            sections.push(Section { name, set, remove, aside: OTHER_SOURCES, keeps_keys, carried });
        }
        for Profile { name, set } in &self.profiles {
            let (mut set, values, carried) = (set.clone(), read(name), carried(name));
            // What stands in fedboot's own profile is fedboot's.
            let is_own = name == "fedboot";
            let replaced = carried.iter().flat_map(|carried| &carried.settings).find(|(key, _)| key == "region");
            let replaced = replaced.filter(|_| !self.region_is_said);
            set.retain_mut(|(key, value)| {
                if *key == "region"
                    && let Some((_, replaced)) = replaced
                {
                    value.clone_from(replaced);
                }
                is_own || *key != "region" || values.get("region").is_none_or(|theirs| theirs == value)
            });
            let aside = if is_own { &[] } else { OTHER_SOURCES };
            let keeps_keys = !is_own && are_long_term(&values);
            let remove = [STATIC_KEYS, OTHER_SOURCES].concat();
            sections.push(Section { name, set, remove, aside, keeps_keys, carried });
        }
        sections
    }

    /// Whether the file says what was delivered, or what another agent has delivered since.
    fn is_intact(&self, credentials: Option<&Credentials>, carried: Option<&Carried>) -> bool {
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
        self.edit(&text, credentials, carried, are_newer).is_ok_and(|edited| edited == text)
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
            let written = self.writer.run(move || plan.write(given.as_ref())).await?;
            self.delivered.replace(credentials.cloned());
            for warning in &written.warnings {
                if !self.warned.borrow().contains(warning) {
                    (self.log)(warning);
                    self.warned.borrow_mut().push(warning.clone());
                }
            }
            self.written.replace(Arc::new(written));
            Ok(())
        })
    }

    fn is_intact(&self) -> BoxFuture<'_, bool> {
        let plan = self.plan.borrow().clone();
        let (delivered, written) = (self.delivered.borrow().clone(), self.written.borrow().clone());
        Box::pin(self.writer.check(move || {
            plan.sections().next().is_none() || plan.is_intact(delivered.as_ref(), written.carried.as_ref())
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

/// What a section that some readers have for all profiles says of where to get credentials.
fn for_all(path: &Path, text: &[u8]) -> Option<String> {
    let values = ini::for_all(text)?;
    let first = STATIC_KEYS.iter().chain(OTHER_SOURCES).find(|key| values.contains_key(**key))?;
    let path = shown::path(path);
    Some(format!(
        "{path} has {first} in [DEFAULT], which is every profile's to boto3 and the AWS CLI, and they may take it before \
         the credentials that fedboot delivers: write [default], in small letters, or remove it"
    ))
}

/// Whether these are the keys of a user, which last until somebody takes them away. The token beside them may be fedboot's,
/// where somebody else has only set the keys.
fn are_long_term(values: &HashMap<String, String>) -> bool {
    let value = |key: &str| values.get(key).map(String::as_str).unwrap_or_default();
    let id = value("aws_access_key_id");
    let has_token = !value("aws_session_token").is_empty() || !value("aws_security_token").is_empty();
    let has_keys = !id.is_empty() || !value("aws_secret_access_key").is_empty();
    // <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids>
    has_keys && (id.starts_with("AKIA") || !has_token && !id.starts_with("ASIA"))
}

/// What keeps some clients from reading the file, which others read; the line is that of the file as it was `before`.
fn unreadable(path: &Path, text: &[u8], before: &[u8]) -> Option<String> {
    let now = ini::malformed(text)?;
    let Malformed { line, problem } =
        ini::malformed(before).filter(|before| before.problem == now.problem).unwrap_or(now);
    let path = shown::path(path);
    Some(format!("{path} has {problem} in line {line}: boto3 and the AWS CLI cannot read the file"))
}
