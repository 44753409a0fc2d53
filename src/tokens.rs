//! Tokens for Google, kept: each is made once for all who ask at the same time, and handed out as long as it is fresh.
//!
//! The usual access token is kept by the agent's loop. Others (of other scopes, for audiences) are made when somebody asks,
//! and made anew when somebody asks for one that has grown old: meanwhile an old one that is good for a while is handed out.
//!
//! An ID token is handed out only in the first twelfth of its life: Go's clients do not read its end and use it for 55
//! minutes. The last good one is better than none.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::credentials_json;
use crate::error::{Error, Kind, Result};
use crate::flow::{BoxFuture, Credentials, Issuer, Mint, TokenSource, Wanted};
use crate::holdings::Holdings;
use crate::http::Http;
use crate::log::{Log, Severity};
use crate::retry;
use crate::schedule;
use crate::world::World;

/// How long a client waits for a token that has to be made.
const PATIENCE: Duration = Duration::from_secs(8);
/// Google's clients ask again for what ends sooner than about this.
const MARGIN: Duration = Duration::from_secs(240);
/// An ID token is fresh for this part of its life.
const FRESH_PART: u32 = 12;
/// Tokens that are kept; then the one that was not asked for longest gives way.
const MOST: usize = 256;
/// How many of them are left to the next agent.
const MOST_LEFT: usize = 32;
/// Under which name.
const LEFT: &str = "tokens";
/// Exchanges at a time: an agent is not to be the one who overruns Google.
const AT_A_TIME: usize = 8;

/// The tokens of one way to Google.
#[derive(Clone)]
pub struct Tokens(Rc<Inner>);

struct Inner {
    world: Rc<World>,
    log: Log,
    mint: Rc<dyn Mint>,
    usual: Wanted,
    entries: RefCell<Vec<Rc<Entry>>>,
    holdings: RefCell<Option<Rc<Holdings>>>,
    turns: Semaphore,
}

struct Entry {
    wanted: Wanted,
    issued: RefCell<Option<(SystemTime, Rc<Credentials>)>>,
    failure: RefCell<Option<Failure>>,
    is_being_made: Cell<bool>,
    /// Whoever waits for it is woken when it is made, or could not be.
    settled: Notify,
    asked: Cell<Instant>,
}

struct Failure {
    error: Error,
    in_a_row: u32,
    next_try: SystemTime,
}

/// How a token stands.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Fresh,
    /// Good, but it is time for a new one.
    Aging,
    /// Better than none.
    Last,
    None,
}

impl Tokens {
    /// Tokens that `mint` makes; the `usual` access token is kept by whoever calls [`Issuer::issue`].
    pub fn new(world: Rc<World>, log: Log, mint: Rc<dyn Mint>, usual: Wanted) -> Self {
        let turns = Semaphore::new(AT_A_TIME);
        Self(Rc::new(Inner {
            world,
            log,
            mint,
            usual,
            entries: RefCell::default(),
            holdings: RefCell::default(),
            turns,
        }))
    }

    /// Goes on with the tokens that an agent before this one has left in `holdings`, and leaves its own there.
    pub fn take_over(&self, holdings: Rc<Holdings>) {
        let left = holdings.handover().get(LEFT).unwrap_or_default();
        for json in left.as_array().into_iter().flatten() {
            if let (Some(wanted), Some((at, credentials))) = (wanted_in(json), credentials_json::decode(json)) {
                self.0.entry(&wanted).issued.replace(Some((at, Rc::new(credentials))));
            }
        }
        self.0.holdings.replace(Some(holdings));
    }
}

impl Issuer for Tokens {
    fn issue(&self, deadline: Option<Instant>) -> BoxFuture<'_, Result<Credentials>> {
        Box::pin(async move {
            let entry = self.0.entry(&self.0.usual);
            let made = self.0.make(&entry.wanted, deadline).await;
            let made = made.map(Rc::new);
            self.0.settle(&entry, made.clone());
            made.map(|made| (*made).clone())
        })
    }
}

