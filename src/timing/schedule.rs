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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn refreshes_at_half_the_lifetime_give_or_take_a_tenth() {
        for (lifetime, random, seconds) in
            [(3600, 0.5, 1800.0), (3600, 0.0, 1620.0), (3600, 1.0, 1980.0), (43_200, 0.5, 21_600.0), (1, 0.5, 1.0)]
        {
            let wait = refresh_after(at(1000), at(1000 + lifetime), random).as_secs_f64();
            assert!((wait - seconds).abs() < 1e-6, "{lifetime} {random}: {wait}");
        }
    }

    #[test]
    fn a_past_expiration_is_no_busy_loop() {
        assert_eq!(refresh_after(at(1000), at(1000), 0.5), Duration::from_secs(60));
        assert_eq!(refresh_after(at(1000), at(10), 0.5), Duration::from_secs(60));
    }

    #[test]
    fn tries_more_often_as_the_end_comes_nearer() {
        for (left, longest) in [(1800, 60_000), (240, 30_000), (8, 1000), (1, 250)] {
            let wait = retry_after(20, at(1000), Some(at(1000 + left)), 1.0);
            assert_eq!(wait, Duration::from_millis(longest), "{left} s left");
        }
        for (expiration, longest) in [(None, 60), (Some(at(999)), 10)] {
            assert_eq!(retry_after(20, at(1000), expiration, 1.0), Duration::from_secs(longest));
        }
    }

    #[test]
    fn severity_rises_as_expiry_nears() {
        for (now, severity_then) in [
            (1800, Severity::Warning),
            (2990, Severity::Warning),
            (3010, Severity::Error),
            (3600, Severity::Critical),
            (9000, Severity::Critical),
        ] {
            assert_eq!(severity(at(now), at(0), at(3600)), severity_then, "at {now}");
        }
    }
}
