//! `fedboot trust-policy`: what it prints is granted in the sandbox, and lets the workload in; what `--check` says of a
//! policy is what the sandbox does with it.

#![allow(clippy::disallowed_methods, reason = "tests look at the real world")]

#[path = "../common/mod.rs"]
#[allow(unsafe_code, reason = "its launcher is for other tests")]
mod common;

mod check;
mod to_aws;
mod to_google;

use std::path::PathBuf;

use common::{NOBODY, Outcome, Stage, write};
use serde_json::Value;

const ROLE: &str = "arn:aws:iam::123456789012:role/fedboot-demo";
const ID: &str = "117739419398126000111";

fn run(stage: &Stage, line: &str) -> Outcome {
    let outcome = stage.run(["trust-policy"].into_iter().chain(line.split_whitespace()));
    // What is printed for people is as public as a log.
    stage.assert_no_secret(&outcome.stdout);
    outcome
}

/// A stage from which nobody can be asked.
fn laptop() -> Stage {
    let mut stage = Stage::new();
    stage.set("GCE_METADATA_HOST", NOBODY).set("AWS_ENDPOINT_URL_STS", format!("http://{NOBODY}"));
    stage.sandbox.forget_requests();
    stage
}

fn file(stage: &Stage, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = stage.directory.path().join(name);
    write(&path, content);
    path
}

/// The JSON that a successful run prints, and nothing else.
#[track_caller]
fn printed(stage: &Stage, line: &str) -> Value {
    let outcome = run(stage, line);
    outcome.assert_succeeded();
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|why| panic!("{line}: {why}: {}", outcome.stdout))
}
