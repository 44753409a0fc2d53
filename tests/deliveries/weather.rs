//! Trouble that comes while the command runs: nobody is ever without live credentials, or sees half of something.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use fedboot_sandbox::{Fault, Sandbox, Service};

use crate::common::launch::{Held, children_of, figure, gone, has, kill, parent_of, skip};
use crate::common::{NOBODY, Outcome, Stage, agents_of, binary, eventually, write};
use crate::{ASSUME_ROLE, arn, asked, aws, hold, in_section, live, mode, names_in, newest, newest_key, once};
use crate::{process_line, run_line, short_lived, wait_for, with_roles};

/// The key in the file, if it is live.
fn filed(stage: &Stage) -> Option<String> {
    let text = fs::read_to_string(stage.credentials_file()).ok()?;
    let key = |name: &str| in_section(&text, "default", name);
    let (id, secret, token) = (key("aws_access_key_id")?, key("aws_secret_access_key")?, key("aws_session_token")?);
    stage.sandbox.is_valid(id, secret, token).then(|| id.into())
}

/// Until `over`, each of the commands and the file have live credentials, and so has the line of a profile.
#[track_caller]
fn live_until(stage: &Stage, held: &[&Held], line: Option<&str>, over: impl Fn() -> bool) {
    while !over() {
        let found = held.iter().map(|held| live(stage, held)).chain([filed(stage)]);
        assert!(found.into_iter().all(|key| key.is_some()), "none after {} sessions", stage.sandbox.issued().len());
        if let Some(line) = line {
            run_line(line, &vec![]).assert_succeeded();
        }
        // Each round costs ports.
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn two_agents_with_one_file() {
    let stage = short_lived(8, Sandbox::builder());
    let issued = || stage.sandbox.issued().len();
    let (one, two) = (hold(&stage, ""), hold(&stage, ""));
    live_until(&stage, &[&one, &two], None, || issued() >= 6);
    one.release(&stage).assert_succeeded();
    let before = issued();
    live_until(&stage, &[&two], None, || issued() >= before + 2);
    let text = stage.credentials_text();
    assert_eq!((text.matches("[default]").count(), text.matches("[fedboot]").count()), (1, 1), "{text}");
    two.release(&stage).assert_succeeded();
    // With one cache as well.
    let (one, two) = (hold(&stage, "--delivery process,file"), hold(&stage, "--delivery process,file"));
    let (line, before) = (process_line(&stage, "fedboot"), issued());
    live_until(&stage, &[], Some(&line), || issued() >= before + 3);
    one.release(&stage).assert_succeeded();
    let before = issued();
    live_until(&stage, &[], Some(&line), || issued() >= before + 2);
    two.release(&stage).assert_succeeded();
}

/// Kills the agent again and again beside fifty clients, who try again as SDKs do when a connection breaks.
fn kill_while_clients_fetch(kills: usize) {
    /// The SDKs' own number of tries.
    const TRIES: usize = 3;
    let stage = Stage::new();
    let held = hold(&stage, "");
    let (answers, refusals, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let longest = thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let is_answered = (0..TRIES).any(|_| live(&stage, &held).is_some());
                    (if is_answered { &answers } else { &refusals }).fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(20));
                }
            });
        }
        let mut longest = Duration::ZERO;
        for _ in 0..kills {
            let agent = held.agent();
            kill(agent, libc::SIGKILL);
            let start = Instant::now();
            gone(agent);
            assert!(live(&stage, &held).is_some() || live(&stage, &held).is_some(), "no answer");
            longest = longest.max(start.elapsed());
            eventually("there is another one", || agents_of(held.pid).iter().any(|pid| *pid != agent));
        }
        done.store(true, Ordering::Relaxed);
        longest
    });
    figure(&format!(
        "deliveries: agent killed {kills} times beside 50 clients: answered again after {:.0} ms at most, {} answers, {} refusals",
        longest.as_secs_f64() * 1e3,
        answers.load(Ordering::Relaxed),
        refusals.load(Ordering::Relaxed)
    ));
    assert_eq!(refusals.load(Ordering::Relaxed), 0);
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    // None of them had to ask STS: what the first one had is still good.
    assert_eq!(asked(&stage, ASSUME_ROLE), 1);
    held.release(&stage).assert_succeeded();
    assert_eq!(names_in(aws(&stage)), ["credentials"]);
}

#[test]
fn the_agent_is_killed_while_clients_fetch() {
    kill_while_clients_fetch(30);
}

