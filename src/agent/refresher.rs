//! One role's credentials: issue, deliver, sleep.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::agent::deliveries::Deliveries;
use crate::agent::readiness::Readiness;
use crate::agent::status::{RoleStatus, StatusBoard};
use crate::config::settings::{OnFailure, Settings};
use crate::error::{Error, Result};
use crate::federation::CredentialsIssuer;
use crate::model::credentials::{Content, Credentials, Keys, RefreshFailure};
use crate::model::credentials_json;
use crate::system::handover::Handover;
use crate::system::log::{Severity, timestamp};
use crate::system::process::{AgentNews, GuardLine};
use crate::system::world::{self, World};
use crate::timing::{retry, schedule};

/// How much of the boot's time is kept, half of it for the wait and half for the try, at its end.
const BEFORE_DEADLINE: Duration = Duration::from_secs(1);
/// How long a try may take at least.
const SHORTEST_TRY: Duration = Duration::from_secs(1);

/// A try that took so much longer than it may was not running: the agent was frozen.
const FROZEN: Duration = Duration::from_secs(5);
/// How long a try may take where clients have nothing: each of its steps has a limit of its own.
const LONGEST_TRY: Duration = Duration::from_secs(30);

/// Keeps one role's credentials fresh.
pub struct Refresher {
    /// Clock and chance.
    pub world: Rc<World>,
    /// How to fail and to log.
    pub settings: Rc<Settings>,
    /// Where its state is shown, under its number.
    pub board: Rc<StatusBoard>,
    /// See there.
    pub number: usize,
    /// The profile of a further role.
    pub profile: Option<String>,
    /// Who is told once, if the command waits for this role.
    pub readiness: Option<Rc<Readiness>>,
    /// The first role's places, which make the command's environment.
    pub first: Rc<Deliveries>,
    /// This role's places.
    pub deliveries: Rc<Deliveries>,
    /// When the agent started.
    pub started: Instant,
    /// Whether to go on after the first time.
    pub refresh: bool,
    /// Whether an agent before this one has done the first time.
    pub takes_over: bool,
    /// What is left to the next agent.
    pub handover: Rc<Handover>,
    /// The line to the guard.
    pub line: Rc<GuardLine>,
    /// Failures in a row.
    pub failures: u32,
    /// What clients have now.
    pub current: Option<Issued>,
    /// What could not be delivered everywhere.
    pub undelivered: Option<Issued>,
}

/// Credentials with the times that matter.
pub struct Issued {
    credentials: Credentials,
    at: SystemTime,
    refresh: SystemTime,
}

impl Issued {
    /// What an agent left of role `number`.
    pub fn from_handover(handover: &Handover, number: usize) -> Option<Self> {
        let json = handover.get(&handover_key(number))?;
        let (at, credentials) = credentials_json::decode(json.as_object()?)?;
        let refresh = world::time_at(json.get("Refresh")?.as_u64()?)?;
        Some(Self { credentials, at, refresh })
    }

    fn write_handover(&self, handover: &Handover, number: usize) {
        let mut json = credentials_json::encode(self.at, &self.credentials);
        let refresh = self.refresh.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_secs());
        json.insert("Refresh".into(), refresh.into());
        handover.set(&handover_key(number), json.into());
    }

    /// Whether clients can use it at `now`, which is not before it was issued.
    pub fn is_good(&self, now: SystemTime) -> bool {
        self.at <= now && now < self.credentials.expiration
    }
}

fn handover_key(number: usize) -> String {
    format!("role-{number}")
}

