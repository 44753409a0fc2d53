//! The one error type: what was tried, what came back, what to do, and by which reason of the table.

pub mod message;
pub mod reason;
pub mod reasons;

use std::time::Duration;

pub use crate::error::reason::Reason;

/// How fedboot goes on after an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The same request may succeed later: try again with backoff.
    Transient,
    /// The proof was refused: worth one more try with a new one, no more.
    RefusedProof,
    /// Trying again cannot help until somebody changes something.
    Fatal,
    /// What was typed or set cannot be understood.
    Usage,
    /// The command exists but cannot be executed.
    NotExecutable,
    /// There is no such command.
    NotFound,
}

/// What stands ready to be pasted somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paste {
    /// A statement of a policy, in JSON.
    Policy(String),
    /// A command line for a shell.
    Command(String),
}

/// An error, of which [`message`] makes what is read. It never holds a secret.
#[derive(Clone, Debug)]
pub struct Error {
    /// How to go on.
    pub kind: Kind,
    /// The row of the table of reasons.
    pub reason: &'static Reason,
    /// What was tried, as in "cannot …".
    pub step: String,
    /// The URL, file or option it was tried on; empty where the step says it all.
    pub address: String,
    /// What is wrong: the reason's own words for it, else what came back.
    pub problem: String,
    /// What came back, where the problem is said in other words: a phrase that follows the address.
    pub answer: String,
    /// What to do about it; empty where the problem says it all.
    pub advice: String,
    /// What the advice wants pasted.
    pub paste: Option<Paste>,
    /// Who asked, and where that identity was found; empty where it matters not.
    pub identity: String,
    /// The request id under which the service knows the failed request.
    pub request_id: Option<String>,
    /// How often it was tried and for how long, where more than once.
    pub tries: Option<(u32, Duration)>,
}

/// What every fallible function of fedboot returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind` in `step` (a phrase that follows "cannot").
    pub fn new(kind: Kind, step: impl Into<String>, address: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            kind,
            reason: if kind == Kind::Usage { &reasons::USAGE } else { &reasons::UNFORESEEN },
            step: step.into(),
            address: address.into(),
            problem: problem.into(),
            answer: String::new(),
            advice: String::new(),
            paste: None,
            identity: String::new(),
            request_id: None,
            tries: None,
        }
    }

    /// A mistake in what was typed or set: the sentence is `problem` alone.
    pub fn usage(problem: impl Into<String>) -> Self {
        Self::new(Kind::Usage, "", "", problem)
    }

    /// Whether this is its reason.
    pub fn is(&self, reason: &Reason) -> bool {
        self.reason.code == reason.code
    }

    /// Files it under `reason`, whose words stay what they are.
    #[must_use]
    pub fn reason(self, reason: &'static Reason) -> Self {
        Self { reason, ..self }
    }

    /// Says it in the words of `reason`, with these `values` for its placeholders: what is wrong, where the reason has words
    /// for that, and what to do. What came back stays, whoever has found words for it before.
    #[must_use]
    pub fn because(self, reason: &'static Reason, values: &[(&str, &str)]) -> Self {
        let error = match reason.cause(values) {
            cause if cause.is_empty() => self,
            cause if self.answer.is_empty() => Self { answer: self.problem, problem: cause, ..self },
            cause => Self { problem: cause, ..self },
        };
        Self { reason, advice: reason.remedy(values), ..error }
    }

    /// Adds what the user should do.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// Adds what the advice wants pasted.
    #[must_use]
    pub fn paste(self, paste: Paste) -> Self {
        Self { paste: Some(paste), ..self }
    }

    /// Adds who asked.
    #[must_use]
    pub fn acting_as(self, identity: &str) -> Self {
        Self { identity: identity.into(), ..self }
    }

    /// Adds the service's request id.
    #[must_use]
    pub fn request_id(mut self, id: Option<String>) -> Self {
        self.request_id = id;
        self
    }

    /// Adds advice where there is none yet.
    #[must_use]
    pub fn or_advice(self, advice: &str) -> Self {
        if self.advice.is_empty() { self.advice(advice) } else { self }
    }

    /// The same once a second proof was of no help either: then nothing helps until somebody changes something.
    #[must_use]
    pub fn into_fatal(self) -> Self {
        let kind = if self.kind == Kind::RefusedProof { Kind::Fatal } else { self.kind };
        Self { kind, ..self }
    }

    /// Whether waiting and trying again can help.
    pub fn is_retryable(&self) -> bool {
        self.kind == Kind::Transient
    }

    /// The exit code of a subcommand.
    pub fn exit_code_of_subcommand(&self) -> u8 {
        if self.kind == Kind::Usage { 2 } else { 1 }
    }

    /// The exit code of a wrapper, by the convention of env(1), nice(1) and timeout(1).
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::NotFound => 127,
            Kind::NotExecutable => 126,
            _ => 125,
        }
    }
}

impl std::error::Error for Error {}
