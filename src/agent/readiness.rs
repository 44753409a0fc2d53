//! The agent's first word, to whoever waits for it: the command may start, or why it may not.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;

use crate::agent::deliveries::Deliveries;
use crate::agent::readiness_message::ReadinessMessage;
use crate::config::settings::{OnFailure, Settings};
use crate::error::Error;
use crate::model::environment::Environment;
use crate::system::log::Severity;
use crate::system::process::{self, AgentNews, GuardLine, ReadinessWriter};
use crate::system::world::{self, World};

/// Who waits for the first word.
pub enum ReadinessListener {
    /// The process that becomes the command, or prints the word.
    Parent(ReadinessWriter),
    /// Whoever reads standard output.
    Stdout,
}

/// The one word that is said when the command may start, or why it may not.
pub struct Readiness {
    listener: RefCell<Option<ReadinessListener>>,
    /// There is no command, so the environment is printed.
    has_no_command: bool,
    /// How many roles are still waited for.
    awaited: Cell<usize>,
    /// Nothing could be delivered, so the command's environment stays as it is.
    delivers_nothing: Cell<bool>,
    /// The exit code, where the command does not start.
    failed: Cell<Option<u8>>,
    line: Rc<GuardLine>,
    changed: Notify,
}

impl ReadinessListener {
    /// Tells the listener, once.
    fn tell(self, report: ReadinessMessage, has_no_command: bool, world: &World, settings: &Settings) {
        match (self, report) {
            (Self::Parent(pipe), report) => {
                let heard = pipe.say(&report.encode());
                if has_no_command {
                    process::release_stderr();
                    // Whoever wanted it is gone, and nobody else knows that it is here.
                    if !heard {
                        process::end_yourself();
                    }
                }
            }
            (Self::Stdout, ReadinessMessage::Ready(environment)) => process::write_stdout(&environment.exports()),
            (Self::Stdout, ReadinessMessage::Failed(error)) => {
                settings.log.error(world.now(), Severity::Error.max(settings.log.least), &error, &[]);
            }
        }
    }
}

impl Readiness {
    /// One role is waited for, by this listener; without one it is said already. `has_no_command`: the environment is printed.
    pub fn of(listener: Option<ReadinessListener>, has_no_command: bool, line: Rc<GuardLine>) -> Self {
        Self {
            has_no_command,
            listener: RefCell::new(listener),
            awaited: Cell::new(1),
            delivers_nothing: Cell::new(false),
            failed: Cell::default(),
            line,
            changed: Notify::new(),
        }
    }

    /// The line to the guard.
    pub fn line(&self) -> Rc<GuardLine> {
        self.line.clone()
    }

    /// Waits until it is said.
    pub async fn until_reported(&self) {
        while !self.has_reported() {
            self.changed.notified().await;
        }
    }

    /// From now on this many roles are waited for.
    pub fn wait_for(&self, roles: usize) {
        self.awaited.set(roles);
    }

    /// The exit code, where the command does not start.
    pub fn failed(&self) -> Option<u8> {
        self.failed.get()
    }

    /// Whether it is said.
    pub fn has_reported(&self) -> bool {
        self.listener.borrow().is_none()
    }

    fn say(&self, report: ReadinessMessage, world: &World, settings: &Settings) {
        if let Some(listener) = self.listener.take() {
            let news = if matches!(report, ReadinessMessage::Failed(_)) {
                AgentNews::WillBeNothing
            } else {
                AgentNews::HasReported
            };
            listener.tell(report, self.has_no_command, world, settings);
            self.line.tell(news);
            world::serve_from_now_on();
            self.changed.notify_waiters();
        }
    }

    /// One of the roles that are waited for has its credentials, or the command starts without them.
    pub fn one_is_ready(&self, first: &Deliveries, world: &World, settings: &Settings) {
        self.awaited.set(self.awaited.get().saturating_sub(1));
        if self.awaited.get() > 0 {
            return;
        }
        self.say(ReadinessMessage::Ready(self.environment(first)), world, settings);
    }

    /// What the command is told of the `first` role's places.
    pub fn environment(&self, first: &Deliveries) -> Environment {
        let mut environment = if self.delivers_nothing.get() { Environment::default() } else { first.environment() };
        if self.has_no_command {
            environment.set("FEDBOOT_AGENT_PID", self.line.guard().to_string());
        }
        environment
    }

    /// The command starts without a role's credentials, but finds what comes later in its `deliveries`.
    pub async fn start_without(
        &self,
        error: Error,
        world: &World,
        settings: &Settings,
        first: &Deliveries,
        deliveries: &Deliveries,
    ) {
        // A further role changes nothing in the environment.
        if deliveries.deliver(None).await.is_err() && std::ptr::eq(first, deliveries) {
            self.delivers_nothing.set(true);
        }
        log_start_without(&error, world, settings);
        self.one_is_ready(first, world, settings);
    }

    /// The command does not start.
    pub fn fail(&self, error: Error, world: &World, settings: &Settings) {
        self.failed.set(Some(error.exit_code_of_subcommand()));
        self.say(ReadinessMessage::Failed(Box::new(error)), world, settings);
    }

    /// There is nothing to wait for: the command does not start, or it starts as if there were no fedboot.
    pub fn give_up(&self, error: Error, world: &World, settings: &Settings) {
        match settings.on_failure {
            // The next agent tries again.
            _ if self.has_reported() => {
                self.failed.set(Some(1));
                settings.log.error(world.now(), Severity::Error, &error, &[]);
            }
            OnFailure::Exit => self.fail(error, world, settings),
            OnFailure::Run => {
                log_start_without(&error, world, settings);
                self.say(ReadinessMessage::Ready(Environment::default()), world, settings);
            }
        }
    }
}

fn log_start_without(error: &Error, world: &World, settings: &Settings) {
    let more =
        [("consequence", "the command starts without credentials".to_owned()), ("direction", settings.direction())];
    settings.log.error(world.now(), Severity::Error, error, &more);
}
