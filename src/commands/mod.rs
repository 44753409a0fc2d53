//! From argv to what fedboot is asked to do: become the command, or one of the subcommands.

pub mod agent;
pub mod credential_process;
pub mod doctor;
pub mod entrypoint;
pub mod env;
pub mod owner;
pub mod run;
pub mod start_agent;
pub mod status;
pub mod token;
pub mod trust_policy;

use std::ffi::OsString;
use std::rc::Rc;

use secrecy::ExposeSecret;

use crate::config::option_table::{Opt, VERBS};
use crate::config::options::{self, Invocation, Options};
use crate::config::settings::Settings;
use crate::config::{direction, help, misspelled};
use crate::error::{Error, Result, reasons};
use crate::system::log::{Format, Log, Severity};
use crate::system::process;
use crate::system::world::World;

/// Runs fedboot with argv and returns its exit code, unless it becomes the command.
pub fn main(arguments: &[OsString]) -> u8 {
    process::leave_no_core();
    let arguments = arguments.get(1..).unwrap_or_default();
    let world = Rc::new(World::real());
    let mut options = Options::default();
    let (typed, outcome) = match options::split(arguments) {
        Ok((typed, flags)) => {
            let has_command = matches!(typed, Invocation::Run(_) | Invocation::Doctor(_));
            let parsed = options::parse_options(flags, has_command, &mut options);
            if matches!(
                typed,
                Invocation::CredentialProcess
                    | Invocation::Token(_)
                    | Invocation::Status
                    | Invocation::Env
                    | Invocation::TrustPolicy
                    | Invocation::Doctor(_)
            ) {
                // What these say is read by people, in the message of a client.
                options.set_default(&world, "log-format", "text");
            }
            if matches!(typed, Invocation::CredentialProcess) {
                // In a container those of what delivers are there for the agent.
                options.leave_variables(typed.verb());
            }
            let refused = |option: &Opt| option.verbs & typed.verb() == 0;
            let outcome = parsed
                .and_then(|()| options.refuse(&refused).map_err(|error| of_verb(error, &typed)))
                .and_then(|()| start(&typed, &options, &world));
            (Some(typed), outcome)
        }
        Err(error) => (None, Err(error)),
    };
    match outcome {
        Ok((text, code)) => {
            process::write_stdout(&text);
            code
        }
        Err(mut error) => {
            process::ignore_broken_pipes();
            if [&reasons::NO_ROLE, &reasons::NO_PROVIDER].iter().any(|reason| error.is(reason))
                && let Some((name, meant)) = misspelled::misspelled(&world).first()
            {
                error = error.advice(format!("{name} is no option's variable: did you mean {meant}?"));
            }
            // Why the command does not run is told at any level.
            let log = Settings::log(&options, &world).unwrap_or(Log::new(Format::Auto, Severity::Error));
            let is_of_a_way = matches!(typed, Some(Invocation::Run(_) | Invocation::Agent));
            let way = direction::of(&options, &world).ok().filter(|_| is_of_a_way);
            let more: Vec<_> = way.map(|way| ("direction", way.described(&options, &world))).into_iter().collect();
            log.error(world.now(), Severity::Error.max(log.least), &error, &more);
            if matches!(typed, Some(Invocation::Agent | Invocation::Env)) {
                // A shell forgets the exit code of the inner command of eval "$(fedboot agent)".
                process::write_stdout("false\n");
            }
            match typed {
                Some(Invocation::Agent | Invocation::CredentialProcess | Invocation::Token(_) | Invocation::Env) => {
                    error.exit_code_of_subcommand()
                }
                // With --check 1 is a verdict.
                Some(Invocation::TrustPolicy) if options.value(&world, "check").is_some() => 2,
                Some(Invocation::TrustPolicy) => error.exit_code_of_subcommand(),
                Some(Invocation::Status | Invocation::Doctor(_)) => 2,
                _ => error.exit_code(),
            }
        }
    }
}

/// Says where to read which options a verb has.
fn of_verb(error: Error, typed: &Invocation) -> Error {
    match VERBS.iter().find(|verb| verb.bit == typed.verb() && !verb.name.is_empty()) {
        Some(verb) => error.advice(format!("fedboot help {} lists the options that have", verb.name)),
        None => error,
    }
}

/// Returns what is to be printed, and the exit code; nothing where this process becomes the command.
fn start(typed: &Invocation, options: &Options, world: &Rc<World>) -> Result<(String, u8)> {
    match typed {
        Invocation::Help(verb) => Ok((help::help(*verb), 0)),
        Invocation::Version => Ok((concat!("fedboot ", env!("CARGO_PKG_VERSION"), "\n").into(), 0)),
        Invocation::Run(command) => {
            warn_of_misspelled(options, world)?;
            Err(run::run(command, options, world)?)
        }
        Invocation::Agent => {
            warn_of_misspelled(options, world)?;
            agent::run(options, world)
        }
        Invocation::CredentialProcess => {
            process::ignore_broken_pipes();
            process::keep_files_private();
            let answer = credential_process::answer(options, &as_owner(options, world)?)?;
            process::write_stdout(answer.expose_secret());
            Ok((String::new(), 0))
        }
        Invocation::Token(kind) => {
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
        Invocation::Status => {
            let world = as_owner(options, world)?;
            status::report(options, &world)
        }
        Invocation::Env => {
            let world = as_owner(options, world)?;
            Ok((env::exports(options, &world)?, 0))
        }
        Invocation::TrustPolicy => {
            process::ignore_broken_pipes();
            trust_policy::run(options, &as_owner(options, world)?)
        }
        Invocation::Doctor(command) => {
            process::ignore_broken_pipes();
            process::keep_files_private();
            doctor::report(command, options, world)
        }
    }
}

/// A variable that nobody reads is a setting that its author believes in.
fn warn_of_misspelled(options: &Options, world: &World) -> Result<()> {
    let log = Settings::log(options, world)?;
    for (name, meant) in misspelled::misspelled(world) {
        let message = format!("{name} is no option's variable: did you mean {meant}?");
        log.event(world.now(), Severity::Warning, &message, &[]);
    }
    Ok(())
}

/// The world as the user sees it whose agent is asked.
fn as_owner(options: &Options, world: &Rc<World>) -> Result<Rc<World>> {
    let owner = owner::owner_of_what_is_asked(options, world)?;
    owner::assume(owner.as_ref(), world, |_| ()).map(|(world, ())| world)
}
