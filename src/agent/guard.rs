//! The guard beside the command: it holds what outlives an agent, forks an agent, and another one whenever that ends
//! without leave (killed, out of memory, a panic): at once, then with backoff, for ever. It has no runtime and reads no
//! secret of any cloud.
//!
//! An agent whose guard has ended finishes its work and takes the guard's place.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::agent::assembly::{self, Ending};
use crate::agent::context::AgentContext;
use crate::agent::readiness_message::ReadinessMessage;
use crate::error::{Error, Kind, reasons};
use crate::system::log::Severity;
use crate::system::process::{self, AgentNews, Event, Forked, GuardPost, GuardedAgent};
use crate::timing::retry::Backoff;

/// How long an agent may take to end after the command, and after it was told to: it may be stopped.
const LAST_PATIENCE: Duration = Duration::from_secs(5);
/// This long after an agent's start its guard lets go of what it will not need again: it only waits from then on.
const RESTING: Duration = Duration::from_secs(1);
/// Between agents that end before they have delivered anything.
const RESTART: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));

/// Agents that end sooner than this, one after the other, must not keep a processor busy.
const HASTY: Duration = Duration::from_millis(50);

/// How an agent ended, as its guard sees it.
enum Watched {
    /// With leave, or because the time had come: with this exit code.
    Over(u8),
    /// Without leave: why, and whether it had delivered anything before.
    Died { why: String, lived: bool },
}

/// Stands by until there is nothing more to guard; returns the exit code.
pub fn stand(context: &AgentContext<'_>, mut post: GuardPost) -> u8 {
    context.settings.log.tell_panics();
    // Whether whoever waits for the agent's word has it.
    let mut has_reported = false;
    let mut deaths: u32 = 0;
    loop {
        // Whoever comes back as an agent that lost its guard is the guard from here on.
        let started = context.world.monotonic();
        let forked = post.take().and_then(|()| post.fork_agent());
        let watched = match forked {
            Ok(Forked::Agent(line)) => match assembly::run(context, &mut post, has_reported, line) {
                Ending::Left(code) => process::exit_now(code),
                Ending::GuardLost => {
                    (has_reported, deaths) = (true, 0);
                    continue;
                }
            },
            Ok(Forked::Guard(mut agent)) => {
                process::leave_directory();
                watch(context, &mut post, &mut has_reported, &mut agent)
            }
            Err(errno) => Watched::Died { why: format!("the agent cannot be forked: {}", errno.desc()), lived: false },
        };
        let (why, lived) = match watched {
            Watched::Over(code) => return code,
            Watched::Died { why, lived } => (why, lived),
        };
        if !has_reported {
            return fail(context, &mut post, why);
        }
        let is_hasty = started.elapsed() < HASTY;
        deaths = if lived { 0 } else { deaths.saturating_add(1) };
        let wait = match deaths {
            0 if is_hasty => HASTY,
            0 | 1 => Duration::ZERO,
            more => RESTART.delay(more, context.world.random()),
        };
        let fields = [("deaths", deaths.to_string()), ("wait_ms", wait.as_millis().to_string())];
        let message = format!("{why}; another one takes its place");
        context.settings.log.event(context.world.now(), Severity::Warning, &message, &fields);
        if !wait.is_zero() && post.rest(wait) {
            return 0;
        }
    }
}

/// Watches an agent to its end, and the command.
fn watch(
    context: &AgentContext<'_>,
    post: &mut GuardPost,
    has_reported: &mut bool,
    agent: &mut GuardedAgent,
) -> Watched {
    let is_alone = post.command.is_none();
    let (mut lived, mut is_to_end, mut is_new) = (false, false, true);
    // While a command starts, two processes have better things to do than to tell each other so.
    agent.listens = is_alone;
    loop {
        let longest = if is_to_end { Some(LAST_PATIENCE) } else { is_new.then_some(RESTING) };
        match post.wait(Some(&mut *agent), longest) {
            Event::News(AgentNews::HasReported) => {
                (*has_reported, lived) = (true, true);
                post.readiness = None;
                if is_alone && !context.holdings.is_in_front {
                    process::release_stderr();
                }
                if let Some(file) = context.options.value(&context.world, "log-file").filter(|_| is_alone) {
                    let _ = process::log_to(file.file(&context.world).path());
                }
            }
            Event::News(AgentNews::HasDelivered) => lived = true,
            Event::News(AgentNews::WillBeNothing) => is_to_end = true,
            Event::CommandEnded => {
                post.command = None;
                agent.listens = false;
                is_to_end = true;
            }
            Event::Signalled(signal) => {
                agent.signal(signal);
                is_to_end = true;
            }
            Event::AgentLeft(code) if code == 0 || is_to_end || !*has_reported => return Watched::Over(code),
            Event::AgentLeft(_) => return Watched::Died { why: "the agent could not go on".into(), lived },
            Event::AgentDied(_) if is_to_end => return Watched::Over(0),
            Event::AgentDied(by) => return Watched::Died { why: format!("the agent was killed by {by}"), lived },
            Event::TimeIsUp if is_to_end => agent.signal(Signal::SIGKILL),
            Event::TimeIsUp => {
                process::memory::forget_program();
                (is_new, agent.listens) = (false, true);
            }
            Event::Nothing => {}
        }
    }
}

/// Tells whoever waits for the agent's word that there will be none.
fn fail(context: &AgentContext<'_>, post: &mut GuardPost, why: String) -> u8 {
    let error = Error::new(Kind::Fatal, "get credentials", "", why)
        .reason(&reasons::AGENT)
        .advice("is there too little memory, or a limit (ulimit -a) that is too low?");
    match post.readiness.take() {
        Some(readiness) => drop(readiness.say(&ReadinessMessage::Failed(Box::new(error)).encode())),
        None => context.settings.log.error(context.world.now(), Severity::Error, &error, &[]),
    }
    125
}
