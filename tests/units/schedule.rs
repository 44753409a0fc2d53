use std::time::{Duration, SystemTime};

use fedboot::system::log::Severity;
use fedboot::timing::schedule::{refresh_after, retry_after, severity};

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
