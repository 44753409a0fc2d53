//! How things stand with each role: kept by the agent, in a file beside the credentials file and at `GET /status` of the
//! endpoint, and read by `fedboot status`. There is no secret in it.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::cli::Options;
use crate::config::Settings;
use crate::delivery::place;
use crate::error::{Error, Result};
use crate::flow::Principal;
use crate::log::timestamp;
use crate::process;
use crate::world::World;

/// An agent that is this late with what it planned is stopped, or starved.
const LATE: Duration = Duration::from_secs(90);

/// One role's state.
#[derive(Default)]
pub struct State {
    /// The profile, for a further role.
    pub profile: Option<String>,
    /// Who acts with what is in use; where there is nothing yet, who is to.
    pub principal: Option<Principal>,
    /// Key id of what is in use, empty for a web identity token.
    pub access_key_id: String,
    /// Its end.
    pub expiration: Option<SystemTime>,
    /// When it came.
    pub last_refresh: Option<SystemTime>,
    /// When the next one is tried for.
    pub next_refresh: Option<SystemTime>,
    /// Failures in a row.
    pub failures: u32,
    /// The last of them.
    pub last_error: String,
}

/// All roles' states, and the file that shows them.
#[derive(Default)]
pub struct Board {
    states: RefCell<Vec<State>>,
    file: RefCell<Option<(PathBuf, Arc<Mutex<place::Held>>)>>,
    writer: place::Writer,
    mode: Cell<Option<u32>>,
    /// Where tokens are handed out, and for which request.
    metadata: RefCell<Option<(String, String)>>,
}

impl Drop for Board {
    fn drop(&mut self) {
        if let Some((path, _)) = self.file.take() {
            let _ = fs::remove_file(path);
        }
    }
}

impl Board {
    /// The permissions of the file, 0600 otherwise.
    pub fn set_mode(&self, mode: u32) {
        self.mode.set(Some(mode));
    }

    /// Says where a metadata server hands out what is asked for by `request`.
    pub fn serve(&self, address: String, request: String) {
        self.metadata.replace(Some((address, request)));
    }

    /// Says whose state number `role` is; the next one is added.
    pub fn name(&self, role: usize, profile: Option<String>, principal: Principal) {
        let mut states = self.states.borrow_mut();
        if role == states.len() {
            states.push(State::default());
        }
        if let Some(state) = states.get_mut(role) {
            (state.profile, state.principal) = (profile, Some(principal));
        }
    }

    /// Changes the state of role number `role`, and what the file beside `credentials_file` shows.
    pub async fn change(&self, role: usize, world: &World, credentials_file: &Path, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.states.borrow_mut().get_mut(role) {
            change(state);
        }
        let text = self.json(world.now());
        let file = self.file.borrow().clone().filter(|(path, _)| path.exists());
        let Some((_, file)) = file else {
            let mode = self.mode.get().unwrap_or(0o600);
            // Where there is no place for it there is still the endpoint.
            let created = place::create_held(credentials_file, place::STATUS_SUFFIX, mode, text.as_bytes(), world);
            self.file.replace(created.ok().map(|(path, held)| (path, Arc::new(Mutex::new(held)))));
            return;
        };
        let _ = self
            .writer
            .run(move || {
                let file = file.lock().unwrap_or_else(PoisonError::into_inner);
                // In one piece, padded over what stood there before, so that a reader never sees a rest of that.
                let length = usize::try_from(file.metadata().map_or(0, |metadata| metadata.len())).unwrap_or(0);
                let _ = file.write_all_at(format!("{text:length$}").as_bytes(), 0);
                Ok(())
            })
            .await;
    }

    /// The states as JSON.
    pub fn json(&self, now: SystemTime) -> String {
        let time = |time: Option<SystemTime>| time.map_or(Value::Null, |time| timestamp(time).into());
        let roles: Vec<_> = self
            .states
            .borrow()
            .iter()
            .map(|state| {
                let mut role = json!({
                    "profile": state.profile,
                    "state": Freshness::of(state.expiration, state.next_refresh, state.failures, now).name(),
                    "access_key_id": state.access_key_id,
                    "expiration": time(state.expiration),
                    "last_refresh": time(state.last_refresh),
                    "next_refresh": time(state.next_refresh),
                    "failures": state.failures,
                    "last_error": state.last_error,
                });
                for (name, value) in state.principal.iter().flat_map(Principal::fields) {
                    role[name] = value.into();
                }
                role
            })
            .collect();
        let mut all = json!({"agent": process::own_pid(), "roles": roles});
        if let Some((address, request)) = &*self.metadata.borrow() {
            all["metadata"] = address.as_str().into();
            all["request"] = request.as_str().into();
        }
        all.to_string()
    }
}