impl TokenSource for Tokens {
    fn token<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Result<Rc<Credentials>>> {
        Box::pin(async move {
            let entry = self.0.entry(wanted);
            let standing = entry.standing(self.0.world.now());
            // The agent's loop cares for the usual one.
            let wait = match standing {
                Standing::Fresh => false,
                _ if *wanted == self.0.usual => false,
                Standing::Aging => {
                    self.renew(&entry);
                    false
                }
                Standing::Last | Standing::None => self.renew(&entry),
            };
            if wait {
                entry.settled.notified().await;
            }
            entry.answer(self.0.world.now())
        })
    }

    fn ready(&self, wanted: &Wanted) -> Option<Rc<Credentials>> {
        let entries = self.0.entries.borrow();
        let entry = entries.iter().find(|entry| entry.wanted == *wanted)?;
        entry.asked.set(self.0.world.monotonic());
        match entry.standing(self.0.world.now()) {
            Standing::Fresh => entry.good(),
            Standing::Aging | Standing::Last if *wanted == self.0.usual => entry.good(),
            _ => None,
        }
    }
}

impl Tokens {
    /// Has a token made, unless it is being made. Says whether there is something to wait for: not when it has just
    /// failed.
    fn renew(&self, entry: &Rc<Entry>) -> bool {
        let now = self.0.world.now();
        if entry.failure.borrow().as_ref().is_some_and(|failure| now < failure.next_try) {
            return false;
        }
        if !entry.is_being_made.replace(true) {
            let (inner, entry) = (self.0.clone(), entry.clone());
            // Not in the client's own task: it may go away, and others wait for the same.
            tokio::task::spawn_local(async move {
                let deadline = inner.world.monotonic() + PATIENCE;
                let once = async || inner.make(&entry.wanted, Some(deadline)).await;
                let made = match tokio::time::timeout_at(deadline, inner.turns.acquire()).await {
                    // Who has a good one need not wait for more than one try.
                    Ok(_turn) if entry.good().is_some() => once().await,
                    Ok(_turn) => retry::until(&inner.world, deadline, once).await,
                    Err(_) => Err(Error::new(
                        Kind::Transient,
                        "make a token",
                        "",
                        format!("others are in line before it, for {} s already", PATIENCE.as_secs()),
                    )),
                };
                inner.settle(&entry, made.map(Rc::new));
                entry.is_being_made.set(false);
                entry.settled.notify_waiters();
            });
        }
        true
    }
}

impl Inner {
    async fn make(&self, wanted: &Wanted, deadline: Option<Instant>) -> Result<Credentials> {
        let http = Http::new(&self.world).with_deadline(deadline);
        self.mint.mint(&http, wanted).await
    }

    fn settle(&self, entry: &Entry, made: Result<Rc<Credentials>>) {
        let now = self.world.now();
        match made {
            Ok(credentials) => {
                entry.issued.replace(Some((now, credentials)));
                entry.failure.take();
                self.leave();
            }
            Err(error) => {
                let in_a_row = entry.failure.take().map_or(1, |failure| failure.in_a_row.saturating_add(1));
                let expiration = entry.good().map(|good| good.expiration);
                let next_try = now + schedule::retry_after(in_a_row, now, expiration, self.world.random());
                if entry.wanted != self.usual {
                    let more = [("wanted", entry.wanted.describe())];
                    self.log.error(now, Severity::Warning, &error, &more);
                }
                entry.failure.replace(Some(Failure { error, in_a_row, next_try }));
            }
        }
    }

    /// Leaves the tokens that were asked for last to the next agent.
    fn leave(&self) {
        let Some(holdings) = &*self.holdings.borrow() else { return };
        let mut entries = self.entries.borrow().clone();
        entries.sort_by_key(|entry| std::cmp::Reverse((entry.wanted == self.usual, entry.asked.get())));
        let left = entries.iter().take(MOST_LEFT).filter_map(|entry| {
            let issued = entry.issued.borrow();
            let (at, credentials) = issued.as_ref()?;
            let mut json = credentials_json::encode(*at, credentials);
            match &entry.wanted {
                Wanted::AccessToken(scopes) => json.insert("Scopes".into(), scopes.clone().into()),
                Wanted::IdToken(audience) => json.insert("Audience".into(), audience.as_str().into()),
                Wanted::SubjectToken => return None,
            };
            Some(Value::from(json))
        });
        holdings.handover().set(LEFT, left.collect());
    }

