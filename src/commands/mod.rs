//! From argv to what fedboot is asked to be: start the agent, wait for its word, set the environment, become the command;
//! or one of the subcommands.

pub mod credential_process;
pub mod entrypoint;
pub mod env;
pub mod owner;
pub mod status;
pub mod token;

use std::ffi::OsString;
use std::rc::Rc;
use std::time::Duration;

use secrecy::ExposeSecret;

use crate::agent::context::AgentContext;
use crate::agent::guard;
use crate::agent::holdings::{Holdings, Server};
use crate::agent::readiness_message::{self, ReadinessMessage};
use crate::config::direction::{self, Direction};
use crate::config::option_table::Opt;
use crate::config::options::{self, Options, Typed};
use crate::config::settings::Settings;
use crate::config::{delivery, help, values};
use crate::error::{Error, Kind, Result};
use crate::model::environment::Environment;
use crate::system::log::{Format, Log, Severity};
use crate::system::process::{self, Account, GuardPost, Started};
use crate::system::world::{self, World};

/// The agent keeps the deadline; this much later it is taken for stuck.
const AGENT_GRACE: Duration = Duration::from_secs(10);

/// Runs fedboot with argv and returns its exit code, unless it becomes the command.
pub fn run(arguments: &[OsString]) -> u8 {
    process::leave_no_core();
    let arguments = arguments.get(1..).unwrap_or_default();
    let world = Rc::new(World::real());
    let mut options = Options::default();
    let (typed, outcome) = match options::split(arguments) {
        Ok((typed, flags)) => {
            let parsed = options::parse_options(flags, matches!(typed, Typed::Boot(_)), &mut options);
            if matches!(typed, Typed::CredentialProcess | Typed::Token(_) | Typed::Status | Typed::Env) {
                // What these say is read by people, in the message of a client.
                options.set_default(&world, "log-format", "text");
            }
            if matches!(typed, Typed::CredentialProcess) {
                // In a container those of what delivers are there for the agent.
                options.leave_variables(typed.verb());
            }
            let refused = |option: &Opt| option.verbs & typed.verb() == 0;
            let outcome = parsed.and_then(|()| options.refuse(&refused)).and_then(|()| start(&typed, &options, &world));
            (Some(typed), outcome)
        }
        Err(error) => (None, Err(error)),
    };
    match outcome {
        Ok((text, code)) => {
            process::write_stdout(&text);
            code
        }
        Err(error) => {
            process::ignore_broken_pipes();
            // Why the command does not run is told at any level.
            let log = Settings::log(&options, &world).unwrap_or(Log::new(Format::Auto, Severity::Error));
            log.error(world.now(), Severity::Error.max(log.least), &error, &[]);
            if matches!(typed, Some(Typed::Agent | Typed::Env)) {
                // A shell forgets the exit code of the inner command of eval "$(fedboot agent)".
                process::write_stdout("false\n");
            }
            match typed {
                Some(Typed::Agent | Typed::CredentialProcess | Typed::Token(_) | Typed::Env) => {
                    error.exit_code_of_subcommand()
                }
                Some(Typed::Status) => 2,
                _ => error.exit_code(),
            }
        }
    }
}

/// Returns what is to be printed, and the exit code; nothing where this process becomes the command.
fn start(typed: &Typed, options: &Options, world: &Rc<World>) -> Result<(String, u8)> {
    match typed {
        Typed::Help(verb) => Ok((help::help(*verb), 0)),
        Typed::Version => Ok((concat!("fedboot ", env!("CARGO_PKG_VERSION"), "\n").into(), 0)),
        Typed::Boot(command) => {
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
            let environment = first_word(options, world, settings, true)?;
            Err(process::exec(&file, command, &environment.set, &environment.unset))
        }
        Typed::Agent => {
            let settings = Settings::resolve(options, world)?;
            if values::switch(options, world, "foreground")? {
                let to_aws = direction::of(options, world)? == Direction::GoogleToAws;
                if to_aws && delivery::delivery(options, world)?.prints_keys() {
                    return Err(Error::usage("--delivery env would print keys where a container's log is")
                        .advice("choose another --delivery, or leave out --foreground"));
                }
                process::ignore_broken_pipes();
                process::keep_files_private();
                let owner = owner::owner(options, world)?;
                let beside = beside(options, world, settings, owner.as_ref(), true)?;
                return Ok((String::new(), guard::stand(&beside, GuardPost::in_front())));
            }
            process::let_signals_end_pid_1();
            Ok((first_word(options, world, settings, false)?.exports(), 0))
        }
        Typed::CredentialProcess => {
            process::ignore_broken_pipes();
            process::keep_files_private();
            let answer = credential_process::answer(options, &as_owner(options, world)?)?;
            process::write_stdout(answer.expose_secret());
            Ok((String::new(), 0))
        }
        Typed::Token(kind) => {
            process::ignore_broken_pipes();
            process::keep_files_private();
            let kind = kind.ok_or_else(|| {
                Error::usage("fedboot token prints one kind of token")
                    .advice("write fedboot token access, fedboot token id --audience AUDIENCE or fedboot token subject")
            })?;
            let answer = token::answer(kind, options, &as_owner(options, world)?)?;
            process::write_stdout(answer.expose_secret());
            Ok((String::new(), 0))
        }
        Typed::Status => {
            let world = as_owner(options, world)?;
            status::report(options, &world)
        }
        Typed::Env => {
            let world = as_owner(options, world)?;
            Ok((env::exports(options, &world)?, 0))
        }
    }
}

/// The world as the user sees it whose agent is asked.
fn as_owner(options: &Options, world: &Rc<World>) -> Result<Rc<World>> {
    let owner = owner::owner_of_what_is_asked(options, world)?;
    owner::assume(owner.as_ref(), world, |_| ()).map(|(world, ())| world)
}

/// Makes this process fit to be the guard: the owner's, with all that it holds.
fn beside<'a>(
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

/// Starts guard and agent, and waits for what that says.
fn first_word(options: &Options, world: &Rc<World>, settings: Settings, has_command: bool) -> Result<Environment> {
    let owner = owner::owner(options, world)?;
    let patience = settings.timeout.saturating_add(AGENT_GRACE);
    let reader = match process::fork_guard(has_command)? {
        Started::Boot(reader) => reader,
        Started::Guard(mut post) => process::exit_now(match beside(options, world, settings, owner.as_ref(), false) {
            Ok(beside) => guard::stand(&beside, post),
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
        Error::new(Kind::Fatal, "hear from the agent", "", problem).advice("is it stopped or out of memory?")
    })?;
    match ReadinessMessage::decode(&bytes) {
        Some(ReadinessMessage::Ready(environment)) => Ok(environment),
        Some(ReadinessMessage::Failed(error)) => Err(*error),
        None => Err(readiness_message::broken(&bytes)),
    }
}