/// What a probe wants to know; the number is its exit code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Freshness {
    Fresh,
    Stale,
    None,
}

impl Freshness {
    fn of(expiration: Option<SystemTime>, next: Option<SystemTime>, failures: u32, now: SystemTime) -> Self {
        match expiration {
            Some(expiration) if now < expiration => {
                let late = next.is_some_and(|next| next + LATE < now);
                if failures > 0 || late { Self::Stale } else { Self::Fresh }
            }
            _ => Self::None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::None => "none",
        }
    }
}

/// What the agents say whose files stand beside the credentials file, and the exit code of the worst.
///
/// # Errors
/// A usage error in the options, or that there is no agent.
pub fn report(options: &Options, world: &World) -> Result<(String, u8)> {
    Settings::resolve(options, world)?;
    let as_json = match options.text(world, "format")?.as_deref() {
        None | Some("text") => false,
        Some("json") => true,
        Some(other) => return Err(Error::usage(format!("--format cannot be {other:?}")).advice("write text or json")),
    };
    let file = credentials_file(options, world);
    let now = world.now();
    let mut worst = Freshness::Fresh;
    let mut agents = Vec::new();
    for mut agent in agents_beside(&file, world) {
        {
            for role in agent["roles"].as_array_mut().into_iter().flatten() {
                let time = |name: &str| role[name].as_str().and_then(|time| humantime::parse_rfc3339(time).ok());
                let failures = role["failures"].as_u64().unwrap_or(0).try_into().unwrap_or(u32::MAX);
                // It may have changed since the agent wrote.
                let state = Freshness::of(time("expiration"), time("next_refresh"), failures, now);
                worst = worst.max(state);
                role["state"] = state.name().into();
            }
            agents.push(agent);
        }
    }
    if agents.is_empty() {
        worst = Freshness::None;
    }
    let text = match &agents[..] {
        _ if as_json => {
            let state = worst.name();
            format!("{}\n", json!({"state": state, "agents": agents}))
        }
        [] => format!("none: no agent keeps credentials fresh beside {}\n", file.display()),
        agents => agents.iter().filter_map(|agent| agent["roles"].as_array()).flatten().map(line).collect(),
    };
    Ok((text, worst as u8))
}

/// The credentials file that is named, or the usual one.
pub fn credentials_file(options: &Options, world: &World) -> PathBuf {
    let named = options.value(world, "credentials-file").map(|file| world.absolute(file));
    let usual = || world.home.as_ref().map(|home| home.join(".aws/credentials"));
    named.or_else(usual).unwrap_or_else(|| PathBuf::from("/"))
}

/// What every agent says whose file stands beside the credentials file or in the cache's directory.
pub fn agents_beside(credentials_file: &Path, world: &World) -> Vec<Value> {
    place::directories_of(credentials_file, world)
        .iter()
        .flat_map(|directory| place::held_by_others(directory, place::STATUS_SUFFIX))
        .filter_map(|(_, text)| serde_json::from_slice(&text).ok())
        .collect()
}

/// One role for people.
fn line(role: &Value) -> String {
    let text = |name: &str| role[name].as_str().filter(|text| !text.is_empty());
    let mut line = format!(
        "{} {}",
        text("state").unwrap_or("none"),
        ["role", "service_account", "principal"].into_iter().find_map(text).unwrap_or("(no role yet)")
    );
    for name in ["profile", "session", "access_key_id", "expiration", "last_refresh", "next_refresh"] {
        if let Some(value) = text(name) {
            let _ = write!(line, " {name}={value}");
        }
    }
    let _ = write!(line, " failures={}", role["failures"]);
    if let Some(error) = text("last_error") {
        let _ = write!(line, " last_error={error}");
    }
    line + "\n"
}
