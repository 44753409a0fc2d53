//! The process beside the command: issue, deliver, report, sleep. The only loop.

use std::ffi::OsString;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::cli::{self, Options};
use crate::config::{self, Config, OnFailure, Settings};
use crate::delivery::place;
use crate::error::{Error, Result};
use crate::flow::{Credentials, Environment};
use crate::log::{Severity, timestamp};
use crate::process::{self, Parent};
use crate::report::Report;
use crate::retry;
use crate::route::{self, Deliveries, Route};
use crate::schedule;
use crate::world::World;

/// How long a write that is under way may outlast the command.
const LAST_WRITE: Duration = Duration::from_millis(50);
/// How much of the boot's time is kept, half of it for the wait and half for the try, at its end.
const BEFORE_DEADLINE: Duration = Duration::from_secs(1);

/// Runs the agent of the process whose id is the first of `arguments`; options follow. Comes back when that process
/// has ended, or when there is nothing left to do.
pub fn run(arguments: &[OsString]) -> u8 {
    let Some((mut parent, options)) =
        arguments.split_first().and_then(|(pid, options)| Some((Parent::adopt(pid)?, options)))
    else {
        return 125;
    };
    let world = Rc::new(World::real());
    let mut typed = Options::default();
    let settings = match cli::parse_options(options, &mut typed).and_then(|()| Settings::resolve(&typed, &world)) {
        Ok(settings) => settings,
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
    let agent =
        Agent { world, settings, parent, started, reported: false, failures: 0, current: None, undelivered: None };
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            biased;
            () = command.ended() => {}
            () = agent.work(&typed) => {}
        }
    });
    // A file that is being written is written to its end, unless the disk hangs.
    runtime.shutdown_timeout(LAST_WRITE);
    place::abandon();
    0
}

struct Agent {
    world: Rc<World>,
    settings: Settings,
    parent: Parent,
    started: Instant,
    /// Whether the parent has been told.
    reported: bool,
    /// Failures in a row.
    failures: u32,
    /// What clients have now.
    current: Option<Issued>,
    /// What could not be delivered everywhere.
    undelivered: Option<Issued>,
}

/// Credentials with the times that matter.
struct Issued {
    credentials: Credentials,
    at: SystemTime,
    refresh: SystemTime,
}

impl Agent {
    async fn work(mut self, options: &Options) {
        let deadline = self.started + self.settings.timeout;
        let prepared = match self.prepare(options, deadline).await {
            Ok(prepared) => Ok(prepared),
            Err(error) => self.prepare_later(options, error).await,
        };
        let Ok((config, deliveries)) = prepared else { return };
        let route = match Route::new(&config, self.world.clone(), &self.settings.log) {
            Ok(route) => route,
            Err(error) => return self.give_up(error, Environment::default()),
        };
        let mut boot = (!self.reported).then_some(deadline);
        let mut last: Option<Error> = None;
        loop {
            let outcome = self.issue_and_deliver(&route, &deliveries, boot).await;
            let wait = match (outcome, boot) {
                (Ok(issued), _) => {
                    self.announce(&issued, &deliveries);
                    boot = None;
                    let wait = issued.refresh.duration_since(self.world.now()).unwrap_or_default();
                    self.current = Some(issued);
                    if !config.refresh {
                        if config.delivery.endpoint {
                            std::future::pending::<()>().await;
                        }
                        return;
                    }
                    wait
                }
                (Err(error), Some(deadline)) => {
                    self.failures += 1;
                    let left = deadline.duration_since(self.world.monotonic());
                    if error.is_retryable() && left > retry::LAST_TRY {
                        self.complain_at_boot(&error);
                        last = Some(error);
                        // The whole time is used, and a last try has some of it.
                        let longest = left.saturating_sub(left.min(BEFORE_DEADLINE) / 2);
                        retry::BOOT.delay(self.failures, self.world.random()).min(longest)
                    } else {
                        boot = None;
                        // A try that the deadline cut short says less than the one before it.
                        let error = last.take().filter(|_| left.is_zero()).unwrap_or(error);
                        let elapsed = self.world.monotonic() - self.started;
                        let error = Error { tries: Some((self.failures, elapsed)), ..error };
                        if self.settings.on_failure == OnFailure::Exit {
                            return self.give_up(error, Environment::default());
                        }
                        self.go_on_without(error, &deliveries).await;
                        self.failures = 1;
                        retry::REFRESH.delay(self.failures, self.world.random())
                    }
                }
                (Err(error), None) => {
                    self.failures += 1;
                    self.complain(&error)
                }
            };
            self.world.wait(wait).await;
        }
    }