impl Refresher {
    /// Comes back when there is nothing more to do: after the first time without refresh, or after a failure that
    /// keeps the command from starting.
    pub async fn keep(mut self, federation: Rc<dyn CredentialsIssuer>, deadline: Instant) {
        let mut boot = self.readiness.is_some().then_some(deadline);
        let mut last: Option<Error> = None;
        if self.takes_over {
            match self.current.take() {
                Some(issued) => self.take_over(issued).await,
                None if !self.refresh => return,
                None => {}
            }
            if !self.refresh && self.undelivered.is_none() {
                return;
            }
        }
        loop {
            let patience = self.patience();
            let deadline = boot.or_else(|| patience.map(|patience| self.world.deadline(patience)));
            let longest = patience.unwrap_or(LONGEST_TRY).saturating_add(FROZEN);
            let thaw = world::later(self.world.now(), longest);
            let wait = match (self.issue_and_deliver(&*federation, deadline).await, boot) {
                (Ok(issued), _) => {
                    boot = None;
                    let wait = issued.refresh.duration_since(self.world.now()).unwrap_or_default();
                    let is_first = self.current.is_none();
                    self.announce(issued);
                    if is_first {
                        self.board.set_directory(self.first.credentials_file());
                    } else {
                        self.board.look_again().await;
                    }
                    if !self.refresh {
                        return;
                    }
                    wait
                }
                (Err(error), Some(deadline)) => {
                    self.failures = self.failures.saturating_add(1);
                    let left = deadline.duration_since(self.world.monotonic());
                    if error.is_retryable() && left > retry::LAST_TRY {
                        self.complain_at_boot(&error);
                        last = Some(error);
                        // The whole time is used, and a last try has some of it.
                        let longest = left.saturating_sub(left.min(BEFORE_DEADLINE).mul_f64(0.5));
                        retry::BOOT.delay(self.failures, self.world.random()).min(longest)
                    } else {
                        boot = None;
                        // A try that the deadline cut short says less than the one before it.
                        let error = last.take().filter(|_| left.is_zero()).unwrap_or(error);
                        let elapsed = self.started.elapsed();
                        let error = Error { tries: Some((self.failures, elapsed)), ..error };
                        let Some(readiness) = self.readiness.take() else { return };
                        if self.settings.on_failure == OnFailure::Exit {
                            return readiness.give_up(error, &self.world, &self.settings);
                        }
                        self.failures = 1;
                        let wait = retry::REFRESH.delay(self.failures, self.world.random());
                        self.publish_failure(&error, wait).await;
                        readiness
                            .start_without(error, &self.world, &self.settings, &self.first, &self.deliveries)
                            .await;
                        wait
                    }
                }
                (Err(error), None) => {
                    self.failures = self.failures.saturating_add(1);
                    // What failed because it was frozen says nothing of what a try does now.
                    self.complain(&error, self.world.now() > thaw).await
                }
            };
            self.world.wait_and(wait, async || self.redeliver().await).await;
        }
    }

    /// Goes on with what the agent before this one had.
    async fn take_over(&mut self, issued: Issued) {
        if self.deliveries.deliver(Some(&issued.credentials)).await.is_err() {
            self.undelivered = Some(issued);
            return;
        }
        let wait = issued.refresh.duration_since(self.world.now()).unwrap_or_default();
        self.show(&issued);
        self.current = Some(issued);
        self.line.tell(AgentNews::HasDelivered);
        if self.refresh {
            self.world.wait_and(wait, async || self.redeliver().await).await;
        }
    }

    /// One turn. Credentials that only could not be written are not thrown away, unless they are due anyway.
    async fn issue_and_deliver(
        &mut self,
        federation: &dyn CredentialsIssuer,
        deadline: Option<Instant>,
    ) -> Result<Issued> {
        let issued = match self.undelivered.take().filter(|issued| self.world.now() < issued.refresh) {
            Some(issued) => issued,
            None => self.schedule(federation.issue(deadline).await?),
        };
        match self.deliveries.deliver(Some(&issued.credentials)).await {
            Ok(()) => Ok(issued),
            Err(error) => {
                self.undelivered = Some(issued);
                Err(error)
            }
        }
    }

    /// How long one try may take while clients have something: a service that hangs must leave time for others.
    fn patience(&self) -> Option<Duration> {
        let left = self.current.as_ref()?.credentials.expiration.duration_since(self.world.now()).ok()?;
        Some(left.mul_f64(0.25).max(SHORTEST_TRY))
    }

    /// Puts back what others have removed.
    async fn redeliver(&self) {
        let Some(Issued { credentials, .. }) = &self.current else { return };
        if self.deliveries.are_intact().await {
            return;
        }
        let message = "what was delivered has been removed or replaced: it is put back";
        self.settings.log.event(self.world.now(), Severity::Warning, message, &[]);
        // That it fails is told when there is something new to deliver.
        let _ = self.deliveries.deliver(Some(credentials)).await;
        self.board.look_again().await;
    }

    fn schedule(&self, credentials: Credentials) -> Issued {
        let at = self.world.now();
        let wait = schedule::refresh_after(at, credentials.expiration, self.world.random());
        let refresh = world::later(at, wait);
        Issued { credentials, at, refresh }
    }

