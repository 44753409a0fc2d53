//! Dates, numbers, addresses and bytes, as policies write them.

use std::net::IpAddr;

use serde_json::Value;

/// A number, as JSON has them: its parser is there anyway, and that of the standard library is large.
pub fn number(text: &str) -> Option<f64> {
    serde_json::from_str::<Value>(text).ok()?.as_f64()
}

/// Seconds since 1970, of a date in one of the [forms of the W3C](https://www.w3.org/TR/NOTE-datetime) or in such seconds.
/// Four digits are a year.
pub fn date(text: &str) -> Option<f64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && text.len() != 4 {
        return number(text);
    }
    let (day, time) = match text.split_once(['T', 't', ' ']) {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    let mut parts = day.split('-');
    let year = part(parts.next(), 4, 0.0..=9999.0)?;
    let (month, of_month) = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => (1.0, 1.0),
        (month, None, _) => (part(month, 2, 1.0..=12.0)?, 1.0),
        (month, day, None) => (part(month, 2, 1.0..=12.0)?, part(day, 2, 1.0..=31.0)?),
        _ => return None,
    };
    Some(days(year, month, of_month) * 86_400.0 + time.map_or(Some(0.0), seconds)?)
}

/// Days since 1970: <https://howardhinnant.github.io/date_algorithms.html#days_from_civil>.
fn days(year: f64, month: f64, day: f64) -> f64 {
    let year = if month <= 2.0 { year - 1.0 } else { year };
    let era = (year / 400.0).floor();
    let of_era = year - era * 400.0;
    let of_year = ((153.0 * ((month + 9.0) % 12.0) + 2.0) / 5.0).floor() + day - 1.0;
    era * 146_097.0 + of_era * 365.0 + (of_era / 4.0).floor() - (of_era / 100.0).floor() + of_year - 719_468.0
}

/// Seconds of the day in UTC, of `hh:mm`, `hh:mm:ss` or `hh:mm:ss.s` with a zone or without one.
fn seconds(time: &str) -> Option<f64> {
    let (clock, zone) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at_checked(at)?,
        None => (time, "Z"),
    };
    let offset = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => 0.0,
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':').or_else(|| offset.split_at_checked(2))?;
            let offset = part(Some(hours), 2, 0.0..=23.0)? * 3600.0 + part(Some(minutes), 2, 0.0..=59.0)? * 60.0;
            if sign == "-" { -offset } else { offset }
        }
    };
    let mut parts = clock.splitn(3, ':');
    let (hours, minutes) = (part(parts.next(), 2, 0.0..=24.0)?, part(parts.next(), 2, 0.0..=59.0)?);
    let seconds = match parts.next() {
        Some(text) => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
            part(Some(whole), 2, 0.0..=60.0)? + number(&format!("0.{fraction}"))?
        }
        None => 0.0,
    };
    Some(hours * 3600.0 + minutes * 60.0 + seconds - offset)
}

/// A number of so many digits.
fn part(text: Option<&str>, digits: usize, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
    let text = text.filter(|text| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse::<u32>().ok().map(f64::from).filter(|number| range.contains(number))
}

/// Whether an address is in a range, `203.0.113.0/24`; without a prefix the range is one address.
pub fn is_in_range(address: &str, range: &str) -> bool {
    let (network, prefix) = range.split_once('/').unwrap_or((range, "128"));
    let (Ok(address), Ok(network), Ok(prefix)) = (address.parse(), network.parse(), prefix.parse::<u32>()) else {
        return false;
    };
    let ((address, width), (network, other)) = (bits(address), bits(network));
    let prefix = if range.contains('/') { prefix } else { width };
    // All bits shifted out are no difference.
    let differs = |shift| (address ^ network).checked_shr(shift).unwrap_or(0) != 0;
    width == other && prefix <= width && 128_u32.checked_sub(prefix).is_some_and(|shift| !differs(shift))
}

/// The bits of an address, from the left, and how many.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    }
}

/// Base64, as `BinaryEquals` has it.
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().zip([16, 8, 0]).fold(0_u32, |group, (byte, shift)| group | (u32::from(*byte) << shift));
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let letter = LETTERS.get(((group >> shift) & 63) as usize).copied().unwrap_or_default();
            text.push(if at > chunk.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some(0.0)),
            ("2000-02-29", Some(951_782_400.0)),
            ("2024", Some(1_704_067_200.0)),
            ("2024-01", Some(1_704_067_200.0)),
            ("2024-01-01T00:00Z", Some(1_704_067_200.0)),
            ("2024-01-01T01:00:00+01:00", Some(1_704_067_200.0)),
            ("2023-12-31T18:30:00.5-05:30", Some(1_704_067_200.5)),
            ("2024-01-01T00:00:00", Some(1_704_067_200.0)),
            ("1704067200", Some(1_704_067_200.0)),
            ("0", Some(0.0)),
            ("", None),
            ("soon", None),
            ("2024-13-01", None),
            ("2024-01-01-01", None),
            ("24-01-01", None),
            ("2024-01-01T1:00Z", None),
            ("2024-01-01T00:00:00Q", None),
            ("2024-01-01T00:00:00+", None),
        ] {
            assert_eq!(date(text), seconds, "{text}");
        }
    }

    #[test]
    fn ranges() {
        for (address, range, is) in [
            ("203.0.113.7", "203.0.113.0/24", true),
            ("203.0.114.7", "203.0.113.0/24", false),
            ("203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "203.0.113.7/32", true),
            ("203.0.113.8", "203.0.113.7/32", false),
            ("203.0.113.8", "0.0.0.0/0", true),
            ("2001:DB8:1234:5678::9", "2001:db8:1234:5678::/64", true),
            ("2001:DB8:1234:5679::9", "2001:db8:1234:5678::/64", false),
            ("2001:db8::1", "2001:db8::1", true),
            ("203.0.113.8", "::/0", false),
            ("::1", "0.0.0.0/0", false),
            ("203.0.113.8", "203.0.113.0/33", false),
            ("somewhere", "0.0.0.0/0", false),
            ("203.0.113.8", "123456789012", false),
        ] {
            assert_eq!(is_in_range(address, range), is, "{address} {range}");
        }
    }

    #[test]
    fn bytes() {
        for (text, encoded) in [("", ""), ("B", "Qg=="), ("Bi", "Qmk="), ("Bin", "Qmlu"), ("Binary", "QmluYXJ5")] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }
}
