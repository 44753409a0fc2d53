//! Words for what both ways have in common: a token's claims, how long something lasts.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::commands::doctor::findings::Finding;
use crate::error::Result;
use crate::model::BoxFuture;
use crate::model::proof::Claims;
use crate::system::http::Http;
use crate::system::log::{Format, Log, Severity};
use crate::system::shown;
use crate::system::world::{self, World};
use crate::timing::retry;

/// How long a step may take, tries included.
pub const PATIENCE: Duration = Duration::from_millis(2500);

/// What is said to a log is a finding here.
pub fn silent() -> Log {
    Log::new(Format::Text, Severity::Critical)
}

/// A client for one step, and when it has to be done.
pub fn step(world: &World) -> (Instant, Http) {
    let deadline = world.deadline(PATIENCE);
    (deadline, Http::new(world).with_deadline(Some(deadline)))
}

/// Tries until `deadline`.
///
/// # Errors
/// The last one.
pub async fn within<'a, T>(
    world: &World,
    deadline: Instant,
    attempt: &dyn Fn() -> BoxFuture<'a, Result<T>>,
) -> Result<T> {
    retry::until(world, deadline, async || attempt().await).await
}

/// What a token says of its bearer, and whether it has ended by `now`. `what` it is stands before that, and `remedy` is for
/// one that has.
pub fn token(what: &str, claims: &Claims, now: SystemTime, remedy: &str) -> Finding {
    let Claims { iss, sub, azp, aud, email, exp, .. } = claims;
    let aud = aud.join(" ");
    let named =
        [("iss", Some(iss)), ("sub", Some(sub)), ("azp", azp.as_ref()), ("aud", Some(&aud)), ("email", email.as_ref())];
    let claims: Vec<String> = named
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
        .map(|(name, value)| format!("{name}={}", shown::name(value)))
        .collect();
    let claims = if claims.is_empty() { "nothing that could be read".into() } else { claims.join(", ") };
    let Some(end) = world::time_at(*exp).filter(|_| *exp > 0) else {
        return Finding::ok("token", format!("{what} says {claims}"));
    };
    match end.duration_since(now) {
        Ok(left) => Finding::ok("token", format!("{what} says {claims}, and ends in {}", length(left))),
        Err(ended) => {
            Finding::failure("token", format!("{what} has expired, {} ago ({claims})", length(ended.duration())))
                .remedy(remedy)
        }
    }
}

/// A length of time as people say it.
pub fn length(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..7200 => format!("{} min", seconds.div_ceil(60)),
        7200..172_800 => format!("{} h", seconds.div_ceil(3600)),
        _ => format!("{} days", seconds / 86_400),
    }
}
