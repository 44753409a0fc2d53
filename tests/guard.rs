//! Guard and agent as processes: what they show, what they keep in memory, and what they leave of others.

#![allow(unsafe_code, reason = "the launcher starts processes as no safe interface can")]
#![allow(clippy::disallowed_methods, reason = "tests look at the real world")]

mod common;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use common::launch::{Held, figure, gone, has, kill, may_unshare, parent_of, skip, stat, stop};
use common::{Stage, agents_of, binary, eventually, write};
use fedboot_sandbox::{AwsPlace, Fault, Sandbox, Service};

const ASSUME_ROLE: &str = "AssumeRoleWithWebIdentity";

fn is_root(name: &str) -> bool {
    // SAFETY: asks for a number.
    let is = unsafe { libc::geteuid() } == 0;
    if !is {
        skip(name, "not root");
    }
    is
}

fn argv(pid: u32) -> String {
    String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).expect("its argv")).replace('\0', " ")
}

/// Everything that a process may write to.
fn memory(pid: u32) -> Vec<u8> {
    let file = File::open(format!("/proc/{pid}/mem")).expect("its memory");
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("its maps");
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("an address");
        let mut part = vec![0; usize::try_from(number(end) - number(start)).expect("a length")];
        if file.read_exact_at(&mut part, number(start)).is_ok() {
            all.extend(part);
        }
    }
    assert!(all.len() > 50_000, "there is little to search in");
    all
}

fn holds(memory: &[u8], secret: &str) -> bool {
    memory.windows(secret.len()).any(|window| window == secret.as_bytes())
}

/// `pkill -f` of what stands in the container's ENTRYPOINT hits the command alone.
#[test]
fn they_show_as_what_they_are() {
    let stage = Stage::new();
    let held = stage.hold(&["--role-session-name", "a-word-of-mine"]);
    let agent = held.agent();
    let guard = parent_of(agent);
    for (pid, name) in [(agent, "fedboot-agent"), (guard, "fedboot-guard")] {
        assert_eq!(argv(pid).trim_end(), format!("fedboot --{name} {}", held.pid));
        assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm")).expect("its name").trim_end(), name);
    }
    held.release(&stage).assert_succeeded();
    // Where argv has no room for it: `f -- /bin/cat`, say.
    let program = stage.directory.path().join("c");
    write(&program, "#!/bin/sh\necho held; read word; exit 0\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    let mut command = stage.wrapper(binary());
    let held = Held::from(command.arg0("f").args(["--", "./c"]).spawn().expect("it starts"));
    let ours = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|file| file == binary());
    for name in ["fedboot-agent", "fedboot-guard"] {
        let shown: Vec<_> = descendants_of_init(name).iter().filter(|pid| ours(pid)).map(|pid| argv(*pid)).collect();
        assert!(!shown.is_empty() && shown.iter().all(|argv| !argv.contains("./c")), "{shown:?}");
    }
    held.release(&stage).assert_succeeded();
}

fn descendants_of_init(name: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name))
        .collect()
}

/// Nobody but root may look into them, and they leave no core behind; the command is as it always is.
#[test]
fn they_cannot_be_looked_into() {
    const USER: u32 = 1000;
    if !is_root("they_cannot_be_looked_into") {
        return;
    }
    let stage = Stage::new();
    let own = stage.directory.path().join("fedboot");
    assert!(Command::new("install").args(["-m", "755"]).args([&binary(), &own]).status().expect("install").success());
    for directory in [stage.directory.path(), stage.sandbox.directory()] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    std::os::unix::fs::chown(stage.home(), Some(USER), Some(USER)).expect("an owner");
    let mut command = stage.wrapper(&own);
    let held = Held::from(command.args(common::launch::HOLD).uid(USER).gid(USER).spawn().expect("it starts"));
    let agent = held.agent();
    let owner = |pid: u32| fs::metadata(format!("/proc/{pid}/environ")).expect("a process").uid();
    assert_eq!((owner(held.pid), owner(agent), owner(parent_of(agent))), (USER, 0, 0));
    held.release(&stage).assert_succeeded();
}

/// What was replaced is gone from the agent's memory, and the guard has never had any of it.
#[test]
fn secrets_are_wiped() {
    if !is_root("secrets_are_wiped") {
        return;
    }
    let stage = Stage::with(Sandbox::builder().credential_lifetime(Duration::from_secs(4)));
    let held = stage.hold(&["--delivery", "file,endpoint"]);
    stage.sandbox.wait_for(4, ASSUME_ROLE, common::PATIENCE).expect("refreshes");
    let agent = held.agent();
    let guard = parent_of(agent);
    stop(agent);
    let issued = stage.sandbox.issued();
    let (of_agent, of_guard) = (memory(agent), memory(guard));
    // The last one or two may be in use.
    for old in &issued[..issued.len() - 2] {
        for secret in [&old.secret_access_key, &old.session_token] {
            assert!(!holds(&of_agent, secret), "{} of {} is still there", old.access_key_id, issued.len());
        }
    }
    for secret in issued.iter().flat_map(|issued| [&issued.secret_access_key, &issued.session_token]) {
        assert!(!holds(&of_guard, secret), "the guard has it");
    }
    let tokens = stage.sandbox.requests_to(Service::Sts);
    let tokens = tokens.iter().filter_map(|request| request.param("WebIdentityToken"));
    assert!(!tokens.into_iter().any(|token| holds(&of_guard, token)), "the guard has an ID token");
    kill(agent, libc::SIGCONT);
    held.release(&stage).assert_succeeded();
}

