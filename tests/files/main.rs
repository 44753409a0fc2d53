//! The credentials file: polite to what stands there, never torn, never readable by others, in every place one meets.

#![allow(unsafe_code, reason = "a process of another user has no safe interface")]
#![allow(clippy::disallowed_methods, reason = "tests look at the real world")]

#[path = "../common/mod.rs"]
mod common;

mod content;
mod foreign;
mod furnished;
mod hostile;
mod killed;
mod leftovers;
mod others;
mod owner;
mod paths;
mod places;
mod readers;
mod slow;
mod turns;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use common::launch::{children_of, kill, skip, state};
use common::{Outcome, Stage, binary, eventually};

const OTHER: &str = "# mine\n[other]\naws_access_key_id = AKIA\n\n; the end\n";

/// Every name in the directory of the credentials file.
fn beside(file: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(file.parent().expect("a parent"))
        .expect("its directory")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

/// `[default]` as it stands for the newest credentials, `|` as line end.
fn default_keys(stage: &Stage) -> String {
    let issued = stage.sandbox.issued().pop().expect("credentials");
    let since = issued.expires_at.duration_since(SystemTime::UNIX_EPOCH).expect("a time");
    format!(
        "aws_access_key_id = {}|aws_secret_access_key = {}|aws_session_token = {}|x_security_token_expires = {}|",
        issued.access_key_id,
        issued.secret_access_key,
        issued.session_token,
        rfc3339(since.as_secs())
    )
}

/// Seconds since 1970 as RFC 3339, by the civil calendar.
fn rfc3339(seconds: u64) -> String {
    let output =
        Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"]).output().expect("date");
    String::from_utf8(output.stdout).expect("text").trim().into()
}

/// fedboot as a user who is not root; who meets the home as the test has made it.
fn as_nobody(stage: &Stage, arguments: &[&str]) -> Outcome {
    as_user(stage, NOBODY, arguments)
}

fn as_user(stage: &Stage, user: u32, arguments: &[&str]) -> Outcome {
    // Where root alone may look, nobody else finds the binary or the sandbox's certificate.
    let own = stage.directory.path().join("fedboot");
    // By another process: a file that this one has open for writing, if only in a child that another test has just
    // forked, cannot be executed.
    let installed = Command::new("install").args(["-m", "755"]).args([&binary(), &own]).status();
    assert!(installed.expect("install").success());
    fs::set_permissions(stage.directory.path(), Permissions::from_mode(0o755)).expect("a mode");
    fs::set_permissions(stage.sandbox.directory(), Permissions::from_mode(0o755)).expect("a mode");
    let mut child = stage.wrapper(&own).args(arguments).uid(user).gid(user).spawn().expect("fedboot starts");
    drop(child.stdin.take());
    stage.finish(child)
}

const NOBODY: u32 = 65534;

fn may_become_another(name: &str) -> bool {
    let may = nix::unistd::geteuid().is_root();
    if !may {
        skip(name, "not root");
    }
    may
}

fn give(path: &Path) {
    std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("another owner");
}

/// What a reader must find in the file at any time: `before` untouched, and one whole set of keys that STS gave out.
struct Whole<'a> {
    stage: &'a Stage,
    before: String,
}

impl Whole<'_> {
    /// What is wrong with `text`.
    fn wrong(&self, text: &str) -> Option<String> {
        if text == self.before {
            return None;
        }
        let Some(ours) = text.strip_prefix(&self.before) else {
            return Some(format!("what stood there before is gone: {} bytes, {:?}…", text.len(), text.get(..80)));
        };
        let value = |key: &str| ours.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        let id = value("aws_access_key_id").unwrap_or_default();
        let Some(issued) = self.stage.sandbox.issued().into_iter().rev().find(|issued| issued.access_key_id == id)
        else {
            return Some(format!("no such key: {ours}"));
        };
        let keys = format!(
            "\n[default]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\nx_security_token_expires = ",
            issued.access_key_id, issued.secret_access_key, issued.session_token
        );
        let end = "Z\n\n[fedboot]\nregion = us-east-1\n";
        (!ours.starts_with(&keys) || !ours.ends_with(end) || ours.len() != keys.len() + end.len() + 19)
            .then(|| format!("not one whole set of keys: {ours}"))
    }

    fn assert(&self) {
        let text = fs::read_to_string(self.stage.credentials_file()).expect("the file");
        if let Some(wrong) = self.wrong(&text) {
            panic!("{wrong}");
        }
    }

    /// Reads the file over and over until `done`; returns how often.
    fn poll(&self, done: &AtomicBool) -> usize {
        let mut reads = 0;
        while !done.load(Ordering::Relaxed) {
            self.assert();
            reads += 1;
            // The writers need a processor too.
            thread::sleep(Duration::from_micros(50));
        }
        reads
    }
}

/// Sets it when it is dropped, so that a failed test does not leave a poller polling.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn with_profiles(stage: &Stage, count: usize) -> Whole<'_> {
    let profile = |index| format!("[profile-{index}]\naws_access_key_id = AKIA{index:016}\nregion = eu-west-1\n");
    let before: String = (0..count).map(profile).collect();
    common::write(&stage.credentials_file(), &before);
    Whole { stage, before }
}

/// An agent without a command, whose pids are known before it does anything.
struct Agent(Child);

fn agent(stage: &Stage) -> Agent {
    let mut command = stage.command(["agent", "--foreground"]);
    Agent(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the agent starts"))
}

impl Agent {
    /// Stops the guard first: it would put another agent in the place of this one.
    fn signal(&self, signal: i32) {
        let guard = self.0.id();
        kill(guard, libc::SIGSTOP);
        // One that it has just forked is its child by then.
        eventually("the guard stands", || state(guard).is_none_or(|state| "TZX".contains(state)));
        for agent in children_of(guard) {
            kill(agent, signal);
        }
        kill(guard, signal);
    }

    fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        self.0.wait().expect("its end");
    }
}
