//! The process that does the work beside the command: prepares everything, keeps each role's credentials, ends with the
//! command. Its [`guard`](crate::agent::guard) puts another one in its place when something ends it; that one goes on with what
//! this one has left.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::agent::context::AgentContext;
use crate::agent::deliveries::Deliveries;
use crate::agent::holdings::Holdings;
use crate::agent::readiness::{Readiness, ReadinessListener};
use crate::agent::refresher::{Issued, Refresher};
use crate::agent::status::{self, RoleStatus, StatusBoard};
use crate::agent::survey::Region;
use crate::agent::waiting;
use crate::config::delivery;
use crate::config::direction::{self, Direction};
use crate::config::options::Options;
use crate::config::settings::{OnFailure, Settings};
use crate::config::template::placeholder;
use crate::config::to_aws::{self, ToAwsConfig};
use crate::config::to_google::ToGoogleConfig;
use crate::error::{Error, Kind, Result};
use crate::federation::aws_to_google::AwsToGoogle;
use crate::federation::google_to_aws::{self, Attributes, GoogleToAws};
use crate::federation::token_cache::TokenCache;
use crate::model::credentials::Principal;
use crate::model::request::TokenRequest;
use crate::system::log::{Severity, timestamp};
use crate::system::private_file;
use crate::system::process::{self, Followed, GuardLine, GuardPost};
use crate::system::world::{self, World};
use crate::timing::schedule;

/// How long a write that is under way may outlast the command.
const LAST_WRITE: Duration = Duration::from_millis(50);
/// How long it may take to put back what had to give way.
const LAST_EDIT: Duration = Duration::from_secs(1);
/// How long answers that are under way may take once there is no guard.
const LAST_ANSWERS: Duration = Duration::from_millis(20);

/// How an agent's work ended.
pub enum Ending {
    /// There is nothing left to do: its exit code.
    Left(u8),
    /// The guard has ended, and this process has let go of everything: it can be the guard.
    GuardLost,
}

/// Works until the command ends, or who is followed, or until there is nothing left to do. `has_reported`: whoever
/// waited for readiness knows it from an agent before.
pub fn run(context: &AgentContext<'_>, post: &mut GuardPost, has_reported: bool, line: GuardLine) -> Ending {
    let AgentContext { world, settings, .. } = context;
    if has_reported {
        world::serve_from_now_on();
    }
    let listener = match post.readiness.take() {
        _ if has_reported => None,
        Some(readiness) => Some(ReadinessListener::Parent(readiness)),
        None => Some(ReadinessListener::Stdout),
    };
    let line = Rc::new(line);
    let readiness = Rc::new(Readiness::of(listener, post.command.is_none(), line.clone()));
    let prepared = if post.command.is_none() { prepare_alone(context).map(Some) } else { Ok(None) };
    let ending = prepared.and_then(|alone| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // That many sockets are never ready at once, and the list of them is wiped in the end.
            .max_io_events_per_tick(128)
            // The thread that wrote the file is not needed again for half an hour.
            .thread_keep_alive(Duration::from_millis(10))
            .build()
            .map_err(|error| Error::new(Kind::Fatal, "start", "", world::plain(&error)))?;
        let end = async {
            match (alone, &post.command) {
                (Some((signals, Some(followed))), _) => tokio::select! {
                    () = signals.received() => {}
                    () = process::follow(followed, world::read_file) => {}
                },
                (Some((signals, None)), _) => signals.received().await,
                (None, Some(command)) => command.ended().await,
                (None, None) => std::future::pending().await,
            }
        };
        let lost = async {
            line.guard_ended().await;
            // Before that, somebody still waits for this one.
            readiness.until_reported().await;
            world.sleep(LAST_ANSWERS).await;
        };
        let agent = Agent {
            world: world.clone(),
            settings: settings.clone(),
            holdings: context.holdings.clone(),
            board: Rc::default(),
            readiness: readiness.clone(),
            started: world.monotonic(),
            first: RefCell::default(),
        };
        private_file::leave_held(false);
        let mut ending = Ending::Left(0);
        {
            let working = pin!(agent.work(context.options));
            tokio::task::LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    biased;
                    () = end => agent.put_back().await,
                    () = lost => {
                        // What the command was told of stays where it is.
                        private_file::leave_held(true);
                        ending = Ending::GuardLost;
                    }
                    () = working => {}
                }
            });
        }
        // A file that is being written is written to its end, unless the disk hangs.
        runtime.shutdown_timeout(LAST_WRITE);
        Ok(ending)
    });
    private_file::abandon();
    match ending {
        Ok(Ending::GuardLost) => Ending::GuardLost,
        Ok(Ending::Left(_)) => {
            line.wake_guard();
            Ending::Left(readiness.failed().unwrap_or(0))
        }
        Err(error) => {
            let code = error.exit_code_of_subcommand();
            readiness.fail(error, world, settings);
            Ending::Left(code)
        }
    }
}