#[test]
#[ignore = "takes minutes"]
fn the_agent_is_killed_a_thousand_times_while_clients_fetch() {
    kill_while_clients_fetch(1000);
}

/// The agent takes its guard's place, and there is another one when it ends.
#[test]
fn the_guard_is_killed() {
    let stage = Stage::new();
    let held = hold(&stage, "");
    for _ in 0..3 {
        let agent = held.agent();
        let guard = parent_of(agent);
        kill(guard, libc::SIGKILL);
        gone(guard);
        eventually("it is a guard", || children_of(agent).len() == 1);
        assert!(live(&stage, &held).is_some());
    }
    kill(held.agent(), libc::SIGKILL);
    assert!((0..3).any(|_| live(&stage, &held).is_some()));
    assert_eq!(asked(&stage, ASSUME_ROLE), 1);
    held.release(&stage).assert_succeeded();
    assert_eq!(names_in(aws(&stage)), ["credentials"]);
}

/// What others do to the files; what they must mend themselves is mended after a while.
const DAMAGES: [&str; 9] = [
    "removed",
    "emptied",
    "replaced",
    "read-only",
    "its directory removed",
    "a link elsewhere",
    "a directory in its place",
    "nonsense",
    "a file in its directory's place",
];

fn damage(stage: &Stage, name: &str) {
    let file = stage.credentials_file();
    let done = match name {
        "removed" => fs::remove_file(file),
        "emptied" => fs::write(file, ""),
        "replaced" => fs::write(file, "# theirs\n[other]\nregion = x\n"),
        "read-only" => fs::set_permissions(file, fs::Permissions::from_mode(0o400)),
        "its directory removed" => fs::remove_dir_all(aws(stage)),
        "a link elsewhere" => {
            let target = stage.home().join("elsewhere");
            fs::rename(&file, &target).and_then(|()| symlink(target, file))
        }
        "a directory in its place" => fs::remove_file(&file).and_then(|()| fs::create_dir(file)),
        "nonsense" => fs::write(file, "[default\nx"),
        _ => fs::remove_dir_all(aws(stage)).and_then(|()| fs::write(aws(stage), "")),
    };
    done.expect(name);
}

fn mend(stage: &Stage, name: &str) {
    let file = stage.credentials_file();
    match name {
        "a link elsewhere" => assert!(fs::symlink_metadata(file).expect("a link").is_symlink()),
        "a directory in its place" => fs::remove_dir(file).expect("still theirs"),
        "nonsense" => {
            assert_eq!(stage.credentials_text(), "[default\nx");
            write(&file, "");
        }
        "a file in its directory's place" => fs::remove_file(aws(stage)).expect("still theirs"),
        _ => {}
    }
}

