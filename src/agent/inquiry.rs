//! Asks the agents that run beside how things stand, for `fedboot status` and `fedboot env`.

use std::path::Path;

use serde_json::Value;

use crate::agent::status::{DirectoryIdentity, key, mounts};
use crate::system::private_file;
use crate::system::process::peers;
use crate::system::world::World;

/// What an agent says.
pub struct Agent {
    /// How things stand with its roles.
    pub state: Value,
    /// What its command was given, as a shell's commands; none before it was.
    pub exports: Option<String>,
}

/// The agents that there are.
pub struct Found {
    /// Those that were started with this credentials file; where there are none, those whose files stand in the same
    /// directories.
    pub beside: Vec<Agent>,
    /// Other ones of the same container.
    pub elsewhere: Vec<Agent>,
    /// The processes of those that did not answer.
    pub silent: Vec<i32>,
    /// Other users who have some.
    pub others: Vec<u32>,
}

/// Asks the agents of this credentials file, and where there is none, with `others` all that may be asked.
pub fn agents(credentials_file: &Path, world: &World, others: bool) -> Found {
    let heard = peers::ask(world.user, key(credentials_file), others);
    let mut found = Found { beside: Vec::new(), elsewhere: Vec::new(), silent: heard.silent, others: heard.others };
    let places: Vec<DirectoryIdentity> = if heard.answers.is_empty() || heard.is_own {
        Vec::new()
    } else {
        private_file::directories_of(credentials_file, world)
            .iter()
            .map(|directory| DirectoryIdentity::of(directory))
            .collect()
    };
    for answer in heard.answers {
        let mut parts = answer.splitn(2, |byte| *byte == 0);
        let state = parts.next().and_then(|json| serde_json::from_slice::<Value>(json).ok());
        let exports = parts.next().map(|exports| String::from_utf8_lossy(exports).into_owned());
        let Some(state) = state else { continue };
        let directory = state.get("directory").unwrap_or(&Value::Null);
        let is_beside = heard.is_own || places.iter().any(|place| place.is(directory));
        let is_here = directory.get("mounts").and_then(Value::as_str) == Some(&mounts());
        let agent = Agent { state, exports };
        if is_beside {
            found.beside.push(agent);
        } else if is_here {
            found.elsewhere.push(agent);
        }
    }
    if !found.beside.is_empty() {
        found.others.clear();
    }
    found
}

/// That there is an agent, but no answer.
pub fn does_not_answer(silent: &[i32]) -> String {
    format!("there is an agent that does not answer (process {}): is it stopped?", listed(silent))
}

/// That there are agents of these users, which may not be asked.
pub fn of_others(users: &[u32]) -> String {
    format!("there are agents of user {}, which nobody else but root may ask", listed(users))
}

/// How to ask them.
pub fn as_them(users: &[u32]) -> String {
    format!("ask as that user (docker exec -u {}) or as root", users.first().unwrap_or(&0))
}

fn listed<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
