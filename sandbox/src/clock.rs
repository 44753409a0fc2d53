//! Wall-clock time as the two clouds write it, and random names.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use humantime::{format_rfc3339_nanos, format_rfc3339_seconds, parse_rfc3339};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serializer;

pub(crate) fn unix(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_secs() as i64,
        Err(before) => -(before.duration().as_secs() as i64),
    }
}

/// Moves `at` by signed seconds.
pub(crate) fn shifted(at: SystemTime, seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { at - by } else { at + by }
}

/// Sleeps to a tenth of a millisecond: the timers of tokio round up to whole ones, which benchmarks would see.
pub(crate) async fn sleep_until(deadline: Instant) {
    const COARSE: Duration = Duration::from_millis(3);
    if let Some(early) = deadline.checked_sub(COARSE) {
        tokio::time::sleep_until(early.into()).await;
    }
    let rest = deadline.saturating_duration_since(Instant::now());
    if !rest.is_zero() {
        // A cancelled sleep ends with the runtime; nothing depends on its result.
        let _ = tokio::task::spawn_blocking(move || std::thread::sleep(rest)).await;
    }
}

/// The next whole second: what is printed without fractions is then exactly what is meant.
pub(crate) fn whole_second(at: SystemTime) -> SystemTime {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs() + u64::from(since.subsec_nanos() > 0))
}

/// `2026-11-22T07:00:00Z`, with nine decimals when asked for.
pub(crate) fn rfc3339(at: SystemTime, nanoseconds: bool) -> String {
    if nanoseconds { format_rfc3339_nanos(at) } else { format_rfc3339_seconds(at) }.to_string()
}

/// A time in JSON.
pub(crate) fn as_rfc3339<S: Serializer>(at: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*at, true))
}

/// Reads the `20261122T070000Z` of an `X-Amz-Date` header.
pub(crate) fn amz_date(text: &str) -> Option<SystemTime> {
    // RFC 3339 without its marks.
    let part = |range| text.get(range);
    let marked = format!("{}-{}-{}:{}:{}", part(0..4)?, part(4..6)?, part(6..11)?, part(11..13)?, part(13..16)?);
    parse_rfc3339(&marked).ok().filter(|_| text.len() == 16)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system has randomness");
    bytes
}

/// `length` characters of `alphabet`, which has at most 256.
pub(crate) fn random_text(alphabet: &[u8], length: usize) -> String {
    (0..length).map(|_| alphabet[usize::from(random_bytes::<1>()[0]) % alphabet.len()] as char).collect()
}

pub(crate) fn random_hex(length: usize) -> String {
    random_text(b"0123456789abcdef", length)
}

pub(crate) fn uuid() -> String {
    let hex = random_hex(32);
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_times() {
        let at = UNIX_EPOCH + Duration::new(1_795_330_800, 5);
        assert_eq!(rfc3339(at, false), "2026-11-22T07:00:00Z");
        assert_eq!(rfc3339(at, true), "2026-11-22T07:00:00.000000005Z");
        assert_eq!(unix(whole_second(at)), 1_795_330_801);
        assert_eq!(amz_date("20261122T070000Z"), Some(at - Duration::from_nanos(5)));
        assert_eq!(amz_date("20261122T0700Z"), None);
        assert_eq!(unix(shifted(at, -60)), 1_795_330_740);
    }
}
