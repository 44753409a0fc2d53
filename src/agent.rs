//! The process beside the command: prepares everything, keeps each role's credentials, ends with the command.

use std::ffi::OsString;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cli::{self, Options};
use crate::config::{self, Config, OnFailure, Settings};
use crate::deliveries::Deliveries;
use crate::delivery::place;
use crate::delivery_choice;
use crate::error::{Error, Result};
use crate::first_word::{FirstWord, Listener};
use crate::flow::{Principal, Wanted};
use crate::google_config::GoogleConfig;
use crate::keeper::Keeper;
use crate::log::{Severity, timestamp};
use crate::process::{self, Followed, Parent};
use crate::report::Report;
use crate::route::{self, Way};
use crate::schedule;
use crate::status::{Board, State};
use crate::template::placeholder;
use crate::to_aws::ToAws;
use crate::to_google::ToGoogle;
use crate::tokens::Tokens;
use crate::world::{self, World};

/// How long a write that is under way may outlast the command.
const LAST_WRITE: Duration = Duration::from_millis(50);

/// Runs the agent that another fedboot has started: the id of the process to follow is the first of `arguments`, or 0;
/// options follow. Comes back when that process has ended, or when there is nothing left to do.
pub fn run(arguments: &[OsString]) -> u8 {
    let Some((mut parent, flags)) = arguments.split_first().and_then(|(pid, flags)| Some((Parent::adopt(pid)?, flags)))
    else {
        return 125;
    };
    let world = Rc::new(World::real());
    let mut options = Options::default();
    let settings =
        match cli::parse_options(flags, true, &mut options).and_then(|()| Settings::resolve(&options, &world)) {
            Ok(settings) => settings,
            Err(error) => {
                parent.report(&Report::Failed(Box::new(error)).encode());
                return 125;
            }
        };
    match parent.watch() {
        Some(command) => serve(world, &options, settings, Listener::Parent(parent), command.ended()),
        None => alone(world, &options, settings, Listener::Parent(parent)),
    }
}

/// The agent of no command: until it is told to end, or a process that it was told to follow ends.
pub fn alone(world: Rc<World>, options: &Options, settings: Settings, listener: Listener) -> u8 {
    let log_file = options.value(&world, "log-file").map(|file| world.absolute(file));
    let followed = options.value(&world, "follow-pid");
    let prepared =
        followed.map(|text| Followed::parse(&text, &world.working_directory)).transpose().and_then(|followed| {
            if let Some(file) = log_file {
                process::log_to(&file).map_err(|error| {
                    Error::usage(format!("--log-file {} cannot be opened: {}", file.display(), world::plain(&error)))
                })?;
            }
            Ok((process::take_termination_signals()?, followed))
        });
    let (signals, followed) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let code = error.exit_code_of_subcommand();
            listener.tell(Report::Failed(Box::new(error)), &world, &settings);
            return code;
        }
    };
    let end = async move {
        let followed = async {
            match followed {
                Some(followed) => process::follow(followed).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = signals.received() => {}
            () = followed => {}
        }
    };
    serve(world, options, settings, listener, end)
}

fn serve(
    world: Rc<World>,
    options: &Options,
    settings: Settings,
    listener: Listener,
    end: impl Future<Output = ()>,
) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // The thread that wrote the file is not needed again for half an hour.
        .thread_keep_alive(Duration::from_millis(10))
        .build();
    let Ok(runtime) = runtime else { return 125 };
    let started = world.monotonic();
    let first_word = Rc::new(FirstWord::of(listener));
    let agent = Agent { world, settings: Rc::new(settings), board: Rc::default(), word: first_word.clone(), started };
    let agent = pin!(agent);
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            biased;
            () = end => {}
            () = agent.work(options) => {}
        }
    });
    // A file that is being written is written to its end, unless the disk hangs.
    runtime.shutdown_timeout(LAST_WRITE);
    place::abandon();
    first_word.failed().unwrap_or(0)
}

struct Agent {
    world: Rc<World>,
    settings: Rc<Settings>,
    board: Rc<Board>,
    word: Rc<FirstWord>,
    started: Instant,
}

