//! fedboot as the first process of a container.

use std::os::unix::ffi::OsStrExt;
use std::process::Child;

use crate::common::launch::{children_of, gone, kill, may_unshare, stat};
use crate::common::{Stage, binary, eventually};
use crate::comparison::{mask, words_of};
use crate::{hanging_stage, probe, short_lived};
use fedboot_sandbox::{Fault, Sandbox, Service};

/// fedboot as pid 1 of a pid namespace; the signal goes to it from outside, as a container runtime sends it.
struct Container {
    unshare: Child,
    fedboot: u32,
}

fn contain(stage: &Stage, shell: &str) -> Container {
    let unshare = unshare(stage, shell);
    let pid = unshare.id();
    let mut child = Vec::new();
    eventually("a namespace", || {
        child = children_of(pid);
        !child.is_empty()
    });
    Container { unshare, fedboot: child[0] }
}

fn unshare(stage: &Stage, shell: &str) -> Child {
    stage
        .wrapper("unshare")
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", "--", "sh", "-c", shell, "sh"])
        .arg(binary())
        .spawn()
        .expect("unshare starts")
}

const NAMESPACE: [&str; 3] = ["--pid", "--fork", "--mount-proc"];

#[test]
fn as_pid_1_signals_end_the_boot() {
    if !may_unshare("as_pid_1_signals_end_the_boot", &NAMESPACE) {
        return;
    }
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
        let stage = hanging_stage();
        let container = contain(&stage, "exec \"$1\" -- touch ran");
        eventually("STS is asked", || !stage.sandbox.requests_to(Service::Sts).is_empty());
        kill(container.fedboot, signal);
        let outcome = stage.finish(container.unshare);
        assert_eq!(outcome.code(), Some(128 + signal), "{:?} {}", outcome.status, outcome.stderr);
        assert!(!stage.directory.path().join("ran").exists());
        assert!(!stage.credentials_file().exists());
    }
    // A signal that the caller has ignored stays ignored.
    let stage = hanging_stage();
    let container = contain(&stage, "trap '' TERM; exec \"$1\" -- touch ran");
    eventually("STS is asked", || !stage.sandbox.requests_to(Service::Sts).is_empty());
    kill(container.fedboot, libc::SIGTERM);
    kill(container.fedboot, libc::SIGINT);
    let outcome = stage.finish(container.unshare);
    assert_eq!(outcome.code(), Some(130), "{:?} {}", outcome.status, outcome.stderr);
}

#[test]
fn as_pid_1_the_command_becomes_pid_1() {
    if !may_unshare("as_pid_1_the_command_becomes_pid_1", &NAMESPACE) {
        return;
    }
    let mut stage = short_lived();
    let report = stage.directory.path().join("report");
    stage.set("PROBE", std::ffi::OsStr::from_bytes(probe::program().as_bytes()));
    let shell = "exec \"$1\" -- sh -c 'trap \"\" USR1; echo $$; read word; \
                 PROBE_REPORT=$PWD/report exec \"$PROBE\"'";
    let mut container = contain(&stage, shell);
    let stdin = container.unshare.stdin.take();
    // Refreshes go on beside it. Its only child is the guard, whose child is the agent.
    stage.sandbox.wait_for(3, "AssumeRoleWithWebIdentity", crate::common::PATIENCE).expect("refreshes");
    let is = |pid: u32, word: &str| words_of(pid).get(1).is_some_and(|found| found == word);
    let [guard] = children_of(container.fedboot)[..] else { panic!("a zombie, or more") };
    let [agent] = children_of(guard)[..] else { panic!("not one agent") };
    assert!(is(guard, "--fedboot-guard") && is(agent, "--fedboot-agent"));
    assert_ne!(stat(agent).expect("its stat")[3], stat(container.fedboot).expect("its stat")[3], "its session");
    drop(stdin);
    let outcome = stage.finish(container.unshare);
    assert_eq!(outcome.code(), Some(probe::EXIT_CODE), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "1\n");
    gone(agent);
    gone(guard);
    let report = probe::read(&report).expect("a report");
    assert_eq!(report["pid"], "1");
    assert_eq!(report["status SigCgt"], "0000000000000000");
    assert_eq!(mask(&report["status SigIgn"]), 1 << (libc::SIGUSR1 - 1));
    // A program that waits for all its children comes to an end of that.
    assert_eq!(report["children"], "[], then ECHILD");
}

#[test]
fn as_pid_1_failures_have_their_exit_codes() {
    if !may_unshare("as_pid_1_failures_have_their_exit_codes", &NAMESPACE) {
        return;
    }
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::error("AccessDenied").always()));
    for (shell, code) in [("exec \"$1\" -- true", 125), ("exec \"$1\" -- /nonexistent", 127), ("exec \"$1\" -- /", 126)]
    {
        let outcome = stage.finish(unshare(&stage, shell));
        assert_eq!(outcome.code(), Some(code), "{}", outcome.stderr);
        assert_eq!(outcome.error().severity(), "ERROR");
    }
}
