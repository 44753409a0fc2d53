//! `fedboot agent`: no command; its environment is printed, and the agent stays behind, or in front.

use std::rc::Rc;

use crate::agent::guard;
use crate::commands::owner;
use crate::commands::start_agent::{context, start_agent};
use crate::config::direction::{self, Direction};
use crate::config::options::Options;
use crate::config::settings::Settings;
use crate::config::{delivery, values};
use crate::error::{Error, Result};
use crate::system::process::{self, GuardPost};
use crate::system::world::World;

/// What is to be printed, and the exit code.
///
/// # Errors
/// Why there is no agent.
pub fn run(options: &Options, world: &Rc<World>) -> Result<(String, u8)> {
    let settings = Settings::resolve(options, world)?;
    if !values::switch(options, world, "foreground")? {
        process::let_signals_end_pid_1();
        return Ok((start_agent(options, world, settings, false)?.exports(), 0));
    }
    let to_aws = direction::of(options, world)? == Direction::GoogleToAws;
    if to_aws && delivery::delivery(options, world)?.prints_keys() {
        return Err(Error::usage("--delivery env would print keys where a container's log is")
            .advice("choose another --delivery, or leave out --foreground"));
    }
    process::ignore_broken_pipes();
    process::keep_files_private();
    let owner = owner::owner(options, world)?;
    let context = context(options, world, settings, owner.as_ref(), true)?;
    Ok((String::new(), guard::stand(&context, GuardPost::in_front())))
}