    /// One turn. Credentials that only could not be written are not thrown away, unless they are due anyway.
    async fn issue_and_deliver(
        &mut self,
        route: &Route,
        deliveries: &Deliveries,
        deadline: Option<Instant>,
    ) -> Result<Issued> {
        let issued = match self.undelivered.take().filter(|issued| self.world.now() < issued.refresh) {
            Some(issued) => issued,
            None => self.schedule(route.issue(deadline).await?),
        };
        match deliveries.deliver(Some(&issued.credentials)).await {
            Ok(()) => Ok(issued),
            Err(error) => {
                self.undelivered = Some(issued);
                Err(error)
            }
        }
    }

    /// Everything that is fixed for the agent's life.
    async fn prepare(&self, options: &Options, deadline: Instant) -> Result<(Config, Deliveries)> {
        let config = route::configure(options, &self.world, Some(deadline)).await?;
        let region = route::region(&config);
        let deliveries = Deliveries::open(&config.delivery, region, &self.world, &self.settings)?;
        process::leave_directory();
        Ok((config, deliveries))
    }

    /// With `--on-failure run` and a role that could not be read yet, the command starts, and what it will look for
    /// is prepared all the same.
    ///
    /// # Errors
    /// Where there is nothing to wait for; it has been reported.
    async fn prepare_later(
        &mut self,
        options: &Options,
        error: Error,
    ) -> std::result::Result<(Config, Deliveries), ()> {
        if self.settings.on_failure == OnFailure::Exit || !error.is_retryable() {
            self.give_up(error, Environment::default());
            return Err(());
        }
        let opened = config::delivery(options, &self.world).and_then(|choice| {
            Deliveries::open(&choice, config::region(options, &self.world), &self.world, &self.settings)
        });
        let deliveries = opened.map_err(|error| self.give_up(error, Environment::default()))?;
        self.go_on_without(error, &deliveries).await;
        loop {
            self.failures += 1;
            self.world.wait(retry::REFRESH.delay(self.failures, self.world.random())).await;
            match route::configure(options, &self.world, None).await {
                Ok(config) => return Ok((config, deliveries)),
                Err(error) => drop(self.complain(&error)),
            }
        }
    }

    /// The command starts without credentials, but finds what comes later.
    async fn go_on_without(&mut self, error: Error, deliveries: &Deliveries) {
        let environment = match deliveries.deliver(None).await {
            Ok(()) => deliveries.environment(),
            Err(_) => Environment::default(),
        };
        self.give_up(error, environment);
    }

    fn schedule(&self, credentials: Credentials) -> Issued {
        let at = self.world.now();
        let refresh = at + schedule::refresh_after(at, credentials.expiration, self.world.random());
        Issued { credentials, at, refresh }
    }

    /// Tells the log, and the first time the parent.
    fn announce(&mut self, issued: &Issued, deliveries: &Deliveries) {
        let first = !self.reported;
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
        if first {
            fields.push(("elapsed_ms", (self.world.monotonic() - self.started).as_millis().to_string()));
        }
        let message = if first { "AWS credentials are ready" } else { "AWS credentials are refreshed" };
        self.settings.log.event(self.world.now(), Severity::Info, message, &fields);
        if credentials.expiration <= self.world.now() {
            let message = "AWS credentials had expired when they came; is this machine's clock right?";
            self.settings.log.event(self.world.now(), Severity::Warning, message, &fields);
        }
        self.failures = 0;
        if first {
            self.report(&Report::Ready(deliveries.environment()));
        }
    }

    fn report(&mut self, report: &Report) {
        self.reported = true;
        self.parent.report(&report.encode());
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
        self.report(&report);
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
