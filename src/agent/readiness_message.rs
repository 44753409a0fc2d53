//! The agent's one word to its parent: ready, with the environment to change, or failed, with the reason.
//!
//! Fields end with a NUL, as environment values may hold anything else: a word, then the pairs it needs. The last
//! field is `end`, so that an agent that was killed while writing is not believed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use crate::error::{Error, Kind, Paste, reasons};
use crate::model::environment::Environment;
use crate::system::world::os_string;

/// What the agent says.
#[derive(Debug)]
pub enum ReadinessMessage {
    /// The command may start, with this environment.
    Ready(Environment),
    /// It may not.
    Failed(Box<Error>),
}

impl ReadinessMessage {
    /// As bytes for the pipe.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut field = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            out.push(0);
        };
        match self {
            Self::Ready(environment) => {
                for (name, value) in &environment.set {
                    field(b"set");
                    field(name.as_bytes());
                    field(value.as_bytes());
                }
                for name in &environment.unset {
                    field(b"unset");
                    field(name.as_bytes());
                }
            }
            Self::Failed(error) => {
                let (attempts, elapsed) = error.tries.unwrap_or_default();
                field(b"failed");
                field(match error.kind {
                    Kind::Usage => b"usage",
                    _ => b"fatal",
                });
                let (kind, paste) = match &error.paste {
                    Some(Paste::Policy(text)) => ("policy", text.as_str()),
                    Some(Paste::Command(text)) => ("command", text.as_str()),
                    None => ("", ""),
                };
                let texts =
                    [&error.step, &error.address, &error.problem, &error.advice, &error.answer, &error.identity]
                        .map(String::as_str);
                for text in texts.into_iter().chain([kind, paste, error.reason.code]) {
                    field(text.replace('\0', " ").as_bytes());
                }
                field(error.request_id.as_deref().unwrap_or_default().as_bytes());
                field(attempts.to_string().as_bytes());
                field(elapsed.as_millis().to_string().as_bytes());
            }
        }
        field(b"end");
        out
    }

    /// Whether nothing follows these bytes.
    pub fn is_complete(bytes: &[u8]) -> bool {
        bytes.strip_suffix(b"end\0").is_some_and(|before| before.is_empty() || before.ends_with(b"\0"))
    }

    /// From the pipe's bytes. `None`: the agent did not come to its end.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let body = bytes.strip_suffix(b"end\0").filter(|_| Self::is_complete(bytes))?;
        let mut fields = body.strip_suffix(b"\0").into_iter().flat_map(|body| body.split(|byte| *byte == 0));
        let mut environment = Environment::default();
        while let Some(word) = fields.next() {
            match word {
                b"set" => environment.set.push((os_string(fields.next()?), os_string(fields.next()?))),
                b"unset" => environment.unset.push(os_string(fields.next()?)),
                b"failed" => {
                    let mut text = || fields.next().map(|field| String::from_utf8_lossy(field).into_owned());
                    let kind = if text()? == "usage" { Kind::Usage } else { Kind::Fatal };
                    let mut error = Error::new(kind, text()?, text()?, text()?).advice(text()?);
                    error.answer = text()?;
                    error.identity = text()?;
                    error.paste = match (text()?.as_str(), text()?) {
                        ("policy", text) => Some(Paste::Policy(text)),
                        ("command", text) => Some(Paste::Command(text)),
                        _ => None,
                    };
                    error.reason = reasons::with_code(&text()?).unwrap_or(error.reason);
                    error.request_id = text().filter(|id| !id.is_empty());
                    let attempts = text()?.parse().ok()?;
                    let elapsed = Duration::from_millis(text()?.parse().ok()?);
                    error.tries = (attempts > 0).then_some((attempts, elapsed));
                    return Some(Self::Failed(Box::new(error)));
                }
                _ => return None,
            }
        }
        Some(Self::Ready(environment))
    }
}

/// Why an agent that sent `bytes` instead of a report did not come to its end.
pub fn broken(bytes: &[u8]) -> Error {
    let text = String::from_utf8_lossy(bytes);
    let problem: OsString =
        if bytes.is_empty() { OsStr::new("it ended without a word").into() } else { text.as_ref().into() };
    Error::new(Kind::Fatal, "start the agent", "", problem.to_string_lossy()).reason(&reasons::AGENT)
}