    fn entry(&self, wanted: &Wanted) -> Rc<Entry> {
        let mut entries = self.entries.borrow_mut();
        let now = self.world.monotonic();
        if let Some(entry) = entries.iter().find(|entry| entry.wanted == *wanted) {
            entry.asked.set(now);
            return entry.clone();
        }
        if entries.len() >= MOST {
            let idle = entries.iter().enumerate().filter(|(_, entry)| entry.wanted != self.usual);
            if let Some((oldest, _)) = idle.min_by_key(|(_, entry)| entry.asked.get()) {
                entries.swap_remove(oldest);
            }
        }
        let entry = Rc::new(Entry {
            wanted: wanted.clone(),
            issued: RefCell::default(),
            failure: RefCell::default(),
            is_being_made: Cell::default(),
            settled: Notify::new(),
            asked: Cell::new(now),
        });
        entries.push(entry.clone());
        entry
    }
}

/// For which question an agent has left a token.
fn wanted_in(json: &Value) -> Option<Wanted> {
    match json["Audience"].as_str() {
        Some(audience) => Some(Wanted::IdToken(audience.into())),
        None => Some(Wanted::AccessToken(serde_json::from_value(json["Scopes"].clone()).ok()?)),
    }
}

impl Entry {
    fn good(&self) -> Option<Rc<Credentials>> {
        self.issued.borrow().as_ref().map(|(_, credentials)| credentials.clone())
    }

    fn standing(&self, now: SystemTime) -> Standing {
        let Some((issued, expiration)) = self.issued.borrow().as_ref().map(|(at, good)| (*at, good.expiration)) else {
            return Standing::None;
        };
        let Ok(left) = expiration.duration_since(now) else { return Standing::None };
        let lifetime = expiration.duration_since(issued).unwrap_or_default();
        // Before it was issued: the clock was set back, and nobody knows how old it is.
        let age = now.duration_since(issued).unwrap_or(lifetime);
        match self.wanted {
            _ if left.is_zero() => Standing::None,
            Wanted::AccessToken(_) if age < schedule::refresh_after(issued, expiration, 0.5) => Standing::Fresh,
            Wanted::AccessToken(_) if left > MARGIN.min(lifetime / 4) => Standing::Aging,
            Wanted::IdToken(_) | Wanted::SubjectToken if age < lifetime / FRESH_PART => Standing::Fresh,
            _ => Standing::Last,
        }
    }

    /// What is good, else why there is nothing.
    fn answer(&self, now: SystemTime) -> Result<Rc<Credentials>> {
        if let Some(good) = self.good().filter(|good| good.expiration > now) {
            return Ok(good);
        }
        if let Some(failure) = &*self.failure.borrow() {
            return Err(failure.error.clone());
        }
        let (problem, advice) = match &*self.issued.borrow() {
            Some((at, good)) if good.expiration <= *at => ("it had expired when it came", "check this machine's clock"),
            Some(_) => ("it has ended, and there is no newer one", "is fedboot told not to refresh?"),
            None => ("none could be had yet", "see fedboot's log"),
        };
        Err(Error::new(Kind::Transient, "hand out a token", "", problem).advice(advice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Content, Principal};
    use crate::log::Format;

    /// Makes tokens that live for an hour, in a second, or fails.
    struct Maker {
        clock: Rc<dyn Fn() -> SystemTime>,
        made: Cell<u32>,
        fails: Cell<bool>,
    }

    impl Mint for Maker {
        fn mint<'a>(&'a self, _: &'a Http, _: &'a Wanted) -> BoxFuture<'a, Result<Credentials>> {
            Box::pin(async {
                self.made.set(self.made.get() + 1);
                tokio::time::sleep(Duration::from_secs(1)).await;
                if self.fails.get() {
                    return Err(Error::new(Kind::Fatal, "make", "", "broken"));
                }
                Ok(Credentials {
                    content: Content::GoogleToken(self.made.get().to_string().into()),
                    expiration: (self.clock)() + Duration::from_secs(3600),
                    principal: Principal::Google("a@b".into()),
                })
            })
        }
    }

