//! `fedboot env`: what the command of the agent beside was given, for a shell that knows nothing of it, as `docker exec` and
//! `kubectl exec` start one: `eval "$(fedboot env)"`. The agent tells only its own user and root.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::agent::inquiry::{self, Agent, Found};
use crate::agent::status;
use crate::config::options::Options;
use crate::config::settings::Settings;
use crate::error::{Error, Kind, Result, reasons};
use crate::system::shown;
use crate::system::world::World;

/// How often an agent that has just started is asked.
const POLL: Duration = Duration::from_millis(100);

/// The shell's commands that its agent has printed, or would have: those of the agents for this credentials file, else of the
/// only one in this container. One for each cloud may have served the same command.
///
/// # Errors
/// That there is no such agent, or more than one, or that it has nothing to say within the timeout.
pub fn exports(options: &Options, world: &World) -> Result<String> {
    let settings = Settings::resolve(options, world)?;
    let file = status::credentials_file(options, world);
    let deadline = world.deadline(settings.timeout);
    loop {
        let Found { beside, elsewhere, silent, others } = inquiry::agents(&file, world, true);
        let mut found = if beside.is_empty() { elsewhere } else { beside };
        found.sort_by_key(is_to_google);
        let not_yet = match &found[..] {
            _ if !silent.is_empty() => {
                Error::new(Kind::Fatal, "", "", inquiry::does_not_answer(&silent)).reason(&reasons::AGENT)
            }
            [] => {
                let problem = format!(
                    "no agent of user {} keeps credentials beside {}, nor elsewhere in this container",
                    world.user,
                    shown::path(&file)
                );
                let advice = "start the container's command behind fedboot, or eval \"$(fedboot agent)\"";
                return Err(match others[..] {
                    [] => Error::usage(problem).reason(&reasons::NO_AGENT).advice(advice),
                    _ => Error::usage(format!("{problem}; {}", inquiry::of_others(&others)))
                        .reason(&reasons::NO_AGENT)
                        .advice(inquiry::as_them(&others)),
                });
            }
            [first, rest @ ..] if rest.len() > 1 || rest.iter().any(|it| is_to_google(it) == is_to_google(first)) => {
                let pids = found.iter().map(|agent| agent.state.get("agent").unwrap_or(&Value::Null).to_string());
                let pids = pids.collect::<Vec<_>>().join(", ");
                return Err(Error::usage(format!("there are several agents (processes {pids})"))
                    .reason(&reasons::NO_AGENT)
                    .advice("name the --credentials-file of the one that is meant"));
            }
            all => {
                if let Some(exports) = all.iter().map(|agent| agent.exports.as_deref()).collect::<Option<String>>() {
                    return Ok(exports);
                }
                Error::new(Kind::Fatal, "", "", "the agent has no credentials yet")
                    .reason(&reasons::NO_AGENT)
                    .advice("see its log")
            }
        };
        if world.deadline(POLL) > deadline {
            return Err(not_yet);
        }
        thread::sleep(POLL);
    }
}

/// Whether its credentials are Google's.
fn is_to_google(agent: &Agent) -> bool {
    let roles = agent.state.get("roles").and_then(Value::as_array);
    roles.and_then(|roles| roles.first()).is_some_and(|role| role.get("role").is_none())
}
