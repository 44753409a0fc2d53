//! One exchange for all processes that ask at the same time, by a cache that they share.
//!
//! An agent may keep the cache fresh. Where none does, one process at a time refreshes it; the others answer what is still
//! good, or wait for that one.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::config::roles::RoleConfig;
use crate::config::settings::Settings;
use crate::config::to_aws::ToAwsConfig;
use crate::delivery::credential_cache::{self, Cache, Record};
use crate::error::{Error, Kind, Result};
use crate::model::credentials::{Credentials, RefreshFailure};
use crate::system::log::Severity;
use crate::system::private_file;
use crate::system::world::{self, World};
use crate::timing::schedule;

/// How long a refresh may take while there is another answer.
const HURRY: Duration = Duration::from_secs(3);
/// How often a process that waits for another one looks at the cache.
const POLL: Duration = Duration::from_millis(20);

/// Credentials and when they were issued.
type Answer = (SystemTime, Credentials);

/// The name of the cache for `request`. It only keeps requests apart; what tells them apart for sure is in the file.
pub fn file_name(request: &str) -> String {
    let mut hash = DefaultHasher::new();
    request.hash(&mut hash);
    format!("cache-{:016x}.json", hash.finish())
}

/// The cache of `role`, at the place that was named, else under its name where `place` says.
///
/// # Errors
/// Those of `place`.
pub fn of_role(config: &ToAwsConfig, role: &RoleConfig, place: impl FnOnce(&str) -> Result<PathBuf>) -> Result<Cache> {
    let flags = config.flags(role)?;
    let request: String = flags.iter().fold(String::new(), |text, (name, value)| text + name + "=" + value + "\n");
    let path = match (&config.delivery.cache_file, &role.profile) {
        (Some(path), None) => path.clone(),
        _ => place(&file_name(&request))?,
    };
    Ok(Cache::new(path, request, config.delivery.mode))
}

/// Does the work of one exchange.
///
/// # Errors
/// That of the work, or what the kernel does not give.
pub fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Fatal, "start", "", error.to_string()))?;
    let done = runtime.block_on(work);
    // A name that nobody waits for any more may still be looked up for seconds.
    runtime.shutdown_background();
    done
}

/// The answer from `cache`, or what comes of `issue`, which is told when to give up.
///
/// # Errors
/// Why there is none.
pub fn answer(
    cache: &Cache,
    world: &Rc<World>,
    settings: &Settings,
    deadline: Instant,
    issue: impl FnOnce(Instant) -> Result<Credentials>,
) -> Result<Answer> {
    let started = world.now();
    loop {
        let record = cache.read();
        let now = world.now();
        if let Some(answer) = fresh(&record, now) {
            return Ok(answer);
        }
        // Where there cannot be a lock there will be no cache either, as is then said; the client still has its answer.
        let alone = cache.lock(false).map_or(Some(None), |lock| lock.map(Some));
        if let Some(_lock) = alone {
            let record = cache.read();
            // While this one waited for the lock, another process may have had it.
            if let Some(answer) = fresh(&record, now) {
                return Ok(answer);
            }
            if let Some(error) = shared(&record, started, now).filter(|_| live(&record, now).is_none()) {
                return Err(error);
            }
            // While the last ones are good, a client does not wait for long.
            let give_up = if live(&record, now).is_some() { deadline.min(world.deadline(HURRY)) } else { deadline };
            let issued = issue(give_up);
            return refresh(cache, record, issued, world, settings);
        }
        // An agent is at it, or another process.
        if let Some(answer) = live(&record, now) {
            return Ok(answer);
        }
        let refused = record.failure.as_ref().filter(|failure| failure.next_try > now);
        if let Some(error) = shared(&record, started, now).or_else(|| refused.map(error_of)) {
            return Err(error);
        }
        if world.deadline(POLL) > deadline {
            return Err(Error::new(
                Kind::Fatal,
                "wait for credentials",
                crate::system::shown::path(cache.path()),
                format!(
                    "holds none yet, and whoever holds its lock has not put any there for {} s",
                    settings.timeout.as_secs()
                ),
            ));
        }
        std::thread::sleep(POLL);
    }
}

/// Writes what came of an exchange, and answers with it or with what is still good.
fn refresh(
    cache: &Cache,
    mut record: Record,
    issued: Result<Credentials>,
    world: &World,
    settings: &Settings,
) -> Result<Answer> {
    let now = world.now();
    let failed = match issued {
        Ok(credentials) => {
            record = Record { credentials: Some((now, credentials)), failure: None };
            None
        }
        Err(error) => {
            let failures = record.failure.take().map_or(1, |failure| failure.failures.saturating_add(1));
            let expiration = record.credentials.as_ref().map(|(_, credentials)| credentials.expiration);
            let next_try = world::later(now, schedule::retry_after(failures, now, expiration, world.random()));
            record.failure = Some(RefreshFailure { at: now, next_try, failures, error: error.to_string() });
            Some(error)
        }
    };
    // A full disk is no reason to have no answer.
    if let Err(error) = cache.write(&record, settings.timeout) {
        settings.log.error(now, Severity::Warning, &error, &[]);
    }
    // Beside it may stand those of roles that nobody asks for any more.
    if let Some(directory) = cache.path().parent() {
        private_file::sweep(cache.path(), "", now);
        credential_cache::sweep(directory, &[cache.path().to_owned()], now, false);
    }
    match (live(&record, now), failed) {
        (Some(answer), None) => Ok(answer),
        (Some(answer), Some(error)) => {
            let more = [("consequence", "the last good credentials are still in use".to_owned())];
            settings.log.error(now, Severity::Warning, &error, &more);
            Ok(answer)
        }
        (None, Some(error)) => Err(error),
        (None, None) => Err(Error::new(Kind::Fatal, "use the credentials", "", "they had expired when they came")
            .advice("check this machine's clock")),
    }
}

/// The answer, if it need not be refreshed yet.
fn fresh(record: &Record, now: SystemTime) -> Option<Answer> {
    let (issued, credentials) = record.credentials.as_ref()?;
    let due = world::later(*issued, schedule::refresh_after(*issued, credentials.expiration, 0.5));
    let waiting = record.failure.as_ref().is_some_and(|failure| failure.at <= now && now < failure.next_try);
    if (now < due || waiting) && *issued <= now { live(record, now) } else { None }
}

/// The answer, if it is still good.
fn live(record: &Record, now: SystemTime) -> Option<Answer> {
    record.credentials.clone().filter(|(_, credentials)| now < credentials.expiration)
}

/// Why another process that tried after `started` has failed: a thousand callers at once are one exchange, also when
/// it is refused.
fn shared(record: &Record, started: SystemTime, now: SystemTime) -> Option<Error> {
    record.failure.as_ref().filter(|failure| failure.at >= started && failure.at <= now).map(error_of)
}

fn error_of(failure: &RefreshFailure) -> Error {
    Error::told(Kind::Fatal, &failure.error)
}
