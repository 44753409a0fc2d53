//! How things stand with each role: kept by the agent, which tells it on a socket that only its own user and root may ask
//! (`fedboot status` does), and at `/status` of the credentials endpoint. There is no secret in it. On that socket alone,
//! behind a NUL, stands what the command was given, for `fedboot env`; the path in there is one.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::config::options::Options;
use crate::config::{self, Settings};
use crate::error::Result;
use crate::model::flow::{Environment, Principal};
use crate::system::log::timestamp;
use crate::system::process::{self, peers};
use crate::system::world::{self, World};
use crate::system::{private_file, shown};

/// An agent that is this late with what it planned is stopped, or starved.
const LATE: Duration = Duration::from_secs(90);

/// All that `fedboot status` can be told.
const OPTIONS: &[&str] = &["credentials-file", "owner", "format", "flags-only", "log-format", "log-level"];

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

/// All roles' states.
#[derive(Default)]
pub struct Board {
    states: RefCell<Vec<State>>,
    /// Where tokens are handed out, and for which request.
    metadata: RefCell<Option<(String, String)>>,
    /// The directory of the credentials file, by which agents are told apart.
    place: RefCell<Place>,
    given: RefCell<Option<Given>>,
}

/// What the command is given, once it is.
type Given = Box<dyn Fn() -> Option<Environment>>;

/// A directory, as the processes of another container see it too.
#[derive(Clone, Default, Debug)]
pub struct Place {
    path: PathBuf,
    /// Device and number; none while there is no such directory.
    identity: Option<(u64, u64)>,
    /// The mount namespace in which the path means this one.
    mounts: String,
}

impl Place {
    /// The directory at `path`.
    pub fn of(path: &Path) -> Self {
        let identity = fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        Self { path: path.into(), identity, mounts: mounts() }
    }

    fn json(&self) -> Value {
        let (device, inode) = self.identity.unzip();
        json!({"path": self.path.to_string_lossy(), "device": device, "inode": inode, "mounts": self.mounts})
    }

    /// Whether an agent that says `json` means this directory.
    fn is(&self, json: &Value) -> bool {
        let number = |name: &str| json.get(name)?.as_u64();
        let is = |name: &str, value: &str| json.get(name).and_then(Value::as_str) == Some(value);
        match (number("device"), number("inode")) {
            (Some(device), Some(inode)) => self.identity == Some((device, inode)),
            // Without one, as on a disk that is full.
            _ => is("path", &self.path.to_string_lossy()) && is("mounts", &self.mounts),
        }
    }
}

impl Board {
    /// Says where a metadata server hands out what is asked for by `request`.
    pub fn serve(&self, address: String, request: String) {
        self.metadata.replace(Some((address, request)));
    }

    /// Says beside which file this agent's others stand.
    pub fn stand_beside(&self, file: &Path) {
        self.place.replace(Place::of(file.parent().unwrap_or(file)));
    }

    /// Says how to learn what the command is given.
    pub fn give(&self, given: impl Fn() -> Option<Environment> + 'static) {
        self.given.replace(Some(Box::new(given)));
    }

    /// Everything, for the agent's own user.
    fn all(&self, now: SystemTime) -> String {
        let given = self.given.borrow().as_ref().and_then(|given| given());
        let exports = given.map(|environment| format!("\0{}", environment.exports())).unwrap_or_default();
        self.json(now) + &exports
    }

