//! `fedboot -- COMMAND`: credentials first, then this process becomes the command.

use std::ffi::OsString;
use std::rc::Rc;

use crate::commands::entrypoint;
use crate::commands::start_agent::start_agent;
use crate::config::options::Options;
use crate::config::settings::Settings;
use crate::error::{Error, Result};
use crate::system::log::Severity;
use crate::system::process;
use crate::system::world::World;

/// Becomes `command`; comes back only with why that could not be.
///
/// # Errors
/// Why nothing of the command runs.
pub fn run(command: &[OsString], options: &Options, world: &Rc<World>) -> Result<Error> {
    let mut settings = Settings::resolve(options, world)?;
    // The command's own output begins there: nobody waits for a word that all is well.
    if process::stderr_is_terminal() && options.value(world, "log-level").is_none() {
        settings.log.least = Severity::Warning;
    }
    // Before anything is asked of any cloud: a command that is not there needs no credentials.
    let path = world.exact_variable("PATH");
    let name = command.first().map(OsString::as_os_str).unwrap_or_default();
    let file = process::find_command(name, path.as_deref())?;
    if let Some(warning) = entrypoint::warning(command, options, world) {
        settings.log.event(world.now(), Severity::Warning, &warning, &[]);
    }
    process::let_signals_end_pid_1();
    let environment = start_agent(options, world, settings, true)?;
    Ok(process::exec(&file, command, &environment.set, &environment.unset))
}
