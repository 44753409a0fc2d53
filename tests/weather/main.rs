//! Bad input and bad weather: each row says what goes wrong, the exit code, and what the one line must say; with it
//! what must be asked of the clouds in fair weather, and that passing trouble is no trouble.

#![allow(clippy::disallowed_methods, reason = "tests look at the real world")]

#[path = "../common/mod.rs"]
#[allow(unsafe_code, reason = "its launcher is for other tests")]
mod common;

mod boot;
mod broken;
mod identity;
mod input;
mod logs;
mod network;
mod options;
mod proxy;
mod sts;

use std::fs;

use common::{ASSUME_ROLE, Event, NOBODY, Outcome, Stage, asked, side_by_side};

/// What a user's own credentials file held before.
const OTHERS: &str = "# mine\n[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = other\n";
const IDENTITY: &str = "identity";

/// fedboot with `options` fails with exit code 125 before its command starts, and its one error says each of `parts`.
#[track_caller]
fn refused(stage: &Stage, options: &[&str], parts: &[&str]) -> Outcome {
    let words: Vec<&str> = options.iter().copied().chain(["--", "touch", "ran"]).collect();
    refused_with(stage, 125, &words, parts)
}

/// The same for the whole of argv and another exit code. Nothing may be written, nothing lost.
#[track_caller]
fn refused_with(stage: &Stage, code: i32, words: &[&str], parts: &[&str]) -> Outcome {
    common::write(&stage.credentials_file(), OTHERS);
    let outcome = stage.run(words);
    let what = format!("{words:?}: {:?} {}", outcome.status, outcome.stderr);
    assert_eq!(outcome.code(), Some(code), "{what}");
    for part in parts {
        assert!(outcome.error().sentence().contains(part), "no {part:?} in {what}");
    }
    assert_eq!(outcome.events().len(), outcome.stderr.lines().count(), "not all lines are events: {what}");
    assert!(!stage.directory.path().join("ran").exists(), "the command ran: {what}");
    assert_eq!(stage.credentials_text(), OTHERS, "{what}");
    let names: Vec<_> =
        fs::read_dir(stage.home().join(".aws")).expect(".aws").flatten().map(|e| e.file_name()).collect();
    assert_eq!(names, ["credentials"], "{what}");
    outcome
}

/// fedboot with `options` starts its command, without an ERROR, and with the credentials that STS gave out last.
#[track_caller]
fn delivers(stage: &Stage, options: &[&str]) -> Outcome {
    let outcome = stage.run_shell(options, "env");
    outcome.assert_succeeded();
    let errors: Vec<Event> = outcome.events().into_iter().filter(|event| event.severity() == "ERROR").collect();
    assert!(errors.is_empty(), "{options:?}: {errors:?}");
    let issued = stage.sandbox.issued().pop().expect("credentials");
    let text = stage.credentials_text();
    for value in [&issued.access_key_id, &issued.secret_access_key, &issued.session_token] {
        assert!(text.lines().any(|line| line.ends_with(&format!(" = {value}"))), "{options:?}: no {value} in {text}");
    }
    outcome
}

/// The value of a variable in what `env` printed.
fn variable<'a>(outcome: &'a Outcome, name: &str) -> Option<&'a str> {
    outcome.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}