    fn start() -> (Tokens, Rc<Maker>) {
        let start = Instant::now();
        let clock: Rc<dyn Fn() -> SystemTime> =
            Rc::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) + start.elapsed());
        let maker = Rc::new(Maker { clock: clock.clone(), made: Cell::default(), fails: Cell::default() });
        let world = Rc::new(World::imagined(&[], move || clock()));
        let log = Log::new(Format::Json, Severity::Critical);
        (Tokens::new(world, log, maker.clone(), Wanted::AccessToken(vec!["usual".into()])), maker)
    }

    async fn minutes(minutes: u64) {
        tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
    }

    fn id(audience: &str) -> Wanted {
        Wanted::IdToken(audience.into())
    }

    fn other() -> Wanted {
        Wanted::AccessToken(vec!["other".into()])
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_at_once_are_one_exchange_and_those_who_go_away_do_not_end_it() {
        tokio::task::LocalSet::new()
            .run_until(async {
                let (tokens, maker) = start();
                for fails in [false, true] {
                    maker.fails.set(fails);
                    let wanted = id(if fails { "b" } else { "a" });
                    let before = maker.made.get();
                    let impatient = tokio::time::timeout(Duration::from_millis(10), tokens.token(&wanted)).await;
                    assert!(impatient.is_err());
                    let all: Vec<_> = (0..1000)
                        .map(|_| {
                            let (tokens, wanted) = (tokens.clone(), wanted.clone());
                            tokio::task::spawn_local(async move { tokens.token(&wanted).await.is_ok() })
                        })
                        .collect();
                    for one in all {
                        assert_eq!(one.await.expect("a task"), !fails);
                    }
                    assert_eq!(maker.made.get() - before, 1);
                }
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn made_anew_when_old_and_the_last_good_one_is_kept() {
        tokio::task::LocalSet::new()
            .run_until(async {
                let (tokens, maker) = start();
                let made = |wanted: Wanted| {
                    let (tokens, maker) = (tokens.clone(), maker.clone());
                    async move {
                        let before = maker.made.get();
                        let good = tokens.token(&wanted).await.is_ok();
                        // What is renewed in the background comes a second later.
                        tokio::time::sleep(Duration::from_secs(2)).await;
                        (good, maker.made.get() - before)
                    }
                };
                assert_eq!(made(other()).await, (true, 1));
                assert_eq!(made(id("a")).await, (true, 1));
                minutes(4).await;
                assert_eq!((made(other()).await, made(id("a")).await), ((true, 0), (true, 0)));
                minutes(2).await;
                assert_eq!((made(other()).await, made(id("a")).await), ((true, 0), (true, 1)));
                minutes(30).await;
                assert_eq!(made(other()).await, (true, 1));
                minutes(10).await;
                maker.fails.set(true);
                assert_eq!((made(other()).await, made(id("a")).await), ((true, 0), (true, 1)));
                minutes(45).await;
                assert!(!made(id("a")).await.0 && made(other()).await.0);
                assert!(tokens.ready(&other()).is_none());
                maker.fails.set(false);
                minutes(2).await;
                assert_eq!(made(id("a")).await, (true, 1));
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_usual_one_is_the_loops_affair() {
        tokio::task::LocalSet::new()
            .run_until(async {
                let (tokens, maker) = start();
                let usual = tokens.0.usual.clone();
                assert!(tokens.token(&usual).await.is_err());
                assert_eq!(maker.made.get(), 0);
                tokens.issue(None).await.expect("a token");
                minutes(58).await;
                assert!(tokens.ready(&usual).is_some() && tokens.token(&usual).await.is_ok());
                assert_eq!(maker.made.get(), 1);
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn ever_new_audiences_do_not_fill_the_memory() {
        tokio::task::LocalSet::new()
            .run_until(async {
                let (tokens, _) = start();
                tokens.issue(None).await.expect("a token");
                for number in 0..400 {
                    tokens.token(&id(&number.to_string())).await.expect("a token");
                }
                assert_eq!(tokens.0.entries.borrow().len(), MOST);
                assert!(tokens.ready(&tokens.0.usual).is_some());
            })
            .await;
    }
}
