//! The cache that `credential_process` answers from: one private file, written by an agent, or by whichever process had
//! to do an exchange, and read by all.
//!
//! Beside it stands a lock file. Who refreshes holds it: agents share it as long as they live, a process has it alone
//! while it exchanges. What is cached for another request than the reader's own counts as nothing.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use crate::delivery::Delivery;
use crate::error::{Error, Result};
use crate::model::credentials::{Credentials, RefreshFailure};
use crate::model::environment::Environment;
use crate::model::{BoxFuture, credentials_json};
use crate::system::log::shown;
use crate::system::private_file::{self, LockedFile, Writer};

const LOCK_SUFFIX: &str = ".lock";

/// A cache file and the request that it answers.
#[derive(Clone)]
pub struct Cache {
    path: PathBuf,
    request: String,
    mode: u32,
}

/// What stands in it.
#[derive(Clone, Default)]
pub struct Record {
    /// The last good credentials, and when they were issued.
    pub credentials: Option<(SystemTime, Credentials)>,
    /// Why there are no newer ones.
    pub failure: Option<RefreshFailure>,
}

impl Cache {
    /// The cache at `path`, an absolute one, for `request`: any text that no other request has. It is written with the
    /// permissions `mode`.
    pub fn new(path: PathBuf, request: String, mode: u32) -> Self {
        Self { path, request, mode }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is cached; nothing where there is no such file, or one of somebody else, or one that nobody can make sense of.
    pub fn read(&self) -> Record {
        let json = self.json().filter(|json| text(json, "Request").as_ref() == Some(&self.request));
        json.map(|json| Record::of(&json)).unwrap_or_default()
    }

    fn json(&self) -> Option<Map<String, Value>> {
        serde_json::from_slice(&private_file::read(&self.path, self.mode).ok()?).ok()
    }

    /// Replaces what is cached. Another writer is waited for as long as `patience` lasts.
    ///
    /// # Errors
    /// What went wrong with the file.
    pub fn write(&self, record: &Record, patience: Duration) -> Result<()> {
        let mut json = record.json();
        json.insert("Request".into(), self.request.as_str().into());
        let text = Value::from(json).to_string();
        let written = private_file::update(&self.path, self.mode, patience, &|_| Ok(text.clone().into()));
        written.map(drop).map_err(|error| Error {
            step: "write the cache".into(),
            advice: "name another --cache-file, or mend what keeps this one from being written".into(),
            ..error
        })
    }

    /// The right to refresh, for this process alone or shared with others. `None`: somebody else has it.
    ///
    /// # Errors
    /// What went wrong with the lock file.
    pub fn lock(&self, share: bool) -> Result<Option<LockedFile>> {
        private_file::lock_file(&self.lock_path(), share)
    }

    fn lock_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(LOCK_SUFFIX);
        path.into()
    }
}

fn text(json: &Map<String, Value>, name: &str) -> Option<String> {
    json.get(name)?.as_str().map(str::to_owned)
}

fn time(json: &Map<String, Value>, name: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(json.get(name)?.as_str()?).ok()
}

impl Record {
    fn of(json: &Map<String, Value>) -> Self {
        let text = |name| text(json, name);
        let time = |name| time(json, name);
        let failure = || {
            let failures = json.get("Failures")?.as_u64()?.try_into().ok()?;
            Some(RefreshFailure { at: time("FailedAt")?, next_try: time("NextTry")?, failures, error: text("Error")? })
        };
        Self { credentials: credentials_json::decode(json), failure: failure() }
    }

    fn json(&self) -> Map<String, Value> {
        let credentials = self.credentials.as_ref();
        let mut json = credentials.map(|(issued, it)| credentials_json::encode(*issued, it)).unwrap_or_default();
        let mut put = |name: &str, value: Value| json.insert(name.into(), value);
        let time = |time| humantime::format_rfc3339_nanos(shown(time)).to_string();
        if let Some(failure) = &self.failure {
            put("FailedAt", time(failure.at).into());
            put("NextTry", time(failure.next_try).into());
            put("Failures", failure.failures.into());
            put("Error", failure.error.as_str().into());
        }
        json
    }

