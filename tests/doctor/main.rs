//! `fedboot doctor` with the real binary: setups that work, and a table of those that do not, each with what the first
//! failure must name and a word of its remedy.

#![allow(clippy::disallowed_methods, reason = "tests look at the real world")]

#[path = "../common/mod.rs"]
#[allow(unsafe_code, reason = "its launcher is for other tests")]
mod common;

mod broken;
mod surroundings;
mod well;

use std::path::PathBuf;

use common::{Outcome, Stage, write};
use fedboot_sandbox::{AwsPlace, Builder};
use serde_json::Value;

const ACCOUNT: &str = "worker@demo-project.iam.gserviceaccount.com";
const ROLE: &str = "arn:aws:iam::123456789012:role/fedboot-demo";

/// Where Google is asked for an AWS role, with no variable in the way.
fn on_google(builder: Builder) -> Stage {
    Stage::with(builder)
}

/// A place on AWS with all that a program finds there.
fn on_aws(place: AwsPlace, builder: Builder) -> Stage {
    let mut stage = Stage::with(builder.aws(place));
    for (name, value) in stage.sandbox.env() {
        stage.set(&name, value);
    }
    stage
}

/// A file of this stage.
fn file(stage: &Stage, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = stage.directory.path().join(name);
    write(&path, content);
    path
}

/// What `fedboot doctor` with these words has found.
struct Report {
    outcome: Outcome,
    findings: Vec<Value>,
}

impl Report {
    fn of(stage: &Stage, words: &str) -> Self {
        let words: Vec<&str> = ["doctor", "--format", "json"].into_iter().chain(words.split_whitespace()).collect();
        let outcome = stage.run(&words);
        stage.assert_no_secret(&outcome.stdout);
        assert_eq!(outcome.stderr, "", "{words:?}");
        let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let findings = outcome.stdout.lines().map(read).collect();
        Self { outcome, findings }
    }

    fn with<'a>(&'a self, result: &'a str) -> impl Iterator<Item = &'a Value> {
        self.findings.iter().filter(move |finding| finding["result"] == result && finding["check"] != "summary")
    }

    /// The first finding of this kind, with its remedy.
    #[track_caller]
    fn first(&self, result: &str) -> (String, String) {
        let found = self.with(result).next().unwrap_or_else(|| panic!("no {result}: {}", self.outcome.stdout));
        let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        (text("message"), text("remedy"))
    }

    /// The checks that were skipped.
    fn skipped(&self) -> Vec<&str> {
        self.with("skipped").map(|finding| finding["check"].as_str().expect("a check")).collect()
    }

    /// The messages of a check that went well.
    fn ok(&self, check: &str) -> String {
        let messages = self.with("ok").filter(|finding| finding["check"] == check);
        messages.map(|finding| finding["message"].as_str().expect("a message")).collect::<Vec<_>>().join("\n")
    }
}
