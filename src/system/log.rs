//! One line an event, on stderr: for people on a terminal, for Cloud Logging elsewhere.
//!
//! The JSON fields are Cloud Logging's: <https://cloud.google.com/logging/docs/structured-logging>.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use crate::error::Error;
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

    /// Writes `error` as one event.
    pub fn error(&self, time: SystemTime, severity: Severity, error: &Error, more: &[(&str, String)]) {
        let mut fields = Vec::with_capacity(16);
        fields.extend_from_slice(more);
        for (name, value) in [("step", &error.step), ("address", &error.address)] {
            if !value.is_empty() {
                fields.push((name, value.clone()));
            }
        }
        if let Some(id) = &error.request_id {
            fields.push(("request_id", id.clone()));
        }
        if let Some((attempts, elapsed)) = error.tries {
            fields.push(("attempts", attempts.to_string()));
            fields.push(("elapsed_ms", elapsed.as_millis().to_string()));
        }
        self.event(time, severity, &error.to_string(), &fields);
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
        let time = humantime::format_rfc3339_millis(shown(time)).to_string();
        let mut line = String::with_capacity(256);
        if self.format == Format::Text {
            // Control characters of a hostile reply must not reach a terminal.
            let message: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = write!(line, "fedboot: {time} {} {message}", severity.name());
            // An error's fields repeat its sentence; they are for machines.
            for (name, value) in fields.iter().filter(|_| severity < Severity::Warning) {
                let _ = write!(line, " {name}={value}");
            }
        } else {
            // By hand, as a map would sort what people read from left to right.
            let quote = |text: &str| serde_json::Value::from(text).to_string();
            let _ = write!(line, r#"{{"severity":"{}","time":"{time}","message":{}"#, severity.name(), quote(message));
            for (name, value) in fields {
                let _ = write!(line, ",{}:{}", quote(name), quote(value));
            }
            line.push('}');
        }
        line.push('\n');
        line
    }
}

/// A time as logs and files show it: RFC 3339 in UTC, whole seconds.
pub fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(shown(time)).to_string()
}

/// The time, or the nearest one that has a year of four digits: a clock may say anything.
pub fn shown(time: SystemTime) -> SystemTime {
    later(time.max(SystemTime::UNIX_EPOCH), Duration::ZERO)
}
