//! Proxy variables as people write them. A password with an `@`, a `#` or a blank in it is common; what stands before the
//! last `@` is taken for it, as curl does, and so no part of it passes for a host, which messages show.

use std::fmt::Write as _;

use crate::system::shown;

/// The host that stands for a proxy whose variable could not be understood; nobody can have it:
/// <https://www.rfc-editor.org/rfc/rfc2606#section-2>.
pub const UNKNOWN: &str = "proxy.invalid";

/// The URL in a form that has one reading only: empty where there is none, of the host [`UNKNOWN`] where it has no reading.
pub fn plain(url: &str) -> String {
    let url = url.trim();
    if url.is_empty() {
        return String::new();
    }
    let is_scheme = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (scheme, rest) = match url.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, url),
    };
    let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // A word alone may be anything.
    let is_host = shown::is_authority(host) && (scheme.is_some() || user.is_some() || host.contains([':', '.']));
    if !is_host || shown::is_opaque(host) {
        return format!("http://{UNKNOWN}");
    }
    let user = user.map(|user| encoded(user) + "@").unwrap_or_default();
    format!("{}://{user}{host}", scheme.unwrap_or("http"))
}

/// What is encoded stays so.
fn encoded(user: &str) -> String {
    let bytes = user.as_bytes();
    let is_hexadecimal = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let mut encoded = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        let is_encoded = *byte == b'%' && is_hexadecimal(at.saturating_add(1)) && is_hexadecimal(at.saturating_add(2));
        if is_encoded || byte.is_ascii_alphanumeric() || b"-_.~:".contains(byte) {
            encoded.push(char::from(*byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading() {
        for (url, read) in [
            ("", ""),
            ("http://proxy:3128", "http://proxy:3128"),
            ("proxy:3128/", "http://proxy:3128"),
            ("proxy.example", "http://proxy.example"),
            ("user:p@ss@proxy:1", "http://user:p%40ss@proxy:1"),
            ("http://user:p%40s#s/%@proxy:1/", "http://user:p%40s%23s%2F%25@proxy:1"),
            ("http://a b:c@x", "http://a%20b:c@x"),
            ("socks5://h:1", "socks5://h:1"),
            ("http://[::1]:1", "http://[::1]:1"),
            ("http://x/#hunter2", "http://x"),
            ("hunter2", "http://proxy.invalid"),
            ("user:hunter2", "http://proxy.invalid"),
            ("http://user:hunter2", "http://proxy.invalid"),
            ("{\"a\": 1}", "http://proxy.invalid"),
        ] {
            assert_eq!(plain(url), read, "{url}");
        }
    }
}