impl Agent {
    async fn work(&self, options: &Options) {
        let deadline = self.started + self.settings.timeout;
        let worked = match route::way(options, &self.world) {
            Ok(Way::ToAws) => self.to_aws(options, deadline).await,
            Ok(Way::ToGoogle) => self.to_google(options, deadline).await,
            Err(error) => Err(error),
        };
        if let Err(error) = worked {
            self.word.give_up(error, &self.world, &self.settings);
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
    async fn keep_all(&self, config: &Config, deliveries: &mut Rc<Deliveries>, deadline: Instant) -> Result<()> {
        let further = match Rc::get_mut(deliveries) {
            Some(deliveries) => deliveries.add_roles(config, &self.world)?,
            None => Vec::new(),
        };
        let reported = self.word.is_said();
        self.word.wait_for(config.roles.iter().filter(|role| role.required).count());
        let mut keepers = JoinSet::new();
        let all = std::iter::once(deliveries.clone()).chain(further.into_iter().map(Rc::new));
        for (number, (role, own)) in config.roles.iter().zip(all).enumerate() {
            self.board.name(number, role.profile.clone(), role_to_be(role.role_arn.expand(placeholder)));
            let keeper = Keeper {
                number,
                profile: role.profile.clone(),
                word: (role.required && !reported).then(|| self.word.clone()),
                deliveries: own,
                refresh: config.refresh && !config.delivery.is_only("env"),
                ..self.keeper(deliveries)
            };
            let way = ToAws::new(config, role, self.world.clone(), &self.settings.log)?;
            keepers.spawn_local(keeper.keep(Rc::new(way), deadline));
        }
        self.stay(keepers, config.delivery.has("endpoint")).await;
        Ok(())
    }

    /// Keeps the usual access token, and what is made for clients that ask.
    async fn to_google(&self, options: &Options, deadline: Instant) -> Result<()> {
        let config = GoogleConfig::resolve(options, &self.world, false)?;
        let wanted = Wanted::AccessToken(config.asked.scopes.clone());
        self.board.name(0, None, Principal::Google(config.asked.principal()));
        let serves = config.delivery.metadata_port.is_some();
        let mint = ToGoogle::new(config.asked.clone(), self.world.clone(), self.settings.log);
        let tokens = Rc::new(Tokens::new(self.world.clone(), self.settings.log, Rc::new(mint), wanted));
        let deliveries =
            Rc::new(Deliveries::for_google(&config, tokens.clone(), &self.world, &self.settings, &self.board)?);
        process::leave_directory();
        let keeper = Keeper { word: Some(self.word.clone()), refresh: config.refresh, ..self.keeper(&deliveries) };
        let mut keepers = JoinSet::new();
        keepers.spawn_local(keeper.keep(tokens, deadline));
        self.stay(keepers, serves).await;
        Ok(())
    }

    /// The keeper of what goes to `deliveries`, for the first role.
    fn keeper(&self, deliveries: &Rc<Deliveries>) -> Keeper {
        Keeper {
            world: self.world.clone(),
            settings: self.settings.clone(),
            board: self.board.clone(),
            number: 0,
            profile: None,
            word: None,
            first: deliveries.clone(),
            deliveries: deliveries.clone(),
            started: self.started,
            refresh: true,
            failures: 0,
            current: None,
            undelivered: None,
        }
    }

    /// Comes back when the keepers have, unless a server is to answer for longer, or when the command does not start.
    async fn stay(&self, mut keepers: JoinSet<()>, serves: bool) {
        while keepers.join_next().await.is_some() {
            if self.word.failed().is_some() {
                return;
            }
        }
        if serves {
            std::future::pending::<()>().await;
        }
    }

    /// Everything that is fixed for the agent's life.
    async fn prepare(&self, options: &Options, deadline: Instant) -> Result<(Config, Rc<Deliveries>)> {
        let config = route::to_aws(options, &self.world, Some(deadline)).await?;
        let arn = config.roles[0].role_arn.literal();
        let (world, settings) = (&self.world, &self.settings);
        let deliveries = Deliveries::open(&config.delivery, &config.region(), arn, world, settings, &self.board)?;
        process::leave_directory();
        Ok((config, Rc::new(deliveries)))
    }

    /// With `--on-failure run` and a role that could not be read yet, the command starts, and what it will look for
    /// is prepared all the same.
    ///
    /// # Errors
    /// Where there is nothing to wait for.
    async fn prepare_later(&self, options: &Options, error: Error) -> Result<(Config, Rc<Deliveries>)> {
        if self.settings.on_failure == OnFailure::Exit || !error.is_retryable() {
            return Err(error);
        }
        let choice = delivery_choice::delivery(options, &self.world)?;
        let region = config::region(options, &self.world);
        let deliveries = Rc::new(Deliveries::open(&choice, &region, None, &self.world, &self.settings, &self.board)?);
        self.word.go_on_without(error, &self.world, &self.settings, &deliveries, &deliveries).await;
        let mut failures = 0;
        loop {
            failures += 1;
            let now = self.world.now();
            let wait = schedule::retry_after(failures, now, None, self.world.random());
            self.world.wait(wait).await;
            let error = match route::to_aws(options, &self.world, None).await {
                Ok(config) => return Ok((config, deliveries)),
                Err(error) => error,
            };
            let more = [("next_try", timestamp(now + wait)), ("failures", failures.to_string())];
            self.settings.log.error(self.world.now(), Severity::Error, &error, &more);
            let change = |state: &mut State| {
                state.failures = failures;
                state.last_error = error.to_string();
            };
            self.board.change(0, &self.world, deliveries.credentials_file(), change).await;
        }
    }
}

/// A role whose session has no name yet.
fn role_to_be(arn: String) -> Principal {
    Principal::Role { arn, session_name: String::new() }
}
