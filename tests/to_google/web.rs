//! Clients of a metadata server.

use std::io::Write;
use std::time::Duration;

pub use crate::common::web::*;

/// The root of what a metadata server says.
pub const ROOT: &str = "/computeMetadata/v1";
const FLAVOR: (&str, &str) = ("Metadata-Flavor", "Google");

/// What a client asks of a metadata server, below its root.
#[track_caller]
pub fn metadata(address: &str, path: &str) -> Reply {
    get(address, &format!("{ROOT}{path}"), &[FLAVOR])
}

/// The same by a client whose patience has an end.
pub fn try_metadata(address: &str, path: &str, patience: Duration) -> Option<Reply> {
    let mut stream = connect(address);
    stream.set_read_timeout(Some(patience)).expect("a timeout");
    stream.write_all(question(address, path).as_bytes()).ok()?;
    // Only the wait for the beginning has an end; the rest follows at once.
    stream.peek(&mut [0]).ok()?;
    read_reply(&mut stream)
}

/// The same as text for a connection of its own.
pub fn question(address: &str, path: &str) -> String {
    request("GET", &format!("{ROOT}{path}"), &[("Host", address), FLAVOR])
}

/// The default account's access token as a client gets it, and the seconds that it is said to live.
#[track_caller]
pub fn access_token(address: &str) -> (String, u64) {
    let reply = metadata(address, "/instance/service-accounts/default/token");
    assert_eq!(reply.status, 200, "{}", reply.body);
    token_in(&reply)
}

#[track_caller]
pub fn token_in(reply: &Reply) -> (String, u64) {
    let json = reply.json();
    let token = json["access_token"].as_str().unwrap_or_else(|| panic!("no token in {json}"));
    (token.into(), json["expires_in"].as_u64().unwrap_or_else(|| panic!("no expires_in in {json}")))
}

/// The default account's ID token for an audience, percent-encoded as Python does it.
#[track_caller]
pub fn identity(address: &str, audience: &str) -> Reply {
    let path = format!("/instance/service-accounts/default/identity?audience={}&format=full", encoded(audience));
    metadata(address, &path)
}

/// With everything escaped that is neither a letter nor a digit.
pub fn encoded(text: &str) -> String {
    let escape = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(escape).collect()
}
