//! `fedboot credential-process`: one answer for `credential_process` in an AWS profile.
//!
//! `{"Version": 1, "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}` on stdout, one line on stderr and
//! exit code 1 where there is no answer: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>.
//!
//! The answer comes from a cache that an agent keeps fresh. Where no agent runs, one process at a time refreshes it;
//! the others answer what is still good, or wait for that one.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};

use crate::cli::{FLAGS_ONLY, Options};
use crate::config::{self, Config, Settings};
use crate::delivery::cache::{Cache, Record};
use crate::delivery::place;
use crate::error::{Error, Kind, Result};
use crate::flow::{Credentials, Trouble};
use crate::log::{Severity, timestamp};
use crate::process;
use crate::roles::RoleChoice;
use crate::route::{self, Route};
use crate::schedule;
use crate::world::World;

/// Some clients ask only once the credentials are past their end, so that is said to be a little earlier.
const EARLY: Duration = Duration::from_secs(60);
/// How long a refresh may take while there is another answer.
const HURRY: Duration = Duration::from_secs(3);
/// How often a process that waits for another one looks at the cache.
const POLL: Duration = Duration::from_millis(20);

/// The cache of `role`, at the place that was named, else under its name where `place` says.
///
/// # Errors
/// Those of `place`.
pub fn cache(config: &Config, role: &RoleChoice, place: impl FnOnce(&str) -> Result<PathBuf>) -> Result<Cache> {
    let flags = config.flags(role)?;
    let request: String = flags.iter().fold(String::new(), |text, (name, value)| text + name + "=" + value + "\n");
    let mut hash = DefaultHasher::new();
    request.hash(&mut hash);
    // The name only keeps requests apart; what tells them apart for sure is in the file.
    let path = match (&config.delivery.cache_file, &role.profile) {
        (Some(path), None) => path.clone(),
        _ => place(&format!("cache-{:016x}.json", hash.finish()))?,
    };
    Ok(Cache::new(path, request, config.delivery.mode))
}

/// What stands behind `credential_process` in the profile of `role`: a shell line, which some SDKs read by shell-like
/// rules of their own.
///
/// # Errors
/// A usage error for what no profile can hold.
pub fn command_line(config: &Config, role: &RoleChoice, cache: &Path) -> Result<String> {
    let program = process::own_executable();
    // What the client's own environment says of fedboot's options is for another fedboot.
    let mut line = format!("{} credential-process --{FLAGS_ONLY}", quoted(&program)?);
    let cache = ("cache-file", cache.display().to_string());
    for (name, value) in config.flags(role)?.into_iter().chain([cache]) {
        let _ = write!(line, " --{name}");
        if !value.is_empty() {
            let _ = write!(line, " {}", quoted(&value)?);
        }
    }
    Ok(line)
}

fn quoted(word: &str) -> Result<String> {
    if word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:@=+,%".contains(&b)) {
        return Ok(word.into());
    }
    // A quote ends some readers' words, and a comment may begin behind white space.
    let comment = [" #", " ;", "\t#", "\t;"].iter().any(|start| word.contains(start));
    if comment || word.contains(|c: char| c.is_control() || c == '\'' || c == '"' || c == '\\') {
        return Err(Error::usage(format!("{word:?} cannot stand in a profile's credential_process line")));
    }
    Ok(format!("'{word}'"))
}

