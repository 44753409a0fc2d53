//! Faults on command: what goes wrong, and how often.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::settings::names::Service;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Nothing but the delay, if there is one. In a queue it lets one request pass.
    Pass,
    /// This status instead of an answer.
    Status {
        /// HTTP status.
        status: u16,
        /// Body, as plain text unless a header says otherwise.
        #[serde(default)]
        body: String,
        /// Additional headers.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// An error as the service writes it: AWS's XML, Google's JSON, a page.
    Error {
        /// The service's name for it, as in `Throttling`, `PERMISSION_DENIED`, `invalid_grant`.
        code: String,
        /// The message, else the usual one for that code.
        message: Option<String>,
        /// HTTP status, else the usual one for that code.
        status: Option<u16>,
    },
    /// The right answer with its full length announced, of which half arrives.
    CutBody,
    /// The connection ends before any answer.
    Close,
    /// Never an answer; the connection stays open.
    Hang,
    /// 302 to another place.
    Redirect {
        /// The `Location` header.
        location: String,
    },
    /// 200 with bytes that mean nothing, not even UTF-8.
    Garbage,
    /// 200 with the HTML page of a hotel's network, without the service's own headers.
    Captive,
    /// The right answer, one byte at a time.
    Drip {
        /// Milliseconds between two bytes.
        interval_ms: u64,
    },
    /// The clock of the service is wrong. What it says of times is shifted, in tokens, replies and their `Date` (not the
    /// real end of credentials), and so is its idea of whether a signature or a foreign token is of now.
    ClockSkew {
        /// How far it is ahead.
        seconds: i64,
    },
    /// The next TLS connections see a certificate of another authority.
    WrongCertificate,
}

/// An [`Effect`] with its circumstances. Unless told otherwise it happens once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// What happens.
    #[serde(flatten)]
    pub effect: Effect,
    /// Milliseconds before it does.
    #[serde(default)]
    pub delay_ms: u64,
    /// How many requests it hits.
    #[serde(default = "once")]
    pub times: u32,
    /// Hits every request, whatever `times` says.
    #[serde(default)]
    pub always: bool,
    /// Hits each so-many-th of the requests that it could hit, as long as it is there and whatever `times` says: with
    /// 2 the first passes, the second fails. Those that a counted fault hits are counted, too.
    #[serde(default)]
    pub every: Option<NonZeroU32>,
    /// Hits only requests with this action, or with this text in their path.
    #[serde(default)]
    pub on: Option<String>,
}

fn once() -> u32 {
    1
}

impl From<Effect> for Fault {
    fn from(effect: Effect) -> Self {
        Self { effect, delay_ms: 0, times: 1, always: false, every: None, on: None }
    }
}