    /// Whether anybody may still be answered from it.
    fn is_of_use(&self, now: SystemTime) -> bool {
        self.credentials.as_ref().is_some_and(|(_, credentials)| now < credentials.expiration)
            || self.failure.as_ref().is_some_and(|failure| now < failure.next_try)
    }
}

/// Removes the caches in `directory` that nobody answers from any more: those that are past their end, and with
/// `of_agents` those that belonged to an agent, which reads only its own ones again, `mine`. What somebody holds the lock
/// of stays.
pub fn sweep(directory: &Path, mine: &[PathBuf], now: SystemTime, of_agents: bool) {
    let names = private_file::names_in(directory).into_iter().filter_map(|name| {
        let name = name.into_string().ok()?;
        let name = name.strip_suffix(LOCK_SUFFIX).unwrap_or(&name);
        shared_name(name.strip_prefix(private_file::PREFIX).unwrap_or(name)).then(|| name.to_owned())
    });
    for name in names.collect::<BTreeSet<_>>() {
        let cache = Cache::new(directory.join(&name), String::new(), 0o600);
        let is_agents = of_agents && name.starts_with(private_file::PREFIX);
        let is_live = || cache.json().is_some_and(|json| Record::of(&json).is_of_use(now));
        if mine.contains(&cache.path) || !is_agents && is_live() {
            continue;
        }
        let is_left = match cache.lock(false) {
            Ok(Some(lock @ LockedFile::Locked(_))) => Some(lock).filter(|_| is_agents || !is_live()),
            Ok(Some(lock @ LockedFile::Unknown(_))) => Some(lock).filter(|_| !is_live()),
            Ok(None) | Err(_) => None,
        };
        if let Some(_lock) = is_left {
            let _ = private_file::remove(&cache.path);
            let _ = private_file::remove(&cache.lock_path());
        }
    }
}

/// Whether [`crate::federation::shared_cache::file_name`] gives such a name.
fn shared_name(name: &str) -> bool {
    let hash = name.strip_prefix("cache-").and_then(|rest| rest.strip_suffix(".json"));
    hash.is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// An agent's hold on a cache.
pub struct CacheFile {
    cache: Cache,
    patience: Duration,
    writer: Writer,
    lock: RefCell<Option<LockedFile>>,
    record: RefCell<Record>,
    now: Box<dyn Fn() -> SystemTime>,
}

impl CacheFile {
    /// Keeps `cache` fresh by the clock `now`. Another writer is waited for as long as `patience` lasts.
    pub fn new(cache: Cache, patience: Duration, now: impl Fn() -> SystemTime + 'static) -> Self {
        Self {
            // What stands there may outlive a first try that fails.
            record: RefCell::new(cache.read()),
            cache,
            patience,
            writer: Writer::default(),
            lock: RefCell::default(),
            now: Box::new(now),
        }
    }

    async fn write(&self) -> Result<()> {
        if self.lock.borrow().is_none() {
            // Where a process is just exchanging by itself, the next turn will have the lock.
            self.lock.replace(self.cache.lock(true)?);
        }
        let (cache, record, patience) = (self.cache.clone(), self.record.borrow().clone(), self.patience);
        self.writer.run(move || cache.write(&record, patience)).await
    }
}

impl Delivery for CacheFile {
    fn deliver<'a>(&'a self, credentials: Option<&'a Credentials>) -> BoxFuture<'a, Result<()>> {
        if let Some(credentials) = credentials {
            self.record.replace(Record { credentials: Some(((self.now)(), credentials.clone())), failure: None });
        }
        Box::pin(self.write())
    }

    fn fail<'a>(&'a self, failure: &'a RefreshFailure) -> BoxFuture<'a, Result<()>> {
        self.record.borrow_mut().failure = Some(failure.clone());
        Box::pin(self.write())
    }

    fn is_intact(&self) -> BoxFuture<'_, bool> {
        let path = self.cache.path.clone();
        Box::pin(self.writer.check(move || path.exists()))
    }

    fn environment(&self) -> Environment {
        Environment::default()
    }
}
