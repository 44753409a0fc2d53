//! Starts the guard and the agent, for a command or alone.

use std::rc::Rc;
use std::time::Duration;

use crate::agent::context::AgentContext;
use crate::agent::guard;
use crate::agent::holdings::{Holdings, Server};
use crate::agent::readiness_message::{self, ReadinessMessage};
use crate::commands::owner;
use crate::config::options::Options;
use crate::config::settings::Settings;
use crate::error::{Error, Kind, Result, reasons};
use crate::model::environment::Environment;
use crate::system::process::{self, Account, Started};
use crate::system::world::{self, World};

/// The agent keeps the deadline; this much later it is taken for stuck.
const AGENT_GRACE: Duration = Duration::from_secs(10);

/// Starts guard and agent, and waits for the message that the command may start: its environment.
///
/// # Errors
/// Why it may not.
pub fn start_agent(options: &Options, world: &Rc<World>, settings: Settings, has_command: bool) -> Result<Environment> {
    let owner = owner::owner(options, world)?;
    let patience = settings.timeout.saturating_add(AGENT_GRACE);
    let reader = match process::fork_guard(has_command)? {
        Started::Boot(reader) => reader,
        Started::Guard(mut post) => process::exit_now(match context(options, world, settings, owner.as_ref(), false) {
            Ok(context) => guard::stand(&context, post),
            Err(error) => {
                post.readiness
                    .take()
                    .map(|readiness| readiness.say(&ReadinessMessage::Failed(Box::new(error)).encode()));
                125
            }
        }),
    };
    let bytes = reader.read(patience, ReadinessMessage::is_complete).map_err(|error| {
        let problem = world::plain(&error);
        Error::new(Kind::Fatal, "hear from the agent", "", problem)
            .reason(&reasons::AGENT)
            .advice("is it stopped or out of memory?")
    })?;
    match ReadinessMessage::decode(&bytes) {
        Some(ReadinessMessage::Ready(environment)) => Ok(environment),
        Some(ReadinessMessage::Failed(error)) => Err(*error),
        None => Err(readiness_message::broken(&bytes)),
    }
}

/// Makes this process fit to be the guard: the owner's, with all that it holds.
///
/// # Errors
/// That it cannot become the owner.
pub fn context<'a>(
    options: &'a Options,
    world: &Rc<World>,
    settings: Settings,
    owner: Option<&Account>,
    is_in_front: bool,
) -> Result<AgentContext<'a>> {
    let (world, server) = owner::assume(owner, world, |world| Server::open(options, world))?;
    let holdings = Rc::new(Holdings::new(options, &world, server, is_in_front));
    Ok(AgentContext { world, options, settings: Rc::new(settings), holdings })
}