    /// Looks again at the directory, which may be another one since something was written: in a thread, as a disk may
    /// take its time.
    pub async fn look_again(&self) {
        let path = self.place.borrow().path.clone();
        if let Ok(place) = tokio::task::spawn_blocking(move || Place::of(&path)).await {
            self.place.replace(place);
        }
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

    /// Changes the state of role number `role`.
    pub fn change(&self, role: usize, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.states.borrow_mut().get_mut(role) {
            change(state);
        }
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
                let fields = state.principal.iter().flat_map(Principal::fields);
                if let Some(role) = role.as_object_mut() {
                    role.extend(fields.map(|(name, value)| (name.to_owned(), value.into())));
                }
                role
            })
            .collect();
        let mut all = json!({"agent": process::parent_pid(), "roles": roles, "directory": self.place.borrow().json()});
        if let (Some((address, request)), Some(all)) = (&*self.metadata.borrow(), all.as_object_mut()) {
            all.insert("metadata".into(), address.as_str().into());
            all.insert("request".into(), request.as_str().into());
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
                let late = next.is_some_and(|next| world::later(next, LATE) < now);
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
    options.refuse_but(OPTIONS)?;
    Settings::resolve(options, world)?;
    let as_json = config::chosen(options, world, "format", &[("text", false), ("json", true)])?.unwrap_or(false);
    let file = credentials_file(options, world);
    let now = world.now();
    let mut worst = Freshness::Fresh;
    let Found { beside, silent, others, .. } = agents(&file, world, true);
    let mut agents: Vec<Value> = beside.into_iter().map(|agent| agent.state).collect();
    for agent in &mut agents {
        let roles = agent.get_mut("roles").and_then(Value::as_array_mut);
        for role in roles.into_iter().flatten().filter_map(Value::as_object_mut) {
            let time = |name: &str| humantime::parse_rfc3339(role.get(name)?.as_str()?).ok();
            let failures = role.get("failures").and_then(Value::as_u64).unwrap_or(0).try_into().unwrap_or(u32::MAX);
            // It may have changed since the agent wrote.
            let state = Freshness::of(time("expiration"), time("next_refresh"), failures, now);
            worst = worst.max(state);
            role.insert("state".into(), state.name().into());
        }
    }
    if agents.is_empty() {
        worst = if silent.is_empty() { Freshness::None } else { Freshness::Stale };
    }
    let named = options.value(world, "credentials-file").map(|given| given.file(world).shown());
    let shown = named.unwrap_or_else(|| shown::path(&file));
    let text = match &agents[..] {
        _ if as_json => {
            let state = if others.is_empty() { worst.name() } else { "unknown" };
            let mut all = json!({"state": state, "agents": agents});
            if let (false, Some(all)) = (others.is_empty(), all.as_object_mut()) {
                all.insert("others".into(), others.into());
            }
            format!("{all}\n")
        }
        [] if !silent.is_empty() => {
            format!("stale: {}\n", does_not_answer(&silent))
        }
        [] if !others.is_empty() => format!("unknown: {}; {}\n", of_others(&others), as_them(&others)),
        [] => format!("none: no agent keeps credentials fresh beside {shown}\n"),
        agents => agents.iter().filter_map(|agent| agent.get("roles")?.as_array()).flatten().map(line).collect(),
    };
    Ok((text, worst as u8))
}

/// The credentials file that is named, or the usual one.
pub fn credentials_file(options: &Options, world: &World) -> PathBuf {
    let named = options.value(world, "credentials-file").map(|file| file.file(world).path().to_owned());
    let usual = || world.home.as_ref().map(|home| home.join(".aws/credentials"));
    named.or_else(usual).unwrap_or_else(|| PathBuf::from("/"))
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
    let places: Vec<Place> = if heard.answers.is_empty() || heard.is_own {
        Vec::new()
    } else {
        private_file::directories_of(credentials_file, world).iter().map(|directory| Place::of(directory)).collect()
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

/// By which an agent is found that keeps credentials in this file, as long as it is asked from the same container.
pub fn key(credentials_file: &Path) -> u64 {
    let mut hash = DefaultHasher::new();
    (credentials_file, mounts()).hash(&mut hash);
    hash.finish()
}

/// Names the mount namespace in which paths mean what they mean here.
fn mounts() -> String {
    let link = || fs::read_link("/proc/self/ns/mnt").unwrap_or_default().to_string_lossy().into_owned();
    process::root_mount().map_or_else(link, |mount| mount.to_string())
}

/// Tells this user's processes and root how things stand, on the socket `listener`.
pub async fn answer(listener: UnixListener, board: Rc<Board>, world: Rc<World>) {
    let Ok(listener) = tokio::net::UnixListener::from_std(listener) else { return };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            world.sleep(Duration::from_millis(50)).await;
            continue;
        };
        let may_ask = |peer: tokio::net::unix::UCred| [0, world.user].contains(&peer.uid());
        if stream.peer_cred().is_ok_and(may_ask) {
            // The socket takes it whole.
            let _ = stream.try_write(board.all(world.now()).as_bytes());
        }
    }
}

/// One role for people.
fn line(role: &Value) -> String {
    let text = |name: &str| role.get(name)?.as_str().filter(|text| !text.is_empty());
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
    let _ = write!(line, " failures={}", role.get("failures").unwrap_or(&Value::Null));
    if let Some(error) = text("last_error") {
        let _ = write!(line, " last_error={error}");
    }
    line + "\n"
}
