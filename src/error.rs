//! The one error type: what was tried, on what, what came back, and what to do.

use std::fmt;
use std::time::Duration;

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

/// An error that reads as one line. It never holds a secret.
#[derive(Clone, Debug)]
pub struct Error {
    /// How to go on.
    pub kind: Kind,
    /// What was tried, as in "cannot …".
    pub step: String,
    /// The URL, file or option it was tried on; empty where the step says it all.
    pub address: String,
    /// What came back.
    pub problem: String,
    /// What to do about it; empty where the problem says it all.
    pub advice: String,
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
            step: step.into(),
            address: address.into(),
            problem: problem.into(),
            advice: String::new(),
            request_id: None,
            tries: None,
        }
    }

    /// A mistake in what was typed or set: the sentence is `problem` alone.
    pub fn usage(problem: impl Into<String>) -> Self {
        Self::new(Kind::Usage, "", "", problem)
    }

    /// Adds what the user should do.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.step.is_empty() {
            write!(f, "cannot {}: ", self.step)?;
        }
        if !self.address.is_empty() {
            write!(f, "{} ", self.address)?;
        }
        f.write_str(&self.problem)?;
        if let Some(id) = &self.request_id {
            write!(f, " (request id {id})")?;
        }
        if let Some((attempts, elapsed)) = self.tries.filter(|(attempts, _)| *attempts > 1) {
            write!(f, " (tried {attempts} times in {:.1} s)", elapsed.as_secs_f64())?;
        }
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
