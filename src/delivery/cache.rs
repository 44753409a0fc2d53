//! The cache that `credential_process` answers from: one private file, written by an agent, or by whichever process had
//! to do an exchange, and read by all.
//!
//! Beside it stands a lock file. Who refreshes holds it: agents share it as long as they live, a process has it alone
//! while it exchanges. What is cached for another request than the reader's own counts as nothing.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::place::{self, Held, Writer};
use crate::error::{Error, Result};
use crate::flow::{BoxFuture, Content, Credentials, Delivery, Environment, Keys, Principal, Trouble};
use crate::world;

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
    pub trouble: Option<Trouble>,
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

    /// What is cached; nothing where there is no such file, or one that nobody can make sense of.
    pub fn read(&self) -> Record {
        // A pipe, say, would have the client wait for ever.
        let bytes = self.path.is_file().then(|| world::read_file(&self.path).ok()).flatten();
        let json = bytes.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let json = json.filter(|json| json["Request"] == self.request.as_str()).unwrap_or_default();
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        let time = |name: &str| json[name].as_str().and_then(|time| humantime::parse_rfc3339(time).ok());
        let credentials = || {
            let content = match text("GoogleToken") {
                Some(token) => Content::GoogleToken(SecretString::from(token)),
                None => Content::Keys(Keys {
                    access_key_id: text("AccessKeyId")?,
                    secret_access_key: SecretString::from(text("SecretAccessKey")?),
                    session_token: SecretString::from(text("SessionToken")?),
                }),
            };
            let principal = match text("Principal") {
                Some(principal) => Principal::Google(principal),
                None => Principal::Role { arn: text("RoleArn")?, session_name: text("RoleSessionName")? },
            };
            Some((time("Issued")?, Credentials { content, expiration: time("Expiration")?, principal }))
        };
        let trouble = || {
            let failures = json["Failures"].as_u64()?.try_into().ok()?;
            Some(Trouble { at: time("FailedAt")?, next_try: time("NextTry")?, failures, error: text("Error")? })
        };
        Record { credentials: credentials(), trouble: trouble() }
    }

    /// Replaces what is cached. Another writer is waited for as long as `patience` lasts.
    ///
    /// # Errors
    /// What went wrong with the file.
    pub fn write(&self, record: &Record, patience: Duration) -> Result<()> {
        let time = |time| humantime::format_rfc3339_nanos(time).to_string();
        let mut json = json!({"Request": self.request});
        if let Some((issued, credentials)) = &record.credentials {
            match &credentials.content {
                Content::Keys(keys) => {
                    json["AccessKeyId"] = keys.access_key_id.as_str().into();
                    json["SecretAccessKey"] = keys.secret_access_key.expose_secret().into();
                    json["SessionToken"] = keys.session_token.expose_secret().into();
                }
                // Of the other kind there is none in a cache: a client reads it from a file of its own.
                Content::GoogleToken(token) | Content::WebIdentityToken(token) => {
                    json["GoogleToken"] = token.expose_secret().into();
                }
            }
            match &credentials.principal {
                Principal::Role { arn, session_name } => {
                    json["RoleArn"] = arn.as_str().into();
                    json["RoleSessionName"] = session_name.as_str().into();
                }
                Principal::Google(principal) => json["Principal"] = principal.as_str().into(),
            }
            json["Expiration"] = time(credentials.expiration).into();
            json["Issued"] = time(*issued).into();
        }
        if let Some(trouble) = &record.trouble {
            json["FailedAt"] = time(trouble.at).into();
            json["NextTry"] = time(trouble.next_try).into();
            json["Failures"] = trouble.failures.into();
            json["Error"] = trouble.error.as_str().into();
        }
        let text = json.to_string();
        place::update(&self.path, self.mode, patience, &|_| Ok(text.clone().into())).map(drop).map_err(|error| Error {
            step: "write the cache".into(),
            advice: "name another --cache-file, or mend what keeps this one from being written".into(),
            ..error
        })
    }

    /// The right to refresh, for this process alone or shared with others. `None`: somebody else has it.
    ///
    /// # Errors
    /// What went wrong with the lock file.
    pub fn lock(&self, share: bool) -> Result<Option<Held>> {
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        place::lock_file(Path::new(&path), share)
    }
}

/// An agent's hold on a cache.
pub struct CacheFile {
    cache: Cache,
    patience: Duration,
    writer: Writer,
    lock: RefCell<Option<Held>>,
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
            self.record.replace(Record { credentials: Some(((self.now)(), credentials.clone())), trouble: None });
        }
        Box::pin(self.write())
    }

    fn fail<'a>(&'a self, trouble: &'a Trouble) -> BoxFuture<'a, Result<()>> {
        self.record.borrow_mut().trouble = Some(trouble.clone());
        Box::pin(self.write())
    }

    fn is_intact(&self) -> bool {
        self.cache.path().exists()
    }

    fn environment(&self) -> Environment {
        Environment::default()
    }
}
