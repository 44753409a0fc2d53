//! One line an event, on stderr: for people on a terminal, for Cloud Logging elsewhere.
//!
//! The JSON fields are Cloud Logging's: <https://cloud.google.com/logging/docs/structured-logging>.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use crate::error::message::{cut, printable, wrapped};
use crate::error::{Error, Paste};
use crate::system::process;
use crate::system::world::{later, wall_clock};

/// Cloud Logging's severities, as far as fedboot needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Each try and each step.
    Debug,
    /// Credentials issued, refreshed.
    Info,
    /// A refresh failed; the credentials in use live on for long.
    Warning,
    /// The command cannot start, or credentials are about to expire.
    Error,
    /// Nothing valid is left.
    Critical,
}

impl Severity {
    /// The name that Cloud Logging knows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, else JSON.
    Auto,
    /// `time SEVERITY message name=value …`.
    Text,
    /// One JSON object a line.
    Json,
}

/// Writes events at or above a severity.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    format: Format,
    /// The least severe event that is shown.
    pub least: Severity,
}

impl Log {
    /// A log that shows events from `least` up.
    pub fn new(format: Format, least: Severity) -> Self {
        let format = match format {
            Format::Auto if process::stderr_is_terminal() => Format::Text,
            Format::Auto => Format::Json,
            chosen => chosen,
        };
        Self { format, least }
    }

    /// Writes one event at `time` with named `fields`. A line that stderr cannot take at once is dropped: nothing
    /// may make the agent wait, and nothing may keep the command's pipe.
    pub fn event(&self, time: SystemTime, severity: Severity, message: &str, fields: &[(&str, String)]) {
        if severity >= self.least {
            process::write_stderr(self.line(time, severity, message, fields).as_bytes());
        }
    }

    /// Writes `error` as one event: on a terminal in rows, and with what happens next.
    pub fn error(&self, time: SystemTime, severity: Severity, error: &Error, more: &[(&str, String)]) {
        if severity < self.least {
            return;
        }
        let line = if self.format == Format::Json {
            json(time, severity, &error.cause(), &error_fields(error, more))
        } else {
            let next = next(more);
            let error = if next.is_empty() { error.clone() } else { error.clone().before(&next) };
            let way = more.iter().find(|(name, way)| *name == "direction" && !way.is_empty());
            let way = way.map(|(_, way)| format!("({way})")).unwrap_or_default();
            let text = if process::stderr_is_terminal() {
                error.rows(&short_head(time, severity), &way)
            } else {
                printable(format!("{} {error} {way}", head(time, severity)).trim_end())
            };
            text + "\n"
        };
        process::write_stderr(line.as_bytes());
    }

    /// Has a panic end the process with one event. A message that was put together may quote what was being read, so
    /// only what stands before a quotation is shown.
    pub fn tell_panics(self) {
        std::panic::set_hook(Box::new(move |panic| {
            let payload = panic.payload();
            let message =
                payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
            let message = message.unwrap_or_default();
            // Tokio's word for it, which is nobody's defect.
            if message.starts_with("OS can't spawn") {
                let what = "no thread can be started; is a limit on processes or memory reached (ulimit -a, pids.max)?";
                self.event(wall_clock(), Severity::Critical, what, &[]);
                process::abort();
            }
            let message = message.split(['`', '"', '\'']).next().unwrap_or_default();
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            self.event(
                wall_clock(),
                Severity::Critical,
                &format!("this is a defect of fedboot: {message} ({place})"),
                &[],
            );
            process::abort();
        }));
    }

    fn line(self, time: SystemTime, severity: Severity, message: &str, fields: &[(&str, String)]) -> String {
        if self.format != Format::Text {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, quoted(value))).collect();
            return json(time, severity, message, &fields);
        }
        if process::stderr_is_terminal() && severity >= Severity::Warning {
            let text = format!("{} {message}", short_head(time, severity));
            return wrapped(&printable(&text)).join("\n") + "\n";
        }
        let mut line = printable(&format!("{} {message}", head(time, severity)));
        for (name, value) in fields.iter().filter(|_| severity < Severity::Warning) {
            let _ = write!(line, " {name}={value}");
        }
        line + "\n"
    }
}

/// One event as an object; the values of `fields` are JSON already.
fn json(time: SystemTime, severity: Severity, message: &str, fields: &[(&str, String)]) -> String {
    let time = humantime::format_rfc3339_millis(shown(time)).to_string();
    let first = [("severity", severity.name()), ("time", time.as_str()), ("message", message)];
    let first = first.into_iter().map(|(name, value)| (name, quoted(value)));
    object(first.chain(fields.iter().cloned()))
}

/// An object on a line of its own. By hand, as a map would sort what people read from left to right; the values are JSON
/// already.
pub fn object<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let fields = fields.into_iter().map(|(name, value)| format!("{}:{value}", quoted(name)));
    format!("{{{}}}\n", fields.collect::<Vec<_>>().join(","))
}

fn head(time: SystemTime, severity: Severity) -> String {
    format!("fedboot: {} {}", humantime::format_rfc3339_millis(shown(time)), severity.name())
}

/// For whoever sits before a terminal, and knows which day it is.
fn short_head(time: SystemTime, severity: Severity) -> String {
    format!("fedboot: {} {}", time_of_day(time), severity.name())
}

/// A text as JSON.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What a log's reader looks for in fields, each of it once.
fn error_fields<'a>(error: &Error, more: &[(&'a str, String)]) -> Vec<(&'a str, String)> {
    let mut fields = Vec::with_capacity(16);
    if !error.advice.is_empty() {
        fields.push(("remedy", quoted(&cut(&error.advice))));
    }
    match &error.paste {
        // As JSON in JSON it can be copied as it stands.
        Some(Paste::Policy(policy)) => fields.push(("policy", policy.clone())),
        Some(Paste::Command(command)) => fields.push(("command", quoted(command))),
        None => {}
    }
    for (name, value) in [("answer", &error.answer), ("identity", &error.identity), ("address", &error.address)] {
        if !value.is_empty() {
            fields.push((name, quoted(&cut(value))));
        }
    }
    if let Some(id) = &error.request_id {
        fields.push(("request_id", quoted(id)));
    }
    if let Some((attempts, elapsed)) = error.tries {
        fields.push(("attempts", quoted(&attempts.to_string())));
        fields.push(("elapsed_ms", quoted(&elapsed.as_millis().to_string())));
    }
    fields.push(("reason", quoted(error.reason.code)));
    fields.extend(more.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (*name, quoted(value))));
    fields
}

/// What happens next, as a clause.
fn next(more: &[(&str, String)]) -> String {
    let value = |wanted: &str| more.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
    match (value("consequence"), value("next_try")) {
        (Some(next), _) => next.to_owned(),
        (None, Some(time)) => format!("the next try is at {time}"),
        (None, None) => String::new(),
    }
}

/// A time as logs and files show it: RFC 3339 in UTC, whole seconds.
pub fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(shown(time)).to_string()
}

/// Hours, minutes and seconds of a time, in UTC.
pub fn time_of_day(time: SystemTime) -> String {
    timestamp(time).split_off("2026-11-27T".len())
}

/// The time, or the nearest one that has a year of four digits: a clock may say anything.
pub fn shown(time: SystemTime) -> SystemTime {
    later(time.max(SystemTime::UNIX_EPOCH), Duration::ZERO)
}