/// What ends an agent without a command: signals, and perhaps the end of a process that it follows.
fn prepare_alone(context: &AgentContext<'_>) -> Result<(process::Termination, Option<Followed>)> {
    let AgentContext { world, options, .. } = context;
    let followed = options.value(world, "follow-pid");
    let followed = followed.map(|given| Followed::parse(given.raw(), &world.working_directory)).transpose()?;
    if let Some(file) = options.value(world, "log-file").map(|given| given.file(world)) {
        process::log_to(&file.to_write()?).map_err(|error| {
            Error::usage(format!("{} cannot be opened: {}", file.origin_and_path(), world::plain(&error)))
        })?;
    }
    Ok((process::take_termination_signals()?, followed))
}

struct Agent {
    world: Rc<World>,
    settings: Rc<Settings>,
    holdings: Rc<Holdings>,
    board: Rc<StatusBoard>,
    readiness: Rc<Readiness>,
    started: Instant,
    /// The first role's places.
    first: RefCell<Option<Rc<Deliveries>>>,
}

impl Agent {
    /// Puts back what had to give way, once there is nobody left for whom it had to.
    async fn put_back(&self) {
        let first = self.first.borrow().clone();
        // Where there is another agent, that one does it at its end.
        if let Some(first) = first.filter(|first| first.has_aside() && !self.holdings.has_neighbour(&self.world)) {
            let _ = tokio::time::timeout(LAST_EDIT, first.put_back()).await;
        }
    }

    async fn work(&self, options: &Options) {
        let deadline = self.world.deadline(self.settings.timeout);
        if let Some(listener) = self.holdings.status() {
            tokio::task::spawn_local(status::answer(listener, self.board.clone(), self.world.clone()));
        }
        if !self.readiness.has_reported() {
            let (readiness, world, settings) = (self.readiness.clone(), self.world.clone(), self.settings.clone());
            tokio::task::spawn_local(waiting::tell(readiness, world, settings));
        }
        let way = direction::of(options, &self.world);
        if let Ok(way) = way {
            self.settings.set_direction(way.described(options, &self.world));
        }
        let worked = match way {
            Ok(Direction::GoogleToAws) => self.to_aws(options, deadline).await,
            Ok(Direction::AwsToGoogle) => self.to_google(options, deadline).await,
            Err(error) => Err(error),
        };
        if let Err(error) = worked {
            self.readiness.give_up(error, &self.world, &self.settings);
        }
    }

    async fn to_aws(&self, options: &Options, deadline: Instant) -> Result<()> {
        self.board.name(0, None, role_to_be(String::new()));
        let (config, mut deliveries) = match self.prepare(options, deadline).await {
            Ok(prepared) => prepared,
            Err(error) => self.prepare_later(options, error).await?,
        };
        self.keep_all(&config, &mut deliveries, deadline).await
    }

