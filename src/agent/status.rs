//! How things stand with each role: kept by the agent, which tells it on a socket that only its own user and root may ask
//! (`fedboot status` does), and at `/status` of the credentials endpoint. There is no secret in it. On that socket alone,
//! behind a NUL, stands the command's environment, for `fedboot env`: the endpoint's path in there is a secret.

use std::cell::RefCell;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::config::options::Options;
use crate::model::credentials::Principal;
use crate::model::environment::Environment;
use crate::system::log::timestamp;
use crate::system::process;
use crate::system::world::{self, World};

/// An agent that is this late with what it planned is stopped, or starved.
const LATE: Duration = Duration::from_secs(90);

/// One role's state.
#[derive(Default)]
pub struct RoleStatus {
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
    /// Whose identity the credentials were issued to, and where that was found.
    pub identity: String,
    /// Failures in a row.
    pub failures: u32,
    /// The last of them.
    pub last_error: String,
}

/// All roles' states.
#[derive(Default)]
pub struct StatusBoard {
    states: RefCell<Vec<RoleStatus>>,
    /// Where tokens are handed out, and for which request.
    metadata: RefCell<Option<(String, String)>>,
    /// The directory of the credentials file, by which agents are told apart.
    place: RefCell<DirectoryIdentity>,
    command_environment: RefCell<Option<GivenEnvironment>>,
}

/// What the command is given, once it is.
type GivenEnvironment = Box<dyn Fn() -> Option<Environment>>;

/// A directory, as the processes of another container see it too.
#[derive(Clone, Default, Debug)]
pub struct DirectoryIdentity {
    path: PathBuf,
    /// Device and number; none while there is no such directory.
    identity: Option<(u64, u64)>,
    /// The mount namespace in which the path means this one.
    mounts: String,
}

impl DirectoryIdentity {
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
    pub fn is(&self, json: &Value) -> bool {
        let number = |name: &str| json.get(name)?.as_u64();
        let is = |name: &str, value: &str| json.get(name).and_then(Value::as_str) == Some(value);
        match (number("device"), number("inode")) {
            (Some(device), Some(inode)) => self.identity == Some((device, inode)),
            // Without one, as on a disk that is full.
            _ => is("path", &self.path.to_string_lossy()) && is("mounts", &self.mounts),
        }
    }
}

impl StatusBoard {
    /// Says where a metadata server hands out what is asked for by `request`.
    pub fn serve(&self, address: String, request: String) {
        self.metadata.replace(Some((address, request)));
    }

    /// Says beside which file this agent's others stand.
    pub fn set_directory(&self, file: &Path) {
        self.place.replace(DirectoryIdentity::of(file.parent().unwrap_or(file)));
    }

    /// Says how to learn what the command is given.
    pub fn set_environment_source(&self, given: impl Fn() -> Option<Environment> + 'static) {
        self.command_environment.replace(Some(Box::new(given)));
    }

    /// Everything, for the agent's own user.
    fn all(&self, now: SystemTime) -> String {
        let given = self.command_environment.borrow().as_ref().and_then(|given| given());
        let exports = given.map(|environment| format!("\0{}", environment.exports())).unwrap_or_default();
        self.json(now) + &exports
    }

    /// Looks again at the directory, which may be another one since something was written: in a thread, as a disk may
    /// take its time.
    pub async fn look_again(&self) {
        let path = self.place.borrow().path.clone();
        if let Ok(place) = tokio::task::spawn_blocking(move || DirectoryIdentity::of(&path)).await {
            self.place.replace(place);
        }
    }

    /// Says whose state number `role` is; the next one is added.
    pub fn name(&self, role: usize, profile: Option<String>, principal: Principal) {
        let mut states = self.states.borrow_mut();
        if role == states.len() {
            states.push(RoleStatus::default());
        }
        if let Some(state) = states.get_mut(role) {
            (state.profile, state.principal) = (profile, Some(principal));
        }
    }

    /// Changes the state of role number `role`.
    pub fn change(&self, role: usize, change: impl FnOnce(&mut RoleStatus)) {
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
                    "identity": state.identity,
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
pub enum Freshness {
    /// Clients have what is good, and the next is on its way.
    Fresh,
    /// They have something, but there is trouble.
    Stale,
    /// They have nothing.
    None,
}

impl Freshness {
    /// What follows from these times and failures.
    pub fn of(expiration: Option<SystemTime>, next: Option<SystemTime>, failures: u32, now: SystemTime) -> Self {
        match expiration {
            Some(expiration) if now < expiration => {
                let late = next.is_some_and(|next| world::later(next, LATE) < now);
                if failures > 0 || late { Self::Stale } else { Self::Fresh }
            }
            _ => Self::None,
        }
    }

    /// What an agent's word of one role comes to at `now`, as it may have changed since.
    pub fn told(role: &Value, now: SystemTime) -> Self {
        let time = |name: &str| humantime::parse_rfc3339(role.get(name)?.as_str()?).ok();
        let failures = role.get("failures").and_then(Value::as_u64).unwrap_or(0);
        Self::of(time("expiration"), time("next_refresh"), failures.try_into().unwrap_or(u32::MAX), now)
    }

    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::None => "none",
        }
    }
}

/// For whom a role's credentials are, as its agent says; `None` where it does not know yet.
pub fn principal(role: &Value) -> Option<&str> {
    let text = |name: &str| role.get(name)?.as_str().filter(|text| !text.is_empty());
    ["role", "service_account", "principal"].into_iter().find_map(text)
}

/// The credentials file that is named, or the usual one.
pub fn credentials_file(options: &Options, world: &World) -> PathBuf {
    let named = options.value(world, "credentials-file").map(|file| file.file(world).path().to_owned());
    let usual = || world.home.as_ref().map(|home| home.join(".aws/credentials"));
    named.or_else(usual).unwrap_or_else(|| PathBuf::from("/"))
}

/// By which an agent is found that keeps credentials in this file, as long as it is asked from the same container.
pub fn key(credentials_file: &Path) -> u64 {
    let mut hash = DefaultHasher::new();
    (credentials_file, mounts()).hash(&mut hash);
    hash.finish()
}

/// Names the mount namespace in which paths mean what they mean here.
pub fn mounts() -> String {
    let link = || fs::read_link("/proc/self/ns/mnt").unwrap_or_default().to_string_lossy().into_owned();
    process::root_mount().map_or_else(link, |mount| mount.to_string())
}

/// Tells this user's processes and root how things stand, on the socket `listener`.
pub async fn answer(listener: UnixListener, board: Rc<StatusBoard>, world: Rc<World>) {
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
