//! Others at the same time.

use std::fs;
use std::process::Child;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use fedboot_sandbox::Sandbox;

use crate::common::launch::figure;
use crate::common::{self, PATIENCE, Stage, eventually, turn};
use crate::{Done, OTHER, agent, beside, with_profiles};

#[test]
fn several_at_once_take_turns() {
    let stage = Stage::new();
    let whole = with_profiles(&stage, 50);
    let done = AtomicBool::new(false);
    let reads = thread::scope(|scope| {
        let reader = scope.spawn(|| whole.poll(&done));
        let guard = Done(&done);
        for _ in 0..12 {
            let children: Vec<Child> =
                (0..6).map(|_| stage.command(["--", "true"]).spawn().expect("fedboot starts")).collect();
            for child in children {
                stage.finish(child).assert_succeeded();
            }
            whole.assert();
            assert_eq!(beside(&stage.credentials_file()), ["credentials"]);
        }
        drop(guard);
        reader.join().expect("no torn read")
    });
    assert_eq!(stage.sandbox.issued().len(), 72);
    figure(&format!("files: 72 fedboots, six at a time, on one file; {reads} reads saw it whole"));
}

/// Two with different profiles to keep in mind: each one's own section survives the other's writes.
#[test]
fn agents_that_refresh_side_by_side_lose_nothing() {
    let stage = Stage::with(Sandbox::builder().credential_lifetime(Duration::from_secs(4)));
    let whole = with_profiles(&stage, 50);
    let held: Vec<_> = (0..4).map(|_| stage.hold(&[])).collect();
    let done = AtomicBool::new(false);
    let reads = thread::scope(|scope| {
        let reader = scope.spawn(|| whole.poll(&done));
        let guard = Done(&done);
        stage.sandbox.wait_for(16, "AssumeRoleWithWebIdentity", PATIENCE).expect("refreshes");
        drop(guard);
        reader.join().expect("no torn read")
    });
    figure(&format!("files: four agents, twelve refreshes, {reads} reads saw the file whole"));
    for held in held {
        held.release(&stage).assert_succeeded();
    }
    whole.assert();
    stage.run(["--", "true"]).assert_succeeded();
    assert_eq!(beside(&stage.credentials_file()), ["credentials"]);
}

/// The command may end at any moment, that of a refresh too.
#[test]
fn a_command_that_ends_in_a_refresh_leaves_nothing_beside_the_file() {
    let stage = Stage::with(Sandbox::builder().credential_lifetime(Duration::from_secs(2)));
    let _whole = with_profiles(&stage, 1500);
    for round in 0..12_u64 {
        let held = stage.hold(&[]);
        let issued = stage.sandbox.issued().len();
        eventually("a refresh", || stage.sandbox.issued().len() > issued);
        thread::sleep(Duration::from_micros(round * 250));
        held.release(&stage).assert_succeeded();
        assert_eq!(beside(&stage.credentials_file()), ["credentials"], "round {round}");
    }
}

/// In a directory that is one user's alone, and in one that others may open.
const MODES: [u32; 2] = [0o700, 0o755];

#[test]
fn a_lock_that_is_never_released_is_an_error() {
    for mode in MODES {
        let stage = Stage::new();
        turn::directory(&stage, mode);
        common::write(&stage.credentials_file(), OTHER);
        let lock = turn::hold(&stage);
        let start = Instant::now();
        stage.run(["--timeout=3s", "--", "touch", "ran"]).assert_failed(125, &[".aws", "locked", "stopped"]);
        let took = start.elapsed().as_secs_f64();
        figure(&format!(
            "files: with --timeout=3s a lock that is held in a directory {mode:o} is reported after {took:.1} s"
        ));
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(stage.credentials_text(), OTHER);
        drop(lock);
        stage.run(["--", "true"]).assert_succeeded();
        assert_eq!(beside(&stage.credentials_file()), ["credentials"]);
    }
}

#[test]
fn a_lock_does_not_outlast_the_timeout() {
    for mode in MODES {
        let stage = Stage::new();
        turn::directory(&stage, mode);
        let _lock = turn::hold(&stage);
        let start = Instant::now();
        stage.run(["--timeout=1", "--", "touch", "ran"]).assert_failed(125, &["locked"]);
        let took = start.elapsed();
        assert!(took < Duration::from_secs(3), "--timeout=1 took {took:?}");
    }
}

#[test]
fn a_lock_that_is_released_in_time_is_waited_for() {
    for mode in MODES {
        let stage = Stage::new();
        turn::directory(&stage, mode);
        let lock = turn::hold(&stage);
        let child = stage.command(["--", "true"]).spawn().expect("fedboot starts");
        thread::sleep(Duration::from_millis(700));
        assert!(!stage.credentials_file().exists(), "it did not wait");
        drop(lock);
        stage.finish(child).assert_succeeded();
        assert!(stage.credentials_text().contains("aws_access_key_id = ASIA"));
    }
}

/// A real one that is stopped anywhere: at worst the next one says so, and once it goes on both are done.
#[test]
fn a_fedboot_that_was_stopped_does_no_harm() {
    let stage = Stage::new();
    let whole = with_profiles(&stage, 2000);
    for round in 0..3_u64 {
        let mut stopped = agent(&stage);
        thread::sleep(Duration::from_millis(8 + round * 8));
        stopped.signal(libc::SIGSTOP);
        let outcome = stage.run(["--timeout=3s", "--", "true"]);
        whole.assert();
        if outcome.code() != Some(0) {
            outcome.assert_failed(125, &["locked", "stopped"]);
        }
        stopped.kill();
    }
    stage.run(["--", "true"]).assert_succeeded();
    whole.assert();
    assert_eq!(beside(&stage.credentials_file()), ["credentials"]);
}

/// Credentials that could not be written are written later, when there is room again.
#[test]
fn a_refresh_that_cannot_be_written_is_written_later() {
    let stage = Stage::with(Sandbox::builder().credential_lifetime(Duration::from_secs(6)));
    let held = stage.hold(&[]);
    let lock_after = stage.credentials_text();
    let file = stage.credentials_file();
    fs::remove_file(&file).expect("its end");
    fs::create_dir(&file).expect("a directory in its place");
    stage.sandbox.wait_for(2, "AssumeRoleWithWebIdentity", PATIENCE).expect("a refresh");
    fs::remove_dir(&file).expect("its end");
    eventually("it is written", || {
        fs::read_to_string(&file).is_ok_and(|text| text.contains("aws_access_key_id = ASIA"))
    });
    assert_ne!(stage.credentials_text(), lock_after);
    let outcome = held.release(&stage);
    outcome.assert_succeeded();
}
