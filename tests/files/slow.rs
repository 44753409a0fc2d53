//! A disk that takes its time.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use fedboot_sandbox::Sandbox;

use crate::common::launch::{figure, has, kill};
use crate::common::{Stage, eventually, web};

/// What each call waits for, by strace; there are many of them in a write, and some where a CA file or a token is read.
const DELAY: Duration = Duration::from_millis(500);

#[test]
fn servers_do_not_wait_for_a_slow_disk() {
    let name = "servers_do_not_wait_for_a_slow_disk";
    if !has(name, "strace") {
        return;
    }
    let stage = Stage::with(Sandbox::builder().credential_lifetime(Duration::from_secs(10)));
    let held = stage.hold(&[]);
    let uri = held.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let (address, path) = uri.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("http://…");
    let path = format!("/{path}");
    let agent = held.agent();
    let inject = format!("inject=fsync,renameat,openat:delay_enter={}", DELAY.as_micros());
    let mut strace = stage
        .wrapper("strace")
        .args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=fsync,renameat,openat",
            "-e",
            &inject,
            "-p",
            &agent.to_string(),
        ])
        .stderr(Stdio::null())
        .spawn()
        .expect("strace starts");
    let traced = || {
        let status = fs::read_to_string(format!("/proc/{agent}/status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() != "0"))
    };
    eventually("strace holds it", traced);
    let (first, start) = (stage.credentials_text(), Instant::now());
    let mut longest = Duration::ZERO;
    eventually("a refresh is written", || {
        let asked = Instant::now();
        let reply = web::get(address, &path, &[]);
        longest = longest.max(asked.elapsed());
        assert!(longest < DELAY, "an answer took {longest:?}");
        assert_eq!(reply.status, 200, "after {:?}: {}", start.elapsed(), reply.body);
        thread::sleep(Duration::from_millis(20));
        stage.credentials_text() != first
    });
    figure(&format!("files: on a disk that takes {DELAY:?} for a call, the longest answer took {longest:?}"));
    kill(strace.id(), libc::SIGINT);
    let _ = strace.wait();
    held.release(&stage).assert_succeeded();
}
