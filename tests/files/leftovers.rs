//! What the dead have left.

use std::fs;
use std::path::Path;

use crate::beside;
use crate::common::launch::{gone, kill, parent_of};
use crate::common::{self, Stage, agents_of, eventually};

fn is(name: &str, kind: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == kind)
}

#[test]
fn token_files_of_the_dead_are_swept_and_of_the_living_kept() {
    let stage = Stage::new();
    let tokens = || -> Vec<String> {
        let ours = |name: &String| name.starts_with(".fedboot-") && is(name, "token");
        beside(&stage.credentials_file()).into_iter().filter(ours).collect()
    };
    let living = stage.hold(&[]);
    let [kept] = tokens().try_into().expect("one token file");
    for _ in 0..3 {
        let dying = stage.hold(&[]);
        assert_eq!(tokens().len(), 2);
        dying.kill_agent_for_good();
        assert_eq!(tokens().len(), 2, "nobody could remove it");
        dying.release(&stage).assert_succeeded();
    }
    // Nothing that only looks like one goes.
    for name in [".fedboot-notes", "x.token", ".credentials.bak"] {
        common::write(&stage.home().join(".aws").join(name), "mine");
    }
    stage.run(["--", "true"]).assert_succeeded();
    let mut expected = [".credentials.bak", ".fedboot-notes", &kept, "credentials", "x.token"];
    expected.sort_unstable();
    assert_eq!(beside(&stage.credentials_file()), expected);
    assert!(Path::new(&living.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")).ends_with(&kept));
    living.release(&stage).assert_succeeded();
    assert!(tokens().is_empty());
}

/// An agent and its command are killed with all that they were, and another one starts in the same place.
#[test]
fn restarts_leave_what_the_living_one_has() {
    for (options, ends) in [
        ("--delivery token-file", &[".jwt"][..]),
        ("--delivery process", &[".json", ".json.lock"]),
        ("--delivery file", &[]),
        ("--delivery file,endpoint", &[".token"]),
    ] {
        let stage = Stage::new();
        let ours = || -> Vec<String> {
            let names = beside(&stage.credentials_file()).into_iter();
            names.filter(|name| name.contains(".fedboot-")).collect()
        };
        let start = |round: u32| {
            // As on another host: that is part of the session's name, and that of the cache's.
            let session = format!("--role-session-name=host-{round}");
            stage.hold(&options.split(' ').chain([session.as_str()]).collect::<Vec<_>>())
        };
        for round in 0..5 {
            let held = start(round);
            held.kill_agent_for_good();
            drop(held);
            assert!(ours().len() <= 2 * ends.len(), "{options}: {:?}", ours());
        }
        common::write(&stage.home().join(".aws/.credentials.fedboot-0123456789ab"), "keys of a write that was killed");
        let living = start(5);
        let left = ours();
        assert_eq!(left.len(), ends.len(), "{options}: {left:?}");
        for (name, end) in left.iter().zip(ends) {
            assert!(name.ends_with(end), "{options}: {left:?}");
        }
        // And the living one's are not swept by another.
        let other = start(6);
        assert!(left.iter().all(|name| ours().contains(name)), "{options}: {left:?} {:?}", ours());
        other.release(&stage).assert_succeeded();
        living.release(&stage).assert_succeeded();
    }
}

/// Nobody is answered from a cache that is past its end; another that is not yet may still be asked for.
#[test]
fn caches_of_processes_are_swept_when_they_are_past_their_end() {
    let stage = Stage::new();
    let run = |session: &str| {
        stage.run(["credential-process", "--role-session-name", session]).assert_succeeded();
    };
    let directory = stage.home().join(".cache/fedboot");
    let names = || beside(&directory.join("any"));
    run("first");
    run("second");
    assert_eq!(names().len(), 4);
    for name in names().into_iter().filter(|name| is(name, "json")) {
        let text = fs::read_to_string(directory.join(&name)).expect("a cache");
        if text.contains("first") {
            let at = text.find("Expiration").expect("its end");
            let old = text[at..].replacen("\"20", "\"19", 1);
            fs::write(directory.join(&name), text[..at].to_owned() + &old).expect("a cache");
        }
    }
    run("second");
    assert_eq!(names().len(), 4, "nothing was exchanged");
    for foreign in ["cache-notes.json", "cache-0123456789abcdef.json.bak"] {
        common::write(&directory.join(foreign), "mine");
    }
    run("third");
    let left = names();
    assert_eq!(left.len(), 6, "{left:?}");
    let texts = left.iter().map(|name| fs::read_to_string(directory.join(name)).expect("it"));
    assert!(!texts.collect::<String>().contains("first"));
}

/// What the command's environment names is there at any time, whichever of the two was killed.
#[test]
fn another_agent_takes_the_files_over() {
    for (options, variable, end) in [
        ("--delivery=file,endpoint", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", ".token"),
        ("--delivery=token-file", "AWS_WEB_IDENTITY_TOKEN_FILE", ".jwt"),
    ] {
        let stage = Stage::new();
        let held = stage.hold(&[options]);
        let path = held.variable(variable);
        for round in 0..6 {
            let agent = held.agent();
            let dies = if round % 2 == 0 { agent } else { parent_of(agent) };
            kill(dies, libc::SIGKILL);
            gone(dies);
            let mut looks = 0;
            eventually("another agent is there", || {
                assert!(Path::new(&path).exists(), "{options}, round {round}: gone after {looks} looks");
                looks += 1;
                let agents = agents_of(held.pid);
                matches!(agents[..], [now] if now != dies && parent_of(now) != dies && parent_of(now) != 1)
                    && stage.run(["status"]).code() == Some(0)
            });
        }
        // Others sweep what the dead have left, and not this.
        stage.run(["--", "true"]).assert_succeeded();
        let ours = beside(&stage.credentials_file()).into_iter().filter(|name| name.ends_with(end));
        let ours: Vec<_> = ours.collect();
        assert!(matches!(&ours[..], [one] if Path::new(&path).ends_with(one)), "{options}: {ours:?}");
        held.release(&stage).assert_succeeded();
        assert!(!Path::new(&path).exists(), "{options}");
    }
}
