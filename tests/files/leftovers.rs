//! What the dead have left.

use std::fs;
use std::path::Path;

use crate::beside;
use crate::common::launch::{gone, kill};
use crate::common::{self, Stage};

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
        let agent = dying.agent();
        kill(agent, libc::SIGKILL);
        gone(agent);
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
    let (status, others): (Vec<_>, Vec<_>) =
        beside(&stage.credentials_file()).into_iter().partition(|name| is(name, "status"));
    assert_eq!(others, expected);
    assert_eq!(status.len(), 1, "those of the dead are swept as well: {status:?}");
    let token = fs::read_to_string(living.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")).expect("the token file");
    assert_eq!(token, living.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"));
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
            names.filter(|name| name.contains(".fedboot-") && !is(name, "status")).collect()
        };
        let start = |round: u32| {
            // As on another host: that is part of the session's name, and that of the cache's.
            let session = format!("--role-session-name=host-{round}");
            stage.hold(&options.split(' ').chain([session.as_str()]).collect::<Vec<_>>())
        };
        for round in 0..5 {
            let held = start(round);
            let agent = held.agent();
            kill(agent, libc::SIGKILL);
            gone(agent);
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
