//! `fedboot credential-process`: one answer for `credential_process` in an AWS profile.
//!
//! `{"Version": 1, "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}` on stdout, one line on stderr and
//! exit code 1 where there is no answer: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>.
//!
//! The answer comes from a cache that an agent keeps fresh, or that callers share: see [`crate::federation::shared_cache`].

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::config::options::{FLAGS_ONLY, Options};
use crate::config::roles::RoleChoice;
use crate::config::{self, Config, Settings, direction};
use crate::delivery::credential_cache::Cache;
use crate::error::{Error, Kind, Result};
use crate::federation::google_to_aws::{Attributes, ToAws};
use crate::federation::shared_cache;
use crate::model::flow::Issuer;
use crate::system::log::timestamp;
use crate::system::world::World;
use crate::system::{private_file, process};
use crate::timing::retry;

/// Some clients ask only once the credentials are past their end, so that is said to be a little earlier.
const EARLY: Duration = Duration::from_secs(60);

/// The cache of `role`, at the place that was named, else under its name where `place` says.
///
/// # Errors
/// Those of `place`.
pub fn cache(config: &Config, role: &RoleChoice, place: impl FnOnce(&str) -> Result<PathBuf>) -> Result<Cache> {
    let flags = config.flags(role)?;
    let request: String = flags.iter().fold(String::new(), |text, (name, value)| text + name + "=" + value + "\n");
    let path = match (&config.delivery.cache_file, &role.profile) {
        (Some(path), None) => path.clone(),
        _ => place(&shared_cache::file_name(&request))?,
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
        return Err(Error::usage("an option holds what cannot stand in a profile's credential_process line")
            .advice("leave quotes, backslashes and control characters out"));
    }
    Ok(format!("'{word}'"))
}

/// The answer.
///
/// # Errors
/// Why there is none.
pub fn answer(options: &Options, world: &Rc<World>) -> Result<SecretString> {
    let settings = Settings::resolve(options, world)?;
    let deadline = world.deadline(settings.timeout);
    let config = if config::names_a_role(options, world) {
        Config::resolve(options, world, &std::collections::HashMap::new())?
    } else {
        shared_cache::run(direction::to_aws(options, world, Some(deadline), &Attributes::default()))?
    };
    let [role] = &config.roles[..] else {
        return Err(Error::usage("credential-process answers for one --role-arn"));
    };
    let cache = cache(&config, role, |name| Ok(private_file::cache_directory(world)?.join(name)))?;
    let issue = |give_up| {
        let way = ToAws::new(&config, role, world.clone(), &settings.log)?;
        shared_cache::run(retry::until(world, give_up, async || way.issue(Some(give_up)).await))
    };
    let (issued, credentials) = shared_cache::answer(&cache, world, &settings, deadline, issue)?;
    let keys =
        credentials.keys().ok_or_else(|| Error::new(Kind::Fatal, "answer", "", "there are no keys in the cache"))?;
    let lifetime = credentials.expiration.duration_since(issued).unwrap_or_default();
    let early = credentials.expiration.checked_sub(EARLY.min(lifetime.mul_f64(0.1)));
    let said = early.filter(|early| *early > world.now()).unwrap_or(credentials.expiration);
    let answer = serde_json::json!({
        "Version": 1,
        "AccessKeyId": keys.access_key_id,
        "SecretAccessKey": keys.secret_access_key.expose_secret(),
        "SessionToken": keys.session_token.expose_secret(),
        "Expiration": timestamp(said),
    });
    Ok(format!("{answer}\n").into())
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
