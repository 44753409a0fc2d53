//! Start the agent, wait for its word, set the environment, become the command.

use std::ffi::OsString;
use std::time::Duration;

use crate::cli::{self, Options, Typed};
use crate::config::Settings;
use crate::error::{Error, Kind, Result};
use crate::log::{Format, Log, Severity};
use crate::report::{self, Report};
use crate::world::World;
use crate::{agent, process};

/// The agent keeps the deadline; this much later it is taken for stuck.
const AGENT_GRACE: Duration = Duration::from_secs(10);

/// Runs fedboot with argv and returns its exit code, unless it becomes the command.
pub fn run(arguments: &[OsString]) -> u8 {
    let arguments = arguments.get(1..).unwrap_or_default();
    if arguments.first().is_some_and(|first| first == process::AGENT) {
        return agent::run(&arguments[1..]);
    }
    let world = World::real();
    let mut options = Options::default();
    match start(arguments, &mut options, &world) {
        Ok(text) => {
            process::write_stdout(&text);
            0
        }
        Err(error) => {
            process::ignore_broken_pipes();
            // Why the command does not run is told at any level.
            let log = Settings::log(&options, &world).unwrap_or(Log::new(Format::Auto, Severity::Error));
            log.error(world.now(), Severity::Error.max(log.least), &error, &[]);
            error.exit_code()
        }
    }
}

/// Returns only what is to be printed instead of running anything.
fn start(arguments: &[OsString], options: &mut Options, world: &World) -> Result<String> {
    let command = match cli::parse(arguments, options)? {
        Typed::Help => return Ok(cli::help()),
        Typed::Version => return Ok(concat!("fedboot ", env!("CARGO_PKG_VERSION"), "\n").into()),
        Typed::Boot { command } => command,
    };
    let settings = Settings::resolve(options, world)?;
    // Before anything is asked of any cloud: a command that is not there needs no credentials.
    let path = world.exact_variable("PATH");
    let file = process::find_command(&command[0], path.as_deref())?;
    process::let_signals_end_pid_1();
    let flags = &arguments[..arguments.len() - command.len() - 1];
    let agent = process::spawn_agent(flags)?;
    let bytes = agent.read_report(settings.timeout + AGENT_GRACE).map_err(|error| {
        Error::new(Kind::Fatal, "hear from the agent", "", error.to_string()).advice("is it stopped or out of memory?")
    })?;
    drop(agent);
    match Report::decode(&bytes) {
        Some(Report::Ready(environment)) => Err(process::exec(&file, &command, &environment.set, &environment.unset)),
        Some(Report::Failed(error)) => Err(*error),
        None => Err(report::broken(&bytes)),
    }
}
