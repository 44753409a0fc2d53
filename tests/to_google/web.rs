//! A client of HTTP that sends exactly what it is told.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::common::PATIENCE;

/// The root of what a metadata server says.
pub const ROOT: &str = "/computeMetadata/v1";
const FLAVOR: (&str, &str) = ("Metadata-Flavor", "Google");

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    /// Header values, joined as HTTP has it; empty where there is none.
    pub fn header(&self, name: &str) -> String {
        let values = self.headers.iter().filter(|(of, _)| of == name).map(|(_, value)| value.as_str());
        values.collect::<Vec<_>>().join(", ")
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }
}

/// A request as text.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    let mut request = format!("{method} {target} HTTP/1.1\r\n");
    for (name, value) in headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request + "\r\n"
}

#[track_caller]
pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("an option");
    stream
}

/// Sends these bytes on a new connection. `None`: it was closed without an answer.
#[track_caller]
pub fn send(address: &str, bytes: impl AsRef<[u8]>) -> Option<Reply> {
    let mut stream = connect(address);
    // It may be refused before it is whole.
    let _ = stream.write_all(bytes.as_ref());
    read_reply(&mut stream)
}

/// `GET` with these headers beside `Host`.
#[track_caller]
pub fn get(address: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
    let headers: Vec<_> = [("Host", address)].into_iter().chain(headers.iter().copied()).collect();
    send(address, request("GET", target, &headers)).unwrap_or_else(|| panic!("{target}: no answer"))
}

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

/// One reply off a connection. `None` at its end.
pub fn read_reply(stream: &mut TcpStream) -> Option<Reply> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            Ok(_) => return None,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("no answer: {error}"),
        }
    }
    let head = String::from_utf8(head).expect("a head in ASCII");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.into()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Reply { status, headers, body: String::from_utf8(body).expect("a body in UTF-8") })
}

/// Whether the server has closed the connection; what it said before is read away.
pub fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a flag");
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => return true,
        }
    }
}