#[test]
fn what_was_delivered_is_put_back() {
    let check = |name: &str| {
        let stage = short_lived(8, Sandbox::builder());
        let held = hold(&stage, "");
        let token_file = PathBuf::from(held.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"));
        let token = fs::read(&token_file).expect("a token");
        damage(&stage, name);
        wait_for(&stage, asked(&stage, ASSUME_ROLE) + 1, ASSUME_ROLE);
        mend(&stage, name);
        eventually(name, || {
            assert!(live(&stage, &held).is_some(), "{name}: no live credentials");
            filed(&stage) == Some(newest_key(&stage)) && fs::read(&token_file).is_ok_and(|now| now == token)
        });
        let text = stage.credentials_text();
        assert!(text.contains("[fedboot]\nregion = us-east-1"), "{name}: {text}");
        assert!(name != "replaced" || text.starts_with("# theirs\n[other]\nregion = x\n"), "{name}: {text}");
        assert_eq!(mode(stage.credentials_file()), 0o600, "{name}");
        eventually(name, || stage.run(["status"]).code() == Some(0));
        held.release(&stage).assert_succeeded();
        assert_eq!(names_in(aws(&stage)), ["credentials"], "{name}");
    };
    thread::scope(|scope| DAMAGES.iter().for_each(|name| drop(scope.spawn(|| check(name)))));
}

#[test]
#[ignore = "waits for the check that comes once a minute"]
fn what_was_delivered_is_put_back_before_a_refresh() {
    let stage = Stage::new();
    let held = hold(&stage, "");
    fs::remove_dir_all(aws(&stage)).expect("gone");
    let start = SystemTime::now();
    while filed(&stage).is_none() {
        assert!(start.elapsed().expect("later") < Duration::from_secs(90), "it is not put back");
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(asked(&stage, ASSUME_ROLE), 1);
    let outcome = held.release(&stage);
    assert!(outcome.events().iter().any(|event| event.message().contains("it is put back")), "{}", outcome.stderr);
}

/// At half of whatever lifetime it is, give or take a tenth.
#[test]
fn long_and_short_sessions() {
    let stage = Stage::new();
    for (duration, seconds) in [("15m", 900), ("1h", 3600), ("12h", 43_200)] {
        for delivery in ["file,endpoint", "process", "file"] {
            let outcome = once(&stage, &format!("--duration {duration} --delivery {delivery}"));
            assert_eq!((newest(&stage).duration_seconds, outcome.stderr.lines().count()), (seconds, 1));
            let event = &outcome.events()[0];
            let time = |name: &str| humantime::parse_rfc3339(event.field(name)).expect("a time");
            let wait = time("next_refresh").duration_since(time("time")).expect("later").as_secs();
            assert!((seconds * 45 / 100 - 2..=seconds * 55 / 100 + 2).contains(&wait), "{duration}: {wait} s");
        }
    }
}

/// A command with the endpoint, the file, and a further role's line.
fn with_all_deliveries(lifetime: u64) -> (Stage, Held, String) {
    let stage = short_lived(lifetime, with_roles(&["fedboot-demo", "other"]));
    let roles = format!("--role-arn {} --role-arn other={} --require other", arn("fedboot-demo"), arn("other"));
    let held = hold(&stage, &roles);
    let line = process_line(&stage, "other");
    (stage, held, line)
}

#[test]
fn every_second_refresh_fails() {
    let (stage, held, line) = with_all_deliveries(8);
    stage.sandbox.fault(Service::Sts, Fault::status(503, "").every(2).on(ASSUME_ROLE));
    live_until(&stage, &[&held], Some(&line), || stage.sandbox.issued().len() >= 10);
    let failed = stage.sandbox.requests_to(Service::Sts).iter().filter(|request| request.status == Some(503)).count();
    assert!(failed >= 3, "{failed}");
    held.release(&stage).assert_succeeded();
}

/// From just before they are due until just before they end.
#[test]
fn sts_is_down_for_two_fifths_of_a_lifetime() {
    let check = |fault: Fault| {
        let lifetime = Duration::from_secs(20);
        let (stage, held, line) = with_all_deliveries(20);
        let begin = newest(&stage).issued_at + lifetime * 44 / 100;
        let count = stage.sandbox.issued().len();
        live_until(&stage, &[&held], None, || SystemTime::now() >= begin);
        stage.sandbox.fault(Service::Sts, fault.always());
        live_until(&stage, &[&held], Some(&line), || SystemTime::now() >= begin + lifetime * 2 / 5);
        assert_eq!(stage.sandbox.issued().len(), count);
        stage.sandbox.clear_faults();
        live_until(&stage, &[&held], Some(&line), || stage.sandbox.issued().len() >= count + 4);
        let outcome = held.release(&stage);
        outcome.assert_succeeded();
        assert!(outcome.events().iter().any(|event| !event.field("next_try").is_empty()), "{}", outcome.stderr);
    };
    thread::scope(|scope| {
        for fault in [Fault::close(), Fault::status(503, "")] {
            scope.spawn(|| check(fault));
        }
    });
}

/// A limit on processes that leaves none for a thread is named, and is no defect.
#[test]
fn no_room_for_a_thread() {
    if !nix::unistd::geteuid().is_root() {
        return skip("no_room_for_a_thread", "not root");
    }
    if !has("no_room_for_a_thread", "setpriv") || !has("no_room_for_a_thread", "bash") {
        return;
    }
    let mut stage = Stage::new();
    // Names are looked up in a thread.
    stage.set("HOME", "/nonexistent").set("GCE_METADATA_HOST", NOBODY).unset("AWS_ENDPOINT_URL_STS");
    let mut command = stage.wrapper("setpriv");
    // Of this user nothing else runs: two processes are fedboot's own.
    command.args(["--reuid", "54322", "--regid", "54322", "--clear-groups", "bash", "-c"]);
    command.arg("ulimit -u 3; cd /; exec \"$0\" --timeout 5 -- true").arg(binary()).stdin(Stdio::null());
    let outcome: Outcome = command.output().expect("setpriv").into();
    assert_eq!(outcome.code(), Some(125), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("ulimit -a") && !outcome.stderr.contains("defect"), "{}", outcome.stderr);
}
