//! `fedboot credential-process`: one answer for `credential_process` in an AWS profile.
//!
//! `{"Version": 1, "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}` on stdout, one line on stderr and
//! exit code 1 (2 for a usage error) where there is no answer: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>.
//!
//! The answer comes from a cache that an agent keeps fresh, or that callers share: see [`crate::federation::shared_cache`].

use std::rc::Rc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::config::options::Options;
use crate::config::settings::Settings;
use crate::config::to_aws::{self, ToAwsConfig};
use crate::error::{Error, Kind, Result};
use crate::federation::google_to_aws::{self, Attributes, GoogleToAws};
use crate::federation::{CredentialsIssuer, shared_cache};
use crate::system::log::timestamp;
use crate::system::private_file;
use crate::system::world::World;
use crate::timing::retry;

/// Some clients ask only once the credentials are past their end, so that is said to be a little earlier.
const EARLY: Duration = Duration::from_secs(60);

/// The answer.
///
/// # Errors
/// Why there is none.
pub fn answer(options: &Options, world: &Rc<World>) -> Result<SecretString> {
    let settings = Settings::resolve(options, world)?;
    let deadline = world.deadline(settings.timeout);
    let config = if to_aws::names_a_role(options, world) {
        ToAwsConfig::resolve(options, world, &std::collections::HashMap::new())?
    } else {
        shared_cache::run(google_to_aws::configure(options, world, Some(deadline), &Attributes::default()))?
    };
    let [role] = &config.roles[..] else {
        return Err(Error::usage("credential-process answers for one --role-arn"));
    };
    let cache = shared_cache::of_role(&config, role, |name| Ok(private_file::cache_directory(world)?.join(name)))?;
    let issue = |give_up| {
        let way = GoogleToAws::new(&config, role, world.clone(), &settings.log)?;
        shared_cache::run(retry::until(world, give_up, async || way.issue(Some(give_up)).await))
    };
    let (issued, credentials) = shared_cache::answer(&cache, world, &settings, deadline, issue)?;
    let keys =
        credentials.keys().ok_or_else(|| Error::new(Kind::Fatal, "answer", "", "there are no keys in the cache"))?;
    let lifetime = credentials.expiration.duration_since(issued).unwrap_or_default();
    let early = credentials.expiration.checked_sub(EARLY.min(lifetime.mul_f64(0.1)));
    let expiration = early.filter(|early| *early > world.now()).unwrap_or(credentials.expiration);
    let answer = serde_json::json!({
        "Version": 1,
        "AccessKeyId": keys.access_key_id,
        "SecretAccessKey": keys.secret_access_key.expose_secret(),
        "SessionToken": keys.session_token.expose_secret(),
        "Expiration": timestamp(expiration),
    });
    Ok(format!("{answer}\n").into())
}
