//! Setups that people break: the first line that is a warning or worse names the cause, the remedy and the reason's code.

use super::{Event, Stage};

/// One setup, and what its first line must say.
pub struct Broken {
    pub name: &'static str,
    pub stage: Stage,
    pub options: &'static str,
    /// The reason's code; empty where a warning comes first that has none.
    pub code: &'static str,
    pub cause: Vec<&'static str>,
    pub remedy: Vec<&'static str>,
}

/// A row of a table.
pub fn row(
    name: &'static str,
    stage: Stage,
    options: &'static str,
    code: &'static str,
    cause: &[&'static str],
    remedy: &[&'static str],
) -> Broken {
    Broken { name, stage, options, code, cause: cause.into(), remedy: remedy.into() }
}

impl Broken {
    /// Boots, which fails; returns the first line that is a warning or worse.
    #[track_caller]
    pub fn check(&self) -> Event {
        let Self { name, stage, options, code, cause, remedy } = self;
        let words: Vec<&str> = options.split_whitespace().chain(["--", "touch", "ran"]).collect();
        let outcome = stage.run(words);
        assert_eq!(outcome.code(), Some(125), "{name}: {}", outcome.stderr);
        let first = outcome.events().into_iter().find(|event| event.severity() != "INFO").expect("a line");
        assert_eq!(first.field("reason"), *code, "{name}: {}", outcome.stderr);
        for part in cause {
            assert!(first.message().contains(part), "{name}: no {part:?} in the cause: {}", outcome.stderr);
        }
        let said = ["remedy", "policy", "command"].map(|field| first.field(field)).join(" ");
        for part in remedy {
            assert!(said.contains(part), "{name}: no {part:?} in the remedy: {}", outcome.stderr);
        }
        for field in ["message", "remedy", "answer"] {
            assert!(first.field(field).chars().count() <= 1000, "{name}: {field} is too long");
        }
        first
    }
}
