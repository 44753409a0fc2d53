//! The agent beside the command: it keeps to itself, ends with it, and harms nobody.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::launch::{Pidfd, children_of, descriptors_of, figure, kill, stat, state, stop};
use crate::common::{Outcome, Stage, eventually};
use crate::{directory_of, refreshes, short_lived};
use fedboot_sandbox::Service;

#[test]
fn the_agent_keeps_to_itself() {
    let stage = Stage::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (socket, _other_end) = UnixStream::pair().expect("a socket");
    let file = File::create(stage.directory.path().join("file")).expect("a file");
    let all: Vec<OwnedFd> = vec![writer.into(), socket.into(), file.into()];
    let held = stage.hold_with(&[], |command| {
        let give = move || {
            unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
            for (number, fd) in (350..).zip(&all) {
                unsafe { libc::dup2(fd.as_raw_fd(), number) };
            }
            Ok(())
        };
        // SAFETY: system calls only.
        unsafe { command.pre_exec(give) };
    });
    let agent = held.agent();
    let (of_agent, of_command) = (stat(agent).expect("its stat"), stat(held.pid).expect("its stat"));
    for (index, name) in [(2, "process group"), (3, "session")] {
        assert_ne!(of_agent[index], of_command[index], "its {name} is the command's");
    }
    assert_ne!(of_agent[1], held.pid.to_string(), "it is a child of the command's");
    assert!(children_of(held.pid).is_empty(), "the command has children");
    assert_eq!(of_agent[4], "0", "it has a controlling terminal");
    eventually("it gives the working directory up", || {
        fs::read_link(format!("/proc/{agent}/cwd")).is_ok_and(|directory| directory == Path::new("/"))
    });
    let (of_agent, of_command) = (descriptors_of(agent), descriptors_of(held.pid));
    assert_eq!(of_command.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 350, 351, 352]);
    assert_eq!((of_agent[&0].as_str(), of_agent[&1].as_str()), ("/dev/null", "/dev/null"));
    assert_eq!(of_agent[&2], of_command[&2], "its log is not on stderr");
    for (number, target) in of_command.iter().filter(|(number, _)| **number != 2) {
        let shared = of_agent.values().any(|held| held == target && target != "/dev/null");
        assert!(!shared, "the agent holds the command's {number}: {target}");
    }
    // So whoever reads from it sees its end at once, whatever the agent does.
    drop(reader);
    held.release(&stage).assert_succeeded();
}

#[test]
fn the_agent_ends_with_the_command() {
    let stage = Stage::new();
    let mut delays = Vec::new();
    for round in 0..20 {
        let mut held = stage.hold(&[]);
        let agent = Pidfd::open(held.agent());
        assert!(!agent.ended(Duration::ZERO));
        let child = held.child.as_mut().expect("held");
        if round % 2 == 0 {
            drop(child.stdin.take());
        } else {
            kill(held.pid, libc::SIGKILL);
        }
        child.wait().expect("its end");
        let start = Instant::now();
        assert!(agent.ended(Duration::from_secs(5)), "the agent lives on");
        delays.push(start.elapsed());
        let token_file = held.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        assert!(!Path::new(&token_file).exists(), "the token file is left");
    }
    delays.sort();
    figure(&format!(
        "conduct: the agent ended {:.1} ms after the command (median of 20; longest {:.1} ms)",
        delays[10].as_secs_f64() * 1e3,
        delays[19].as_secs_f64() * 1e3
    ));
    assert!(delays[10] < Duration::from_millis(100), "{delays:?}");
}

#[test]
fn a_killed_agent_harms_nobody() {
    let stage = short_lived();
    let held = stage.hold(&[]);
    refreshes(&stage, 1);
    let agent = held.agent();
    kill(agent, libc::SIGKILL);
    eventually("it is gone", || state(agent).is_none());
    assert_eq!(state(held.pid), Some('S'), "the command");
    assert!(children_of(held.pid).is_empty(), "a zombie is left to the command");
    let text = stage.credentials_text();
    let issued = stage.sandbox.issued();
    assert!(issued.iter().any(|issued| text.contains(&issued.session_token)), "{text}");
    assert!(text.ends_with("region = us-east-1\n"), "{text}");
    held.release(&stage).assert_succeeded();
}

#[test]
fn a_stopped_agent_goes_on_when_it_is_continued() {
    let stage = short_lived();
    let held = stage.hold(&[]);
    let agent = held.agent();
    refreshes(&stage, 1);
    // Not in the middle of it: what arrives when it has expired already is another matter.
    eventually("the file has the newest ones", || {
        let issued = stage.sandbox.issued();
        issued.last().is_some_and(|last| stage.credentials_text().contains(&last.access_key_id))
    });
    stop(agent);
    let stopped_at = stage.sandbox.requests_to(Service::Sts).len();
    let expired = || stage.sandbox.issued().iter().all(|issued| !issued.is_live());
    eventually("all credentials have expired", expired);
    assert_eq!(stage.sandbox.requests_to(Service::Sts).len(), stopped_at, "it was not stopped");
    kill(agent, libc::SIGCONT);
    refreshes(&stage, 2);
    eventually("the file has live credentials", || {
        let text = stage.credentials_text();
        stage.sandbox.issued().iter().any(|issued| issued.is_live() && text.contains(&issued.access_key_id))
    });
    held.release(&stage).assert_succeeded();
}

#[test]
fn signals_meant_for_the_command_do_not_end_the_agent() {
    let stage = short_lived();
    let held = stage.hold(&[]);
    let agent = held.agent();
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGPIPE] {
        kill(agent, signal);
    }
    refreshes(&stage, 2);
    assert_eq!(held.agent(), agent);
    held.release(&stage).assert_succeeded();
}

#[test]
fn nothing_of_a_run_is_left_behind() {
    let stage = Stage::new();
    let outcome: Outcome = stage.run(["--", "true"]);
    outcome.assert_succeeded();
    assert_eq!(directory_of(&stage), ["credentials"]);
    assert_eq!(outcome.events().len(), 1, "{}", outcome.stderr);
}