    /// Keeps each role's credentials in a task of its own, until there is nothing more to do.
    async fn keep_all(&self, config: &ToAwsConfig, deliveries: &mut Rc<Deliveries>, deadline: Instant) -> Result<()> {
        let further = match Rc::get_mut(deliveries) {
            Some(deliveries) => deliveries.add_roles(config, &self.world)?,
            None => Vec::new(),
        };
        self.first.replace(Some(deliveries.clone()));
        self.give(deliveries);
        let takes_over = self.readiness.has_reported();
        self.readiness.wait_for(config.roles.iter().filter(|role| role.required).count());
        let mut refreshers = JoinSet::new();
        let all = std::iter::once(deliveries.clone()).chain(further.into_iter().map(Rc::new));
        for (number, (role, own)) in config.roles.iter().zip(all).enumerate() {
            self.board.name(number, role.profile.clone(), role_to_be(role.role_arn.expand(placeholder)));
            let refresher = Refresher {
                number,
                profile: role.profile.clone(),
                readiness: (role.required && !takes_over).then(|| self.readiness.clone()),
                deliveries: own,
                current: self.handed_over(number),
                refresh: config.refresh && !config.delivery.is_only_environment(),
                ..self.refresher(deliveries)
            };
            let way = GoogleToAws::new(config, role, self.world.clone(), &self.settings.log)?;
            refreshers.spawn_local(refresher.keep(Rc::new(way), deadline));
        }
        self.wait_for_refreshers(refreshers, config.delivery.has_server()).await;
        Ok(())
    }

    /// Keeps the usual access token, and what is made for clients that ask.
    async fn to_google(&self, options: &Options, deadline: Instant) -> Result<()> {
        let config = ToGoogleConfig::resolve(options, &self.world, false)?;
        let request = TokenRequest::AccessToken(config.exchange.scopes.clone());
        self.board.name(0, None, Principal::Google(config.exchange.principal()));
        let serves = config.delivery.metadata_port.is_some();
        let mint = AwsToGoogle::new(config.exchange.clone(), self.world.clone(), self.settings.log);
        let tokens = Rc::new(TokenCache::new(self.world.clone(), self.settings.log, Rc::new(mint), request));
        tokens.take_over(self.holdings.handover().clone());
        let (world, settings) = (&self.world, &self.settings);
        let deliveries = Deliveries::for_google(&config, tokens.clone(), world, settings, &self.board, &self.holdings)?;
        let deliveries = Rc::new(deliveries);
        self.give(&deliveries);
        process::leave_directory();
        let refresher = Refresher {
            readiness: (!self.readiness.has_reported()).then(|| self.readiness.clone()),
            refresh: config.refresh,
            current: self.handed_over(0),
            ..self.refresher(&deliveries)
        };
        let mut refreshers = JoinSet::new();
        refreshers.spawn_local(refresher.keep(tokens, deadline));
        self.wait_for_refreshers(refreshers, serves).await;
        Ok(())
    }

    /// Has whoever may ask learn what the command was given by the `first` role's places.
    fn give(&self, first: &Rc<Deliveries>) {
        // The places have the board in them, and let go of their files with the agent.
        let (readiness, first) = (self.readiness.clone(), Rc::downgrade(first));
        self.board.set_environment_source(move || {
            first.upgrade().filter(|_| readiness.has_reported()).map(|first| readiness.environment(&first))
        });
    }

    /// What the agent before this one left of role `number`, while it is good.
    fn handed_over(&self, number: usize) -> Option<Issued> {
        Issued::from_handover(self.holdings.handover(), number).filter(|issued| issued.is_good(self.world.now()))
    }

    /// The refresher of what goes to `deliveries`, for the first role.
    fn refresher(&self, deliveries: &Rc<Deliveries>) -> Refresher {
        Refresher {
            world: self.world.clone(),
            settings: self.settings.clone(),
            board: self.board.clone(),
            number: 0,
            profile: None,
            readiness: None,
            first: deliveries.clone(),
            deliveries: deliveries.clone(),
            started: self.started,
            refresh: true,
            takes_over: self.readiness.has_reported(),
            handover: self.holdings.handover().clone(),
            line: self.readiness.line(),
            failures: 0,
            current: None,
            undelivered: None,
        }
    }