/// An agent that something ends before its word is no silence.
#[test]
fn killed_before_its_word() {
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::delay(Duration::from_secs(20)).always()));
    let child = stage.command(["--", "true"]).spawn().expect("fedboot starts");
    let pid = child.id();
    stage.sandbox.wait_for(1, ASSUME_ROLE, common::PATIENCE).expect("a request");
    kill(agents_of(pid)[0], libc::SIGKILL);
    stage.finish(child).assert_failed(125, &["the agent was killed by SIGKILL", "memory"]);
}

/// With leave or without, they end with the command; so does one that is stopped.
#[test]
fn a_stopped_one_ends_with_the_command() {
    let stage = Stage::new();
    for of_guard in [false, true] {
        let mut held = stage.hold(&[]);
        let agent = held.agent();
        let guard = parent_of(agent);
        let stopped = if of_guard { guard } else { agent };
        stop(stopped);
        let mut child = held.child.take().expect("held");
        drop(child.stdin.take());
        child.wait().expect("its end");
        gone(agent);
        gone(guard);
    }
}

/// Below a memory limit of its own, an agent that grows is killed by the kernel, and there is another one.
#[test]
fn the_next_one_says_why() {
    let stage = Stage::new();
    let held = stage.hold(&[]);
    let agent = held.agent();
    kill(agent, libc::SIGABRT);
    eventually("there is another one", || agents_of(held.pid).iter().any(|pid| *pid != agent));
    let outcome = held.release(&stage);
    let events = outcome.events();
    let event = events.iter().find(|event| event.severity() == "WARNING").expect("a warning");
    assert!(event.message().contains("killed by SIGABRT; another one takes its place"), "{}", outcome.stderr);
}

/// Programs of a profile that hang, or leave others behind: after many of them there is none, nor a thread or a
/// descriptor more than before.
#[test]
fn helpers_that_hang_and_leave_daemons() {
    let mut stage = Stage::with(Sandbox::builder().aws(AwsPlace::Environment));
    for (name, value) in stage.sandbox.env() {
        stage.set(&name, value);
    }
    let mark = stage.directory.path().join("helper.sh");
    let (id, secret, token) = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
        .map(|name| stage.sandbox.env().into_iter().find(|(of, _)| of == name).map_or_else(String::new, |(_, it)| it))
        .into();
    let json = format!(
        r#"{{"Version":1,"AccessKeyId":"{id}","SecretAccessKey":"{secret}","SessionToken":"{token}","Expiration":"2099-01-01T00:00:00Z"}}"#
    );
    // A daemon that keeps both pipes open, and a child that is nobody's.
    write(&mark, format!("sleep 1000 &\n(sleep 1000 &)\necho '{json}'\n"));
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        stage.unset(name);
    }
    let config = stage.directory.path().join("config");
    write(&config, format!("[default]\ncredential_process = sh {}\n", mark.display()));
    stage.set("AWS_CONFIG_FILE", &config);
    let held = stage.hold(&[]);
    let agent = held.agent();
    let count = |what: &str| fs::read_dir(format!("/proc/{agent}/{what}")).expect("a process").count();
    let address = held.variable("GCE_METADATA_HOST");
    for number in 0..12 {
        let path = format!(
            "/computeMetadata/v1/instance/service-accounts/default/token?scopes=https://www.googleapis.com/auth/scope{number}"
        );
        let request = common::web::request("GET", &path, &[("Host", &address), ("Metadata-Flavor", "Google")]);
        assert_eq!(common::web::send(&address, request).expect("an answer").status, 200);
    }
    let group = |pid: &u32| stat(*pid).is_some_and(|stat| stat[1] == agent.to_string());
    let children: Vec<_> =
        descendants_of_init("sh").into_iter().chain(descendants_of_init("sleep")).filter(group).collect();
    assert!(children.is_empty(), "{children:?}");
    let stage_name = stage.directory.path().display().to_string();
    let left = descendants_of_init("sleep").into_iter().filter(|pid| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environment| String::from_utf8_lossy(&environment).contains(&stage_name))
    });
    assert_eq!(left.count(), 0, "what a helper left behind runs on");
    figure(&format!("guard: after 12 helpers {} threads and {} descriptors", count("task"), count("fd")));
    assert!(count("task") <= 2 && count("fd") < 30);
    held.release(&stage).assert_succeeded();
}

/// An agent whose end the guard was told of in vain is noticed all the same, and the guard ends with it.
#[test]
fn an_end_that_was_missed() {
    let name = "an_end_that_was_missed";
    if !has(name, "strace") {
        return;
    }
    let stage = Stage::new();
    let mut strace = stage.wrapper("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=wait4", "-e", "inject=wait4:error=EIO:when=1"]);
    // It ends with the last of them.
    common::agents::within_patience(strace.arg(binary()).args(["--", "true"])).assert_succeeded();
}

/// Below pid 1, a program that waits for all its children comes to an end of that.
#[test]
fn as_pid_1_nobody_waits_for_ever() {
    let flags = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    if !may_unshare("as_pid_1_nobody_waits_for_ever", &flags[..3]) {
        return;
    }
    let stage = Stage::new();
    let mut unshare = stage.wrapper("unshare");
    let script = "import os\ntry:\n    while True: os.wait()\nexcept ChildProcessError: print('no children')";
    unshare.args(flags).arg("--").arg(binary()).args(["--", "python3", "-c", script]);
    let output = common::agents::within_patience(&mut unshare);
    output.assert_succeeded();
    assert_eq!(output.stdout, "no children\n");
}