macro_rules! faults {
    ($($(#[$what:meta])+ $name:ident: $effect:ident)+) => {
        impl Fault {
            $($(#[$what])+ pub fn $name() -> Self {
                Effect::$effect.into()
            })+
        }
    };
}

faults! {
    /// Lets a request pass: to say "first well, then badly".
    pass: Pass
    /// Half of the right answer.
    cut_body: CutBody
    /// The connection closes without an answer.
    close: Close
    /// Never an answer.
    hang: Hang
    /// 200 with nonsense.
    garbage: Garbage
    /// 200 with an HTML page.
    captive: Captive
    /// A certificate of another authority on the next connection.
    wrong_certificate: WrongCertificate
}

impl Fault {
    /// The right answer, late.
    pub fn delay(delay: Duration) -> Self {
        Self::pass().after(delay)
    }

    /// A status with a body.
    pub fn status(status: u16, body: impl Into<String>) -> Self {
        Effect::Status { status, body: body.into(), headers: BTreeMap::new() }.into()
    }

    /// An error of the service's with its usual status and message.
    pub fn error(code: impl Into<String>) -> Self {
        Effect::Error { code: code.into(), message: None, status: None }.into()
    }

    /// 302 to `location`.
    pub fn redirect(location: impl Into<String>) -> Self {
        Effect::Redirect { location: location.into() }.into()
    }

    /// The right answer byte by byte.
    pub fn drip(interval: Duration) -> Self {
        Effect::Drip { interval_ms: interval.as_millis() as u64 }.into()
    }

    /// A clock that is `seconds` ahead.
    pub fn clock_skew(seconds: i64) -> Self {
        Effect::ClockSkew { seconds }.into()
    }

    /// Hits the next `times` requests.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Hits every request until it is cleared.
    pub fn always(mut self) -> Self {
        self.always = true;
        self
    }

    /// Hits each `nth` request until it is cleared; with 2 every second one, and the first passes.
    ///
    /// # Panics
    /// With 0: there is no such request.
    pub fn every(mut self, nth: u32) -> Self {
        self.every = Some(NonZeroU32::new(nth).expect("requests are counted from 1"));
        self
    }

    /// Hits only requests with this action, or with this text in their path.
    pub fn on(mut self, action: impl Into<String>) -> Self {
        self.on = Some(action.into());
        self
    }

    /// Waits before it happens.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay_ms = delay.as_millis() as u64;
        self
    }

    /// Reads the form of the command line, `SERVICE:EFFECT[=VALUE][,MORE]…`, for example
    /// `sts:error=Throttling,times=2`, `metadata:delay=50,always,on=identity`, `sts:status=503,every=2`, `sts:hang`.
    pub fn parse(text: &str) -> anyhow::Result<(Service, Self)> {
        Self::read(text).with_context(|| format!("fault \"{text}\""))
    }

    /// The form of the command line is that of JSON, with shorter names.
    fn read(text: &str) -> anyhow::Result<(Service, Self)> {
        let (service, rest) = text.split_once(':').context("SERVICE:EFFECT is wanted")?;
        let mut fields = Map::new();
        for (at, part) in rest.split(',').enumerate() {
            let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
            let mut name = name.replace('-', "_");
            if at == 0 {
                let effect = if name == "delay" { "pass" } else { &name };
                fields.insert("effect".into(), effect.into());
                name = match name.as_str() {
                    "error" => "code",
                    "redirect" => "location",
                    "drip" => "interval_ms",
                    "clock_skew" => "seconds",
                    "status" => {
                        fields.insert("body".into(), "this fault was asked for\n".into());
                        "status"
                    }
                    "delay" => "delay",
                    _ => continue,
                }
                .into();
            }
            let value = match name.as_str() {
                "always" => true.into(),
                "code" | "location" | "on" => value.context("it needs a value")?.into(),
                "delay" | "every" | "interval_ms" | "seconds" | "status" | "times" => {
                    value.and_then(|value| value.parse::<i64>().ok()).context("it needs a number")?.into()
                }
                _ => bail!("after the effect: always, times=N, every=N, delay=MS, on=ACTION"),
            };
            fields.insert(if name == "delay" { "delay_ms".into() } else { name }, value);
        }
        let fault: Self = serde_json::from_value(fields.into())?;
        if let Effect::Status { status, .. } = fault.effect {
            ensure!((200..600).contains(&status), "no such status");
        }
        Ok((service.parse()?, fault))
    }

    pub(crate) fn hits(&self, action: &str, path: &str) -> bool {
        self.on.as_deref().is_none_or(|on| on == action || path.contains(on))
    }

    /// It is there until it is cleared.
    pub(crate) fn stays(&self) -> bool {
        self.always || self.every.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_command_line_and_json() {
        let read = |text| Fault::parse(text).unwrap();
        assert_eq!(read("sts:error=Throttling,times=2"), (Service::Sts, Fault::error("Throttling").times(2)));
        assert_eq!(
            read("metadata:delay=50,always,on=identity"),
            (Service::Metadata, Fault::delay(Duration::from_millis(50)).always().on("identity"))
        );
        assert_eq!(read("sts:close,on=A,every=2"), (Service::Sts, Fault::close().on("A").every(2)));
        for wrong in [
            "sts:hang,every=0",
            "sts:hang,every",
            "sts",
            "s3:hang",
            "sts:what",
            "sts:delay",
            "sts:hang,x",
            "sts:status=9",
        ] {
            assert!(Fault::parse(wrong).is_err(), "{wrong}");
        }
        let json = r#"{"effect":"error","code":"AccessDenied","on":"X","always":true}"#;
        let fault: Fault = serde_json::from_str(json).unwrap();
        assert_eq!(fault, Fault::error("AccessDenied").on("X").always());
        let every = |json| serde_json::from_str::<Fault>(json);
        assert_eq!(every(r#"{"effect":"close","every":3}"#).unwrap(), Fault::close().every(3));
        assert!(every(r#"{"effect":"close","every":0}"#).is_err());
    }
}
