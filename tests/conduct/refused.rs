//! Kernels and sandboxes that refuse a system call.

use std::io::Read;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::common::launch::{Pidfd, children_of, descriptors_of, figure, has, may_unshare, state};
use crate::common::{Stage, agents_of, binary, eventually};
use crate::{refreshes, short_lived};

/// Runs fedboot under strace, which makes one system call fail, and returns strace with fedboot's pid.
fn with_failing(stage: &Stage, fault: &str, call: &str) -> (Child, u32) {
    let mut strace = stage
        .wrapper("strace")
        .args(["-f", "-q", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", fault, "--"])
        .arg(binary())
        .args(crate::common::launch::HOLD)
        .spawn()
        .expect("strace starts");
    let mut word = [0; 5];
    strace.stdout.as_mut().expect("stdout").read_exact(&mut word).expect("its word");
    let pid = children_of(strace.id())[0];
    (strace, pid)
}

#[test]
fn without_pidfds_the_agent_still_ends_with_the_command() {
    if !has("without_pidfds_the_agent_still_ends_with_the_command", "strace") {
        return;
    }
    let stage = short_lived();
    let (mut strace, pid) = with_failing(&stage, "inject=pidfd_open:error=ENOSYS", "pidfd_open");
    let agent = agents_of(pid)[0];
    assert!(!descriptors_of(agent).values().any(|target| target.contains("pidfd")), "the row has no effect");
    let watch = Pidfd::open(agent);
    refreshes(&stage, 2);
    assert!(!watch.ended(Duration::ZERO), "it ended before the command");
    drop(strace.stdin.take());
    eventually("the command ends", || state(pid).is_none_or(|state| state == 'Z'));
    let start = Instant::now();
    assert!(watch.ended(Duration::from_secs(10)), "the agent lives on");
    figure(&format!(
        "conduct: without pidfd_open the agent ended {:.0} ms after the command",
        start.elapsed().as_secs_f64() * 1e3
    ));
    assert!(stage.finish(strace).status.success());
}

#[test]
fn without_close_range_the_agent_still_holds_no_descriptor() {
    if !has("without_close_range_the_agent_still_holds_no_descriptor", "strace") {
        return;
    }
    let stage = Stage::new();
    let (strace, pid) = with_failing(&stage, "inject=close_range:error=ENOSYS", "close_range");
    let (of_agent, of_command) = (descriptors_of(agents_of(pid)[0]), descriptors_of(pid));
    for number in [0, 1] {
        assert!(!of_agent.values().any(|target| *target == of_command[&number]), "it holds {number}");
    }
    drop(of_agent);
    let mut strace = strace;
    drop(strace.stdin.take());
    assert!(stage.finish(strace).status.success());
}

#[test]
fn nothing_of_proc_is_needed() {
    if !may_unshare("nothing_of_proc_is_needed", &["--mount"]) {
        return;
    }
    let stage = Stage::new();
    let child = stage
        .wrapper("unshare")
        .args(["--mount", "--", "sh", "-c", "mount -t tmpfs none /proc && exec \"$1\" -- true", "sh"])
        .arg(binary())
        .spawn()
        .expect("unshare starts");
    stage.finish(child).assert_succeeded();
}