/// The answer.
///
/// # Errors
/// Why there is none.
pub fn answer(options: &Options, world: &Rc<World>) -> Result<SecretString> {
    let settings = Settings::resolve(options, world)?;
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(Kind::Fatal, "start", "", error.to_string()))
    };
    let deadline = world.monotonic() + settings.timeout;
    let named = config::names_a_role(options, world);
    let config = if named {
        Config::resolve(options, world, &std::collections::HashMap::new())?
    } else {
        runtime()?.block_on(route::configure(options, world, Some(deadline)))?
    };
    let [role] = &config.roles[..] else {
        return Err(Error::usage("credential-process answers for one --role-arn"));
    };
    let cache = cache(&config, role, |name| Ok(place::cache_directory(world)?.join(name)))?;
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
            let route = Route::new(&config, role, world.clone(), &settings.log)?;
            // While the last ones are good, a client does not wait for long.
            let give_up = if live(&record, now).is_some() { deadline.min(world.monotonic() + HURRY) } else { deadline };
            let issued = runtime()?.block_on(route.issue_by(give_up));
            return refresh(&cache, record, issued, world, &settings);
        }
        // An agent is at it, or another process.
        if let Some(answer) = live(&record, now) {
            return Ok(answer);
        }
        let refused = record.trouble.as_ref().filter(|trouble| trouble.next_try > now);
        if let Some(error) = shared(&record, started, now).or_else(|| refused.map(told)) {
            return Err(error);
        }
        if world.monotonic() + POLL > deadline {
            return Err(Error::new(
                Kind::Fatal,
                "wait for credentials",
                cache.path().display().to_string(),
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
) -> Result<SecretString> {
    let now = world.now();
    let failed = match issued {
        Ok(credentials) => {
            record = Record { credentials: Some((now, credentials)), trouble: None };
            None
        }
        Err(error) => {
            let failures = record.trouble.take().map_or(1, |trouble| trouble.failures.saturating_add(1));
            let expiration = record.credentials.as_ref().map(|(_, credentials)| credentials.expiration);
            let next_try = now + schedule::retry_after(failures, now, expiration, world.random());
            record.trouble = Some(Trouble { at: now, next_try, failures, error: error.to_string() });
            Some(error)
        }
    };
    // A full disk is no reason to have no answer.
    if let Err(error) = cache.write(&record, settings.timeout) {
        settings.log.error(now, Severity::Warning, &error, &[]);
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
fn fresh(record: &Record, now: SystemTime) -> Option<SecretString> {
    let (issued, credentials) = record.credentials.as_ref()?;
    let due = *issued + schedule::refresh_after(*issued, credentials.expiration, 0.5);
    let waiting = record.trouble.as_ref().is_some_and(|trouble| trouble.at <= now && now < trouble.next_try);
    if (now < due || waiting) && *issued <= now { live(record, now) } else { None }
}

/// The answer, if it is still good.
fn live(record: &Record, now: SystemTime) -> Option<SecretString> {
    let (issued, credentials) = record.credentials.as_ref()?;
    let keys = credentials.keys().filter(|_| now < credentials.expiration)?;
    let lifetime = credentials.expiration.duration_since(*issued).unwrap_or_default();
    let early = credentials.expiration - EARLY.min(lifetime / 10);
    let said = if early > now { early } else { credentials.expiration };
    let answer = serde_json::json!({
        "Version": 1,
        "AccessKeyId": keys.access_key_id,
        "SecretAccessKey": keys.secret_access_key.expose_secret(),
        "SessionToken": keys.session_token.expose_secret(),
        "Expiration": timestamp(said),
    });
    Some(format!("{answer}\n").into())
}

/// Why another process that tried after `started` has failed: a thousand callers at once are one exchange, also when
/// it is refused.
fn shared(record: &Record, started: SystemTime, now: SystemTime) -> Option<Error> {
    record.trouble.as_ref().filter(|trouble| trouble.at >= started && trouble.at <= now).map(told)
}

fn told(trouble: &Trouble) -> Error {
    Error::new(Kind::Fatal, "", "", trouble.error.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_line() {
        for (word, line) in [
            ("/usr/bin/fedboot", Some("/usr/bin/fedboot")),
            ("arn:aws:iam::1:role/{hostname}", Some("'arn:aws:iam::1:role/{hostname}'")),
            ("a b", Some("'a b'")),
            ("$(x)`;", Some("'$(x)`;'")),
            ("it's", None),
            ("a\nb", None),
            ("a #b", None),
        ] {
            assert_eq!(quoted(word).ok().as_deref(), line, "{word}");
        }
    }
}
