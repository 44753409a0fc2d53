//! What every process of fedboot needs to know: how to fail, how long to wait, how to log.

use std::cell::OnceCell;
use std::time::Duration;

use crate::config::options::{Options, hint};
use crate::config::values::{chosen, duration};
use crate::error::Result;
use crate::system::input::InputValue;
use crate::system::log::{Format, Log, Severity};
use crate::system::world::World;

/// What boot needs to know, and the agent too.
pub struct Settings {
    /// Whether COMMAND starts without credentials.
    pub on_failure: OnFailure,
    /// How long COMMAND waits for them.
    pub timeout: Duration,
    /// Where events go.
    pub log: Log,
    /// Which way is meant, and what says so, once an agent knows.
    direction: OnceCell<String>,
}

/// What happens when there are no credentials in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// fedboot exits with 125; nothing of COMMAND runs.
    Exit,
    /// COMMAND runs anyway, and the agent goes on trying.
    Run,
}

impl Settings {
    /// Reads what boot needs.
    ///
    /// # Errors
    /// A usage error that names the option and what it takes.
    pub fn resolve(options: &Options, world: &World) -> Result<Self> {
        let log = Self::log(options, world)?;
        let known = [("exit", OnFailure::Exit), ("run", OnFailure::Run)];
        let on_failure = chosen(options, world, "on-failure", &known)?.unwrap_or(OnFailure::Exit);
        let timeout = duration(options, world, "timeout")?.unwrap_or(Duration::from_secs(60));
        Ok(Self { on_failure, timeout, log, direction: OnceCell::new() })
    }

    /// Keeps which way is meant, and what says so, for all that is told from now on.
    pub fn set_direction(&self, described: String) {
        let _ = self.direction.set(described);
    }

    /// Which way is meant, and what says so; empty where that is not known.
    pub fn direction(&self) -> String {
        self.direction.get().cloned().unwrap_or_default()
    }

    /// Reads how to log, which is good to know before anything else is read.
    ///
    /// # Errors
    /// A usage error that names the option and what it takes.
    pub fn log(options: &Options, world: &World) -> Result<Log> {
        let known = [("auto", Format::Auto), ("text", Format::Text), ("json", Format::Json)];
        let format = chosen(options, world, "log-format", &known)?.unwrap_or(Format::Auto);
        let known = [
            ("debug", Severity::Debug),
            ("info", Severity::Info),
            ("warning", Severity::Warning),
            ("warn", Severity::Warning),
            ("error", Severity::Error),
            ("critical", Severity::Critical),
        ];
        let severity = match options.value(world, "log-level") {
            // In any case of letters, as other programs have it.
            Some(given) => {
                let level = InputValue::new(given.origin(), given.text()?.to_lowercase());
                level.one_of(&known).map_err(|error| hint("log-level", error))?
            }
            None => Severity::Info,
        };
        Ok(Log::new(format, severity))
    }
}
