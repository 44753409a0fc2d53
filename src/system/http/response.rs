//! What a server says, and how much of it a message may repeat.

use std::fmt;
use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, LOCATION};
use serde_json::Value;

use crate::error::Kind;
use crate::system::http::sent::Sent;
use crate::system::shown;

/// How many characters of a server's own words are shown: Google's end with the link that helps.
const LONGEST: usize = 800;
/// Clocks that are farther apart than this are worth a word.
const SKEW: Duration = Duration::from_secs(60);

/// How far this machine's clock is from a server's.
#[derive(Clone, Copy, Debug)]
pub struct Skew {
    /// By how much.
    pub apart: Duration,
    /// Which way: "ahead of" or "behind" the server's.
    pub way: &'static str,
}

impl Skew {
    /// Whether it is so much that a signature or a token may not be taken.
    pub fn is_too_much(self) -> bool {
        self.apart > SKEW
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s {}", self.apart.as_secs(), self.way)
    }
}

/// An answer, whatever its status.
pub struct Response {
    /// Status code.
    pub status: StatusCode,
    /// Headers.
    pub headers: hyper::HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// What it is an answer to.
    pub(super) sent: Sent,
}

impl Response {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }

    /// The server's own words, as a message may show them: nothing of what was sent, nothing that looks like a key, on one
    /// line that is not too long.
    pub fn words(&self, text: &str) -> String {
        shown::one_line(&shown::words(&self.sent.cut(text)), LONGEST)
    }

    /// The status, and where a redirect led to.
    pub fn describe_without_body(&self) -> String {
        match self.redirect() {
            Some(location) => format!("answered {} to {location}, which is not followed with a token,", self.status),
            None => format!("answered {} ({}, {} bytes)", self.status, self.content_type(), self.body.len()),
        }
    }

    fn redirect(&self) -> Option<String> {
        let location = self.headers.get(LOCATION)?.to_str().ok()?;
        Some(match location.strip_prefix('/') {
            Some(_) if self.sent.confidential => "another path there".into(),
            Some(_) => shown::url_path(&self.sent.cut(location)),
            None => shown::url(&self.sent.cut(location)),
        })
    }

    /// What came back, for an error message about an answer that is of no use: the status, where a redirect led to, what a
    /// refusal says of itself. An answer that is none may hold a token, of which nothing is shown.
    pub fn describe(&self) -> String {
        if let Some(location) = self.redirect() {
            return format!("answered {} to {location}, which is not followed with a token", self.status);
        }
        if self.status.is_success() {
            return self.describe_without_body();
        }
        match self.body_text() {
            text if text.is_empty() => format!("answered {} with an empty body", self.status),
            text => format!("answered {}: {text}", self.status),
        }
    }

    /// What kind of body it is.
    pub fn content_type(&self) -> String {
        let Some(kind) = self.header(CONTENT_TYPE.as_str()) else { return "no content type".into() };
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"/+-.".contains(&byte);
        let is_type = kind.len() <= 60 && kind.contains('/') && kind.bytes().all(is_letter) && !shown::is_opaque(kind);
        if is_type { kind.into() } else { "an odd content type".into() }
    }

    fn body_text(&self) -> String {
        let Ok(text) = std::str::from_utf8(&self.body) else {
            return format!("{} bytes that are not text", self.body.len());
        };
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(json)) => match refusal(&Value::Object(json)) {
                (None, None) => "JSON that names no error".into(),
                (code, message) => {
                    let words: Vec<_> = [code, message].into_iter().flatten().collect();
                    self.words(&words.join(": "))
                }
            },
            _ => self.words(text),
        }
    }

    /// How far the clock that says `now` is from the server's; none where the server does not say what time it is.
    pub fn skew(&self, now: SystemTime) -> Option<Skew> {
        let there = httpdate::parse_http_date(&self.header("date")?).ok()?;
        Some(match now.duration_since(there) {
            Ok(ahead) => Skew { apart: ahead, way: "ahead of" },
            Err(behind) => Skew { apart: behind.duration(), way: "behind" },
        })
    }

    /// Whether the same request may succeed later: where that `may_heal`, or by its status.
    pub fn kind(&self, may_heal: bool) -> Kind {
        let is_transient = matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        if may_heal || is_transient || self.status.is_server_error() { Kind::Transient } else { Kind::Fatal }
    }
}

/// Code and message of an error in JSON, in the ways in which clouds write it: Google's `{"error": {"status", "message"}}`,
/// OAuth's `{"error", "error_description"}`, AWS's `{"code", "message"}` in large or small letters.
pub fn refusal(json: &Value) -> (Option<&str>, Option<&str>) {
    fn field<'a>(of: &'a Value, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| of.get(*name)?.as_str()).filter(|text| !text.is_empty())
    }
    match json.get("error") {
        Some(error @ Value::Object(_)) => (field(error, &["status", "code"]), field(error, &["message"])),
        Some(Value::String(_)) => (field(json, &["error"]), field(json, &["error_description", "message"])),
        _ => (field(json, &["code", "Code", "__type"]), field(json, &["message", "Message"])),
    }
}