    /// Tells the log, the board, and the first time whoever waits.
    fn announce(&mut self, issued: Issued) {
        let Issued { credentials, refresh, .. } = &issued;
        let now = self.world.now();
        let key_id = credentials.keys().map(Keys::shown_id).unwrap_or_default();
        let mut fields = Vec::new();
        fields.extend(self.profile.clone().map(|profile| ("profile", profile)));
        fields.extend(credentials.principal.fields());
        if !credentials.identity.is_empty() {
            fields.push(("identity", credentials.identity.clone()));
        }
        if !key_id.is_empty() {
            fields.push(("access_key_id", key_id));
        }
        fields.push(("expiration", timestamp(credentials.expiration)));
        if self.refresh {
            fields.push(("next_refresh", timestamp(*refresh)));
        }
        if self.failures > 0 {
            fields.push(("failures", self.failures.to_string()));
        }
        let first = self.current.is_none();
        if first {
            fields.push(("elapsed_ms", self.started.elapsed().as_millis().to_string()));
            fields.push(("direction", self.settings.direction()));
        }
        let what = match &credentials.content {
            Content::Keys(_) => "AWS credentials are",
            Content::WebIdentityToken(_) => "a web identity token for AWS is",
            Content::GoogleToken(_) => "Google credentials are",
        };
        let how = match (first, self.refresh) {
            (true, true) => "ready",
            (true, false) => "ready; they are not refreshed",
            _ => "refreshed",
        };
        self.settings.log.event(now, Severity::Info, &format!("{what} {how}"), &fields);
        if credentials.expiration <= now {
            let message = "credentials had expired when they came; is this machine's clock right?";
            self.settings.log.event(now, Severity::Warning, message, &fields);
        }
        self.failures = 0;
        self.show(&issued);
        issued.write_handover(&self.handover, self.number);
        self.current = Some(issued);
        match self.readiness.take() {
            Some(readiness) => readiness.one_is_ready(&self.first, &self.world, &self.settings),
            None => self.line.tell(AgentNews::HasDelivered),
        }
    }

    /// Shows probes what clients have now.
    fn show(&self, issued: &Issued) {
        let Issued { credentials, at, refresh } = issued;
        self.board.change(self.number, |state: &mut RoleStatus| {
            state.principal = Some(credentials.principal.clone());
            state.identity.clone_from(&credentials.identity);
            state.access_key_id = credentials.keys().map(Keys::shown_id).unwrap_or_default();
            state.expiration = Some(credentials.expiration);
            state.last_refresh = Some(*at);
            state.next_refresh = self.refresh.then_some(*refresh);
            state.failures = 0;
            state.last_error.clear();
        });
    }

    /// One line says why the command does not start yet; the last error says the rest.
    fn complain_at_boot(&self, error: &Error) {
        let severity = if self.failures == 1 { Severity::Warning } else { Severity::Debug };
        let now = self.world.now();
        let left = self.settings.timeout.saturating_sub(self.started.elapsed());
        let more = [
            ("consequence", format!("trying again until {}", timestamp(world::later(now, left)))),
            ("direction", self.settings.direction()),
        ];
        self.settings.log.error(now, severity, error, &more);
    }

    /// Logs a failed refresh and says how long to wait.
    async fn complain(&self, error: &Error, at_once: bool) -> Duration {
        let now = self.world.now();
        let expiration = self.current.as_ref().map(|issued| issued.credentials.expiration);
        let wait = schedule::retry_after(self.failures, now, expiration, self.world.random());
        let wait = if at_once { Duration::ZERO } else { wait };
        let mut more = vec![("next_try", timestamp(world::later(now, wait))), ("failures", self.failures.to_string())];
        more.extend(self.profile.clone().map(|profile| ("profile", profile)));
        let severity = match &self.current {
            Some(Issued { credentials, at, .. }) => {
                more.push(("expiration", timestamp(credentials.expiration)));
                schedule::severity(now, *at, credentials.expiration)
            }
            None => Severity::Error,
        };
        self.settings.log.error(now, severity, error, &more);
        self.publish_failure(error, wait).await;
        wait
    }

    /// Leaves word of a failure for clients and probes.
    async fn publish_failure(&self, error: &Error, wait: Duration) {
        let now = self.world.now();
        let failure = RefreshFailure {
            at: now,
            next_try: world::later(now, wait),
            failures: self.failures,
            error: error.to_string(),
        };
        self.deliveries.fail(&failure).await;
        let change = |state: &mut RoleStatus| {
            state.failures = self.failures;
            state.next_refresh = Some(failure.next_try);
            state.last_error = failure.error;
        };
        self.board.change(self.number, change);
    }
}
