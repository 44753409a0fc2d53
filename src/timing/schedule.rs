//! When to refresh, and how loudly to complain: pure functions of time.
//!
//! Half the lifetime clears every SDK's own refresh window for lifetimes from 45 minutes up (botocore asks from
//! 15 minutes before expiry, Go and Node from 5), and a session of 12 hours survives an outage of 6.

use std::time::{Duration, SystemTime};

use crate::system::log::Severity;
use crate::system::world;
use crate::timing::retry;

/// The wait after credentials that look expired on arrival: the clock is wrong, and hurrying does not mend it.
const AFTER_EXPIRED_ON_ARRIVAL: Duration = Duration::from_secs(60);

/// The shortest wait before another try, in the last seconds of what is in use.
const SHORTEST_RETRY: Duration = Duration::from_millis(250);

/// How long after `issued` to refresh: half the lifetime, ±10 % by `random` in `0.0..1.0`, so that a thousand
/// workers that started together do not refresh together. Never under a second.
pub fn refresh_after(issued: SystemTime, expiration: SystemTime, random: f64) -> Duration {
    match expiration.duration_since(issued) {
        Ok(lifetime) if !lifetime.is_zero() => lifetime.mul_f64(0.5 * (0.9 + 0.2 * random)).max(Duration::from_secs(1)),
        _ => AFTER_EXPIRED_ON_ARRIVAL,
    }
}

/// The longest wait once what was in use has ended: clients have nothing meanwhile.
const LONGEST_WITHOUT: Duration = Duration::from_secs(10);

/// How long after the `failures`-th failure in a row, at `now`, to try again: with backoff, but with ever less of it the
/// nearer the end of what is in use, so that a service that comes back at the last moment still helps.
pub fn retry_after(failures: u32, now: SystemTime, expiration: Option<SystemTime>, random: f64) -> Duration {
    let wait = retry::REFRESH.delay(failures, random);
    match expiration.map(|expiration| expiration.duration_since(now)) {
        Some(Ok(left)) => wait.min(left.mul_f64(0.125).max(SHORTEST_RETRY)),
        // The many hurried tries before say nothing of how long it will last.
        Some(Err(_)) => wait.min(LONGEST_WITHOUT),
        None => wait,
    }
}

/// What is said to who has waited for a refresh that is due.
pub const NOT_YET: &str = "no refresh has come back within a second";

/// Whether a try that failed at `at` is all that there is to say at `now`, as nothing is tried before `patience` has passed.
/// Once the time of the next try has come it is no answer any more, and a clock that was set back since says nothing.
pub fn has_failed(at: SystemTime, next_try: SystemTime, now: SystemTime, patience: Duration) -> bool {
    at <= now && next_try > world::later(now, patience)
}

/// How serious a failed refresh is at `now`: a warning, an error in the last ten minutes or the last quarter of the
/// lifetime (whichever is shorter), critical once nothing valid is left. Ten minutes, because that is when botocore
/// begins to insist on fresh credentials.
pub fn severity(now: SystemTime, issued: SystemTime, expiration: SystemTime) -> Severity {
    let lifetime = expiration.duration_since(issued).unwrap_or_default();
    match expiration.duration_since(now) {
        Err(_) => Severity::Critical,
        Ok(left) if left.is_zero() => Severity::Critical,
        Ok(left) if left < Duration::from_secs(600).min(lifetime.mul_f64(0.25)) => Severity::Error,
        Ok(_) => Severity::Warning,
    }
}
