//! The process beside the command: issue, deliver, report, sleep. The only loop.

use std::ffi::OsString;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::cli::{self, Options};
use crate::config::{OnFailure, Settings};
use crate::error::{Error, Result};
use crate::flow::{Credentials, Environment};
use crate::log::{Severity, timestamp};
use crate::process::{self, Parent};
use crate::report::Report;
use crate::retry;
use crate::route::{self, Deliveries, Route};
use crate::schedule;
use crate::world::World;

/// Runs the agent of the process whose id is the first of `arguments`; options follow. Comes back when that process
/// has ended, or when there is nothing left to do.
pub fn run(arguments: &[OsString]) -> u8 {
    let Some((mut parent, options)) =
        arguments.split_first().and_then(|(pid, options)| Some((Parent::adopt(pid)?, options)))
    else {
        return 125;
    };
    let world = Rc::new(World::real());
    let parsed = cli::parse_options(options).and_then(|options| Ok((Settings::resolve(&options, &world)?, options)));
    let (settings, options) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            parent.report(&Report::Failed(Box::new(error)).encode());
            return 125;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // The thread that wrote the file is not needed again for half an hour.
        .thread_keep_alive(Duration::from_millis(10))
        .build();
    let Ok(runtime) = runtime else { return 125 };
    let command = parent.watch();
    let started = world.monotonic();
    let agent = Agent { world, settings, parent, started, failures: 0, current: None };
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            biased;
            () = command.ended() => {}
            () = agent.work(&options) => {}
        }
    });
    // A thread that waits for a disk must not keep the agent alive.
    runtime.shutdown_background();
    0
}

struct Agent {
    world: Rc<World>,
    settings: Settings,
    parent: Parent,
    started: Instant,
    /// Failures in a row.
    failures: u32,
    /// What clients have now.
    current: Option<Issued>,
}

/// Credentials with the times that matter.
struct Issued {
    credentials: Credentials,
    at: SystemTime,
    refresh: SystemTime,
}

impl Agent {
    async fn work(mut self, options: &Options) {
        let prepared = self.prepare(options).await;
        let (route, deliveries, refresh, serves) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return self.give_up(error, Environment::default()),
        };
        process::leave_directory();
        let mut boot = Some(self.started + self.settings.timeout);
        let mut undelivered: Option<Issued> = None;
        loop {
            // Credentials that only could not be written are not thrown away, unless they are due anyway.
            let kept = undelivered.take().filter(|issued| self.world.now() < issued.refresh);
            let issued = match kept {
                Some(issued) => Ok(issued),
                None => route.issue(boot).await.map(|credentials| self.schedule(credentials)),
            };
            let outcome = match issued {
                Ok(issued) => match deliveries.deliver(Some(&issued.credentials)).await {
                    Ok(()) => Ok(issued),
                    Err(error) => {
                        undelivered = Some(issued);
                        Err(error)
                    }
                },
                Err(error) => Err(error),
            };
            let wait = match outcome {
                Ok(issued) => {
                    self.announce(&issued, boot.take(), deliveries.environment());
                    let wait = issued.refresh.duration_since(self.world.now()).unwrap_or_default();
                    self.current = Some(issued);
                    if !refresh {
                        if serves {
                            std::future::pending::<()>().await;
                        }
                        return;
                    }
                    wait
                }
                Err(error) => {
                    self.failures += 1;
                    match boot {
                        Some(deadline) => {
                            let wait = retry::BOOT.delay(self.failures, self.world.random());
                            if error.is_retryable() && self.world.monotonic() + wait < deadline {
                                self.complain_at_boot(&error);
                                wait
                            } else {
                                boot = None;
                                let elapsed = self.world.monotonic() - self.started;
                                let error = Error { tries: Some((self.failures, elapsed)), ..error };
                                if self.settings.on_failure == OnFailure::Exit {
                                    return self.give_up(error, Environment::default());
                                }
                                // What starts now shall find what comes later.
                                let ready = deliveries.deliver(None).await;
                                let environment =
                                    if ready.is_ok() { deliveries.environment() } else { Environment::default() };
                                self.give_up(error, environment);
                                retry::REFRESH.delay(self.failures, self.world.random())
                            }
                        }
                        None => self.complain(&error),
                    }
                }
            };
            self.world.wait(wait).await;
        }
    }

    /// Everything that is fixed for the agent's life.
    async fn prepare(&self, options: &Options) -> Result<(Route, Deliveries, bool, bool)> {
        let config = route::configure(options, &self.world).await?;
        let route = Route::new(&config, self.world.clone(), &self.settings.log)?;
        let deliveries = Deliveries::open(&config, &self.world, self.settings.log).await?;
        Ok((route, deliveries, config.refresh, config.delivery.endpoint))
    }

    fn schedule(&self, credentials: Credentials) -> Issued {
        let at = self.world.now();
        let refresh = at + schedule::refresh_after(at, credentials.expiration, self.world.random());
        Issued { credentials, at, refresh }
    }

    /// Tells the log, and the first time the parent.
    fn announce(&mut self, issued: &Issued, boot: Option<Instant>, environment: Environment) {
        let Issued { credentials, refresh, .. } = issued;
        let mut fields = vec![
            ("role", credentials.role_arn.clone()),
            ("session", credentials.role_session_name.clone()),
            ("access_key_id", credentials.access_key_id.clone()),
            ("expiration", timestamp(credentials.expiration)),
            ("next_refresh", timestamp(*refresh)),
        ];
        if self.failures > 0 {
            fields.push(("failures", self.failures.to_string()));
        }
        if boot.is_some() {
            fields.push(("elapsed_ms", (self.world.monotonic() - self.started).as_millis().to_string()));
        }
        let message = if boot.is_some() { "AWS credentials are ready" } else { "AWS credentials are refreshed" };
        self.settings.log.event(self.world.now(), Severity::Info, message, &fields);
        if credentials.expiration <= self.world.now() {
            let message = "AWS credentials had expired when they came; is this machine's clock right?";
            self.settings.log.event(self.world.now(), Severity::Warning, message, &fields);
        }
        self.failures = 0;
        if boot.is_some() {
            self.parent.report(&Report::Ready(environment).encode());
        }
    }

    /// The command does not start, or it starts without credentials.
    fn give_up(&mut self, error: Error, environment: Environment) {
        let report = match self.settings.on_failure {
            OnFailure::Exit => Report::Failed(Box::new(error)),
            OnFailure::Run => {
                let more = [("consequence", "the command starts without credentials".to_owned())];
                self.settings.log.error(self.world.now(), Severity::Error, &error, &more);
                Report::Ready(environment)
            }
        };
        self.parent.report(&report.encode());
    }

    /// One line says why the command does not start yet; the last error says the rest.
    fn complain_at_boot(&self, error: &Error) {
        let severity = if self.failures == 1 { Severity::Warning } else { Severity::Debug };
        let more = [("consequence", "trying again".to_owned())];
        self.settings.log.error(self.world.now(), severity, error, &more);
    }

    /// Logs a failed refresh and says how long to wait.
    fn complain(&self, error: &Error) -> Duration {
        let now = self.world.now();
        let wait = retry::REFRESH.delay(self.failures, self.world.random());
        let mut more = vec![("next_try", timestamp(now + wait)), ("failures", self.failures.to_string())];
        let severity = match &self.current {
            Some(Issued { credentials, at, .. }) => {
                more.push(("expiration", timestamp(credentials.expiration)));
                schedule::severity(now, *at, credentials.expiration)
            }
            None => Severity::Error,
        };
        self.settings.log.error(now, severity, error, &more);
        wait
    }
}
