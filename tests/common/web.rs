//! A client of HTTP that sends exactly what it is told.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use super::PATIENCE;

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

/// Address, path and secret of a credentials endpoint's URL, which is built as on ECS.
#[track_caller]
pub fn parts(uri: &str) -> (&str, &str, &str) {
    let (address, rest) = uri.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("http://…");
    let at = uri.len() - rest.len() - 1;
    let (path, secret) = uri[at..].rsplit_once('/').expect("a secret at its end");
    (address, path, secret)
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
    stream.read_exact(&mut body).expect("the whole body");
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

/// Sends this request and takes what the first read gives, which must be the whole answer: some clients close a
/// connection whose head and body come apart.
#[track_caller]
pub fn in_one_piece(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).expect("a request");
    let mut buffer = vec![0; 64 << 10];
    let count = stream.read(&mut buffer).expect("an answer");
    let reply = String::from_utf8_lossy(&buffer[..count]).into_owned();
    let (top, body) = reply.split_once("\r\n\r\n").expect("a whole head in the first read");
    let length = top.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    assert_eq!(Some(body.len()), length, "the body came apart from its head: {reply}");
    reply
}