    /// Comes back when the refreshers have, unless a server is to answer for longer, or when the command does not start.
    async fn wait_for_refreshers(&self, mut refreshers: JoinSet<()>, serves: bool) {
        while refreshers.join_next().await.is_some() {
            if self.readiness.failed().is_some() {
                return;
            }
        }
        if serves {
            std::future::pending::<()>().await;
        }
    }

    /// Everything that is fixed for the agent's life.
    async fn prepare(&self, options: &Options, deadline: Instant) -> Result<(ToAwsConfig, Rc<Deliveries>)> {
        let config = self.configure(options, Some(deadline)).await?;
        let arn = config.roles.first().and_then(|role| role.role_arn.literal());
        let (world, settings) = (&self.world, &self.settings);
        let region = Region { name: config.region(), is_said: config.region.is_some() };
        let deliveries = Deliveries::open(&config.delivery, region, arn, world, settings, &self.board, &self.holdings)?;
        process::leave_directory();
        Ok((config, Rc::new(deliveries)))
    }

    /// Metadata attributes are read once: an agent that takes over means the same as the one before.
    async fn configure(&self, options: &Options, deadline: Option<Instant>) -> Result<ToAwsConfig> {
        let handover = self.holdings.handover();
        let left = handover.get("attributes").and_then(|json| serde_json::from_value(json).ok());
        let attributes = Attributes::from(left);
        let config = google_to_aws::configure(options, &self.world, deadline, &attributes).await?;
        // Most ask for none.
        if let Some(attributes) = attributes.into_inner()
            && let Ok(json) = serde_json::to_value(attributes)
        {
            handover.set("attributes", json);
        }
        Ok(config)
    }

    /// With `--on-failure run` and a role that could not be read yet, the command starts, and what it will look for
    /// is prepared all the same.
    ///
    /// # Errors
    /// Where there is nothing to wait for.
    async fn prepare_later(&self, options: &Options, error: Error) -> Result<(ToAwsConfig, Rc<Deliveries>)> {
        if self.readiness.has_reported() || self.settings.on_failure == OnFailure::Exit || !error.is_retryable() {
            return Err(error);
        }
        let config = delivery::delivery(options, &self.world)?;
        let is_said = options.value(&self.world, "region").is_some();
        let region = Region { name: to_aws::region(options, &self.world), is_said };
        let (world, settings) = (&self.world, &self.settings);
        let deliveries = Deliveries::open(&config, region, None, world, settings, &self.board, &self.holdings)?;
        let deliveries = Rc::new(deliveries);
        self.readiness.start_without(error, &self.world, &self.settings, &deliveries, &deliveries).await;
        // Whoever adds roles to the places has them alone.
        let environment = self.readiness.environment(&deliveries);
        self.board.set_environment_source(move || Some(environment.clone()));
        let mut failures: u32 = 1;
        let mut wait = schedule::retry_after(failures, self.world.now(), None, self.world.random());
        loop {
            self.world.wait(wait).await;
            let error = match self.configure(options, None).await {
                Ok(config) => return Ok((config, deliveries)),
                Err(error) => error,
            };
            failures = failures.saturating_add(1);
            let now = self.world.now();
            wait = schedule::retry_after(failures, now, None, self.world.random());
            let next_try = world::later(now, wait);
            let more = [("next_try", timestamp(next_try)), ("failures", failures.to_string())];
            self.settings.log.error(now, Severity::Error, &error, &more);
            let change = |state: &mut RoleStatus| {
                state.failures = failures;
                state.next_refresh = Some(next_try);
                state.last_error = error.to_string();
            };
            self.board.change(0, change);
        }
    }
}

/// A role whose session has no name yet.
fn role_to_be(arn: String) -> Principal {
    Principal::Role { arn, session_name: String::new() }
}
