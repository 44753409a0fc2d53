//! Signals while fedboot boots.

use std::os::unix::process::CommandExt;
use std::time::Duration;

use crate::common::launch::{figure, kill};
use crate::common::{Stage, agents_of, eventually};
use crate::{directory_of, hanging_stage};
use fedboot_sandbox::Service;

#[test]
fn a_signal_during_boot_ends_it() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGKILL] {
        let stage = hanging_stage();
        crate::common::write(&stage.credentials_file(), "[other]\nkey = value\n");
        let mut command = stage.command(["--", "touch", "ran"]);
        let no_core = || {
            let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
            Ok(())
        };
        // SAFETY: one system call.
        unsafe { command.pre_exec(no_core) };
        let child = command.spawn().expect("fedboot starts");
        eventually("STS is asked", || !stage.sandbox.requests_to(Service::Sts).is_empty());
        assert_eq!(agents_of(child.id()).len(), 1);
        kill(child.id(), signal);
        let outcome = stage.finish(child);
        assert_eq!(outcome.signal(), Some(signal), "{}", outcome.stderr);
        assert_eq!(directory_of(&stage), ["credentials"], "signal {signal} left something");
        assert_eq!(stage.credentials_text(), "[other]\nkey = value\n");
        assert!(!stage.directory.path().join("ran").exists());
    }
}

/// Boots that SIGTERM meets at `moment` of each; returns what stood beside the credentials file afterwards.
fn boots_that_are_ended(rounds: u32, moment: impl Fn(&Stage, u32)) -> Vec<String> {
    let stage = Stage::new();
    let before = "[other]\nkey = value\n";
    crate::common::write(&stage.credentials_file(), before);
    let (mut ended, mut ran, mut left) = (0, 0, Vec::new());
    for round in 0..rounds {
        let child = stage.command(["--", "true"]).spawn().expect("fedboot starts");
        moment(&stage, round);
        // It may be over already.
        // SAFETY: plain system call; the child has not been waited for, so the number is its own.
        unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
        let outcome = stage.finish(child);
        match (outcome.signal(), outcome.code()) {
            (Some(libc::SIGTERM), None) => ended += 1,
            (None, Some(0)) => ran += 1,
            _ => panic!("{:?} {}", outcome.status, outcome.stderr),
        }
        let text = stage.credentials_text();
        let whole = text.contains("[default]\naws_access_key_id = ASIA") && text.ends_with("region = us-east-1\n");
        assert!(text == before || whole && text.starts_with(before), "{text}");
        left.extend(directory_of(&stage).into_iter().filter(|name| name != "credentials"));
    }
    figure(&format!("conduct: of {rounds} boots {ended} were ended by SIGTERM, {ran} ran; left: {}", left.len()));
    assert!(ended > 0, "no signal came in time");
    left
}

#[test]
fn a_signal_at_any_moment_of_boot_leaves_the_file_whole() {
    boots_that_are_ended(60, |_, round| std::thread::sleep(Duration::from_micros(u64::from(round) * 700)));
}

/// The moments after STS has answered, when the file is written.
#[test]
fn a_signal_while_the_file_is_written_leaves_nothing_beside_it() {
    let left = boots_that_are_ended(60, |stage, round| {
        let count = round as usize + 1;
        stage.sandbox.wait_for(count, "AssumeRoleWithWebIdentity", crate::common::PATIENCE).expect("an exchange");
        std::thread::sleep(Duration::from_micros(u64::from(round) * 100));
    });
    assert!(left.is_empty(), "{left:?}");
}
