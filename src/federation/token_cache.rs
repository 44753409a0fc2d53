//! Tokens for Google, kept: each is made once for all who ask at the same time, and handed out as long as it is fresh.
//!
//! The usual access token is kept by the agent's loop. Others (of other scopes, for audiences) are made when somebody asks,
//! and made anew when somebody asks for one that has grown old: meanwhile an old one that is good for a while is handed out.
//!
//! One that nobody has asked for before is made when the client's turn comes ([`Turns`]); what is kept needs none.
//!
//! An ID token is handed out only in the first twelfth of its life: Go's clients do not read its end and use it for 55
//! minutes. The last good one is better than none.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::delivery::TokenSource;
use crate::error::{Error, Kind, Result};
use crate::federation::token_quota::{self, Turns};
use crate::federation::{CredentialsIssuer, TokenIssuer};
use crate::model::client::Client;
use crate::model::credentials::{Credentials, RefreshFailure};
use crate::model::request::TokenRequest;
use crate::model::{BoxFuture, credentials_json};
use crate::system::handover::Handover;
use crate::system::http::Http;
use crate::system::log::{Log, Severity};
use crate::system::process::owner::Owner;
use crate::system::world::World;
use crate::timing::{retry, schedule};

/// How long a client waits for a token that has to be made.
const PATIENCE: Duration = Duration::from_secs(8);
/// Google's clients ask again for what ends sooner than about this.
const MARGIN: Duration = Duration::from_secs(240);
/// An ID token is fresh for this part of its life.
const FRESH_PART: f64 = 1.0 / 12.0;
/// Tokens that are kept, of those for one user, and of those for one connection; then one gives way.
const MOST: usize = 256;
const MOST_OF_USER: usize = 192;
const MOST_OF_CONNECTION: usize = 64;
/// How many of them are left to the next agent.
const MOST_LEFT: usize = 32;
/// Under which name.
const LEFT: &str = "tokens";
/// Renewals at a time.
const AT_A_TIME: usize = 8;
/// How long a client waits for the usual token, which is the loop's affair.
const PATIENCE_FOR_USUAL: Duration = Duration::from_secs(1);
/// How often is said that somebody was sent away.
const COMPLAINTS: Duration = Duration::from_secs(60);

/// The tokens of one way to Google.
#[derive(Clone)]
pub struct TokenCache(Rc<Inner>);

struct Inner {
    world: Rc<World>,
    log: Log,
    mint: Rc<dyn TokenIssuer>,
    usual: TokenRequest,
    entries: RefCell<Vec<Rc<Entry>>>,
    handover: RefCell<Option<Rc<Handover>>>,
    renewals: Semaphore,
    turns: Turns,
    /// When was last said that somebody was sent away, and how many were since.
    sent_away: Cell<(Option<Instant>, u64)>,
}

struct Entry {
    wanted: TokenRequest,
    /// Who has asked for it first.
    by: (Owner, u64),
    /// Whether it was asked for again since it was made.
    is_in_use: Cell<bool>,
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
    at: SystemTime,
    next_try: SystemTime,
}

impl Failure {
    /// Whether there is nothing to wait for.
    fn lasts(&self, now: SystemTime, patience: Duration) -> bool {
        schedule::has_failed(self.at, self.next_try, now, patience)
    }
}

/// How a token stands.
#[derive(Debug, PartialEq, Eq)]
enum Freshness {
    Fresh,
    /// Good, but it is time for a new one.
    Aging,
    /// Better than none.
    Last,
    None,
}

impl TokenCache {
    /// Tokens that `mint` makes; the `usual` access token is kept by whoever calls [`CredentialsIssuer::issue`].
    pub fn new(world: Rc<World>, log: Log, mint: Rc<dyn TokenIssuer>, usual: TokenRequest) -> Self {
        Self(Rc::new(Inner {
            turns: Turns::new(world.clone()),
            world,
            log,
            mint,
            usual,
            entries: RefCell::default(),
            handover: RefCell::default(),
            renewals: Semaphore::new(AT_A_TIME),
            sent_away: Cell::default(),
        }))
    }

    /// Goes on with the tokens that an agent before this one has left in `handover`, and leaves its own there.
    pub fn take_over(&self, handover: Rc<Handover>) {
        let left = handover.get(LEFT).unwrap_or_default();
        for json in left.as_array().into_iter().flatten() {
            let credentials = json.as_object().and_then(credentials_json::decode);
            if let (Some(wanted), Some((at, credentials))) = (wanted_in(json), credentials) {
                let entry = self.0.entry(&wanted, None);
                entry.issued.replace(Some((at, Rc::new(credentials))));
                entry.is_in_use.set(true);
            }
        }
        self.0.handover.replace(Some(handover));
    }
}

impl CredentialsIssuer for TokenCache {
    fn issue(&self, deadline: Option<Instant>) -> BoxFuture<'_, Result<Credentials>> {
        Box::pin(async move {
            let entry = self.0.entry(&self.0.usual, None);
            let made = self.0.make(&entry.wanted, deadline).await;
            let made = made.map(Rc::new);
            self.0.settle(&entry, made.clone());
            entry.settled.notify_waiters();
            made.map(|made| (*made).clone())
        })
    }
}

impl TokenSource for TokenCache {
    fn token<'a>(&'a self, wanted: &'a TokenRequest, client: &'a Rc<Client>) -> BoxFuture<'a, Result<Rc<Credentials>>> {
        Box::pin(async move {
            let entry = self.0.entry(wanted, Some(client));
            let settled = entry.settled.notified();
            let is_usual = *wanted == self.0.usual;
            match entry.standing(self.0.world.now()) {
                Freshness::Fresh => {}
                // The agent's loop cares for the usual one; it has just started, or was just woken, or is now.
                Freshness::None if is_usual => {
                    self.0.world.look_at_clock();
                    let _ = tokio::time::timeout(PATIENCE_FOR_USUAL, self.0.usual_settles(&entry)).await;
                }
                _ if is_usual => {}
                Freshness::Aging => drop(self.renew(&entry, client)),
                Freshness::Last | Freshness::None => {
                    if self.renew(&entry, client) {
                        settled.await;
                    }
                }
            }
            entry.answer(self.0.world.now(), is_usual)
        })
    }

    fn fail(&self, trouble: &RefreshFailure) {
        let entry = self.0.entry(&self.0.usual, None);
        if let Some(failure) = &mut *entry.failure.borrow_mut() {
            (failure.at, failure.next_try) = (trouble.at, trouble.next_try);
        }
    }

    fn ready(&self, wanted: &TokenRequest) -> Option<Rc<Credentials>> {
        let entries = self.0.entries.borrow();
        let entry = entries.iter().find(|entry| entry.wanted == *wanted)?;
        entry.ask(self.0.world.monotonic());
        match entry.standing(self.0.world.now()) {
            Freshness::Fresh => entry.good(),
            Freshness::Aging | Freshness::Last if *wanted == self.0.usual => entry.good(),
            _ => None,
        }
    }
}

impl TokenCache {
    /// Has a token made, unless it is being made. Says whether there is something to wait for: not when it has just
    /// failed.
    fn renew(&self, entry: &Rc<Entry>, client: &Rc<Client>) -> bool {
        let now = self.0.world.now();
        if entry.failure.borrow().as_ref().is_some_and(|failure| failure.lasts(now, Duration::ZERO)) {
            return false;
        }
        if !entry.is_being_made.replace(true) {
            let (inner, entry, client) = (self.0.clone(), entry.clone(), client.clone());
            // Not in the client's own task: it may go away, and others wait for the same.
            tokio::task::spawn_local(async move {
                let made = if entry.good().is_some() {
                    inner.renewed(&entry).await
                } else {
                    inner.first(&entry, &client).await
                };
                entry.is_being_made.set(false);
                if let Some(made) = made {
                    inner.settle(&entry, made.map(Rc::new));
                }
                entry.settled.notify_waiters();
            });
        }
        true
    }
}

impl Inner {
    async fn make(&self, wanted: &TokenRequest, deadline: Option<Instant>) -> Result<Credentials> {
        let http = Http::new(&self.world).with_deadline(deadline);
        self.mint.mint(&http, wanted).await
    }

    /// Comes back when the usual token is there, or nothing is tried soon.
    async fn usual_settles(&self, entry: &Entry) {
        loop {
            let settled = entry.settled.notified();
            let now = self.world.now();
            let fails = entry.failure.borrow().as_ref().is_some_and(|failure| failure.lasts(now, PATIENCE_FOR_USUAL));
            if fails || entry.standing(now) != Freshness::None {
                return;
            }
            settled.await;
        }
    }

    /// Another one for what is known: nobody is to wait for it but behind others of its kind.
    async fn renewed(&self, entry: &Entry) -> Option<Result<Credentials>> {
        let deadline = self.world.monotonic().checked_add(PATIENCE)?;
        let Ok(Ok(_turn)) = tokio::time::timeout_at(deadline, self.renewals.acquire()).await else {
            let problem = format!("others are in line before it, for {} s already", PATIENCE.as_secs());
            return Some(Err(Error::new(Kind::Transient, "make a token", "", problem)));
        };
        self.turns.count();
        // Who has a good one need not wait for more than one try.
        Some(self.make(&entry.wanted, Some(deadline)).await)
    }

    /// The first one of its kind, when the client's turn has come. None: it has not, and the kind is forgotten.
    async fn first(&self, entry: &Rc<Entry>, client: &Rc<Client>) -> Option<Result<Credentials>> {
        let deadline = self.world.monotonic().checked_add(PATIENCE)?;
        let _turn = match self.turns.turn(client).await {
            Ok(turn) => turn,
            Err(error) => {
                self.complain(&error);
                self.entries.borrow_mut().retain(|kept| !Rc::ptr_eq(kept, entry));
                let now = self.world.now();
                entry.failure.replace(Some(Failure { error, in_a_row: 1, at: now, next_try: now }));
                return None;
            }
        };
        self.make_room(entry.by);
        let tries = Cell::new(0_u32);
        let once = async || {
            tries.set(tries.get().saturating_add(1));
            match tries.get() {
                1 => {}
                // Further tries are requests to Google as well.
                _ if self.turns.has_more() => self.turns.count(),
                _ => return Err(token_quota::limit("it has failed, and others wait")),
            }
            self.make(&entry.wanted, Some(deadline)).await
        };
        Some(retry::until(&self.world, deadline, once).await)
    }

    /// Says at most once a minute that somebody was sent away.
    fn complain(&self, error: &Error) {
        let now = self.world.monotonic();
        let (said, count) = self.sent_away.get();
        let count = count.saturating_add(1);
        if said.is_some_and(|said| now.saturating_duration_since(said) < COMPLAINTS) {
            return self.sent_away.set((said, count));
        }
        self.sent_away.set((Some(now), 0));
        self.log.error(self.world.now(), Severity::Warning, error, &[("refused", count.to_string())]);
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
                let wait = schedule::retry_after(in_a_row, now, expiration, self.world.random());
                let next_try = now.checked_add(wait).unwrap_or(now);
                if entry.wanted != self.usual {
                    let more = [("wanted", entry.wanted.describe())];
                    self.log.error(now, Severity::Warning, &error, &more);
                }
                entry.failure.replace(Some(Failure { error, in_a_row, at: now, next_try }));
            }
        }
    }

    /// Leaves the tokens that were asked for last to the next agent.
    fn leave(&self) {
        let Some(handover) = &*self.handover.borrow() else { return };
        let mut entries = self.entries.borrow().clone();
        entries.sort_by_key(|entry| std::cmp::Reverse((entry.wanted == self.usual, entry.asked.get())));
        let left = entries.iter().take(MOST_LEFT).filter_map(|entry| {
            let issued = entry.issued.borrow();
            let (at, credentials) = issued.as_ref()?;
            let mut json = credentials_json::encode(*at, credentials);
            match &entry.wanted {
                TokenRequest::AccessToken(scopes) => json.insert("Scopes".into(), scopes.clone().into()),
                TokenRequest::IdToken(audience) => json.insert("Audience".into(), audience.as_str().into()),
                TokenRequest::SubjectToken => return None,
            };
            Some(Value::from(json))
        });
        handover.set(LEFT, left.collect());
    }

    fn entry(&self, wanted: &TokenRequest, client: Option<&Rc<Client>>) -> Rc<Entry> {
        let now = self.world.monotonic();
        if let Some(entry) = self.entries.borrow().iter().find(|entry| entry.wanted == *wanted) {
            entry.ask(now);
            return entry.clone();
        }
        let by = client.map_or((Owner::Nobody, 0), |client| (client.owner(), client.number));
        let entry = Rc::new(Entry {
            wanted: wanted.clone(),
            by,
            is_in_use: Cell::default(),
            issued: RefCell::default(),
            failure: RefCell::default(),
            is_being_made: Cell::default(),
            settled: Notify::new(),
            asked: Cell::new(now),
        });
        self.entries.borrow_mut().push(entry.clone());
        entry
    }

    /// Forgets one where there are too many: of the connection's own, or the user's, or of the user who has most; first
    /// what was never had, then what nobody has asked for again, then what was not asked for longest.
    fn make_room(&self, by: (Owner, u64)) {
        let mut entries = self.entries.borrow_mut();
        // Those that wait for their turn are not there yet.
        let kept = || entries.iter().filter(|entry| !entry.is_being_made.get());
        let count = |of: &dyn Fn(&Entry) -> bool| kept().filter(|entry| of(entry)).count();
        let of_user = |user: Owner| count(&|entry| entry.by.0 == user);
        let is_full = kept().count() >= MOST;
        let (of_connection_only, user) = if count(&|entry| entry.by == by) >= MOST_OF_CONNECTION {
            (true, by.0)
        } else if of_user(by.0) >= MOST_OF_USER {
            (false, by.0)
        } else if let (true, Some(most)) = (is_full, kept().max_by_key(|entry| of_user(entry.by.0))) {
            (false, most.by.0)
        } else {
            return;
        };
        let may_go = entries.iter().enumerate().filter(|(_, entry)| {
            let is_meant = if of_connection_only { entry.by == by } else { entry.by.0 == user };
            is_meant && entry.wanted != self.usual && !entry.is_being_made.get()
        });
        let first =
            may_go.min_by_key(|(_, entry)| (entry.issued.borrow().is_some(), entry.is_in_use.get(), entry.asked.get()));
        if let Some((index, _)) = first {
            entries.swap_remove(index);
        }
    }
}

/// For which question an agent has left a token.
fn wanted_in(json: &Value) -> Option<TokenRequest> {
    match json["Audience"].as_str() {
        Some(audience) => Some(TokenRequest::IdToken(audience.into())),
        None => Some(TokenRequest::AccessToken(serde_json::from_value(json["Scopes"].clone()).ok()?)),
    }
}

impl Entry {
    /// Somebody has asked for it.
    fn ask(&self, now: Instant) {
        self.asked.set(now);
        self.is_in_use.set(self.is_in_use.get() || self.issued.borrow().is_some());
    }

    fn good(&self) -> Option<Rc<Credentials>> {
        self.issued.borrow().as_ref().map(|(_, credentials)| credentials.clone())
    }

    fn standing(&self, now: SystemTime) -> Freshness {
        let Some((issued, expiration)) = self.issued.borrow().as_ref().map(|(at, good)| (*at, good.expiration)) else {
            return Freshness::None;
        };
        let Ok(left) = expiration.duration_since(now) else { return Freshness::None };
        let lifetime = expiration.duration_since(issued).unwrap_or_default();
        // Before it was issued: the clock was set back, and nobody knows how old it is.
        let age = now.duration_since(issued).unwrap_or(lifetime);
        match self.wanted {
            _ if left.is_zero() => Freshness::None,
            TokenRequest::AccessToken(_) if age < schedule::refresh_after(issued, expiration, 0.5) => Freshness::Fresh,
            TokenRequest::AccessToken(_) if left > MARGIN.min(lifetime.mul_f64(0.25)) => Freshness::Aging,
            TokenRequest::IdToken(_) | TokenRequest::SubjectToken if age < lifetime.mul_f64(FRESH_PART) => {
                Freshness::Fresh
            }
            _ => Freshness::Last,
        }
    }

    /// What is good, else why there is nothing.
    fn answer(&self, now: SystemTime, is_usual: bool) -> Result<Rc<Credentials>> {
        if let Some(good) = self.good().filter(|good| good.expiration > now) {
            return Ok(good);
        }
        let said = |problem: String, advice: &str| {
            Err(Error::new(Kind::Transient, "hand out a token", "", problem).advice(advice))
        };
        match (&*self.failure.borrow(), &*self.issued.borrow()) {
            (Some(failure), _) if !is_usual || failure.lasts(now, Duration::ZERO) => Err(failure.error.clone()),
            // The agent's loop is at it.
            (Some(failure), _) => said(format!("{}; the last one failed: {}", schedule::NOT_YET, failure.error), ""),
            (None, Some((at, good))) if good.expiration <= *at => {
                said("it had expired when it came".into(), "check this machine's clock")
            }
            (None, Some(_)) => {
                let problem = format!("it has ended, and {}", schedule::NOT_YET);
                said(problem, "see fedboot's log; is it told not to refresh?")
            }
            (None, None) => said("none could be had yet".into(), "see fedboot's log"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::credentials::Content;
    use crate::model::credentials::Principal;
    use crate::system::log::Format;

    /// Makes tokens that live for an hour, in a second, or fails.
    struct Maker {
        clock: Rc<dyn Fn() -> SystemTime>,
        made: Cell<u32>,
        fails: Cell<bool>,
    }

    impl TokenIssuer for Maker {
        fn mint<'a>(&'a self, _: &'a Http, _: &'a TokenRequest) -> BoxFuture<'a, Result<Credentials>> {
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

    fn start() -> (TokenCache, Rc<Maker>) {
        let start = Instant::now();
        let clock: Rc<dyn Fn() -> SystemTime> =
            Rc::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) + start.elapsed());
        let maker = Rc::new(Maker { clock: clock.clone(), made: Cell::default(), fails: Cell::default() });
        let world = Rc::new(World::imagined(&[], move || clock()));
        let log = Log::new(Format::Json, Severity::Critical);
        (TokenCache::new(world, log, maker.clone(), TokenRequest::AccessToken(vec!["usual".into()])), maker)
    }

    async fn minutes(minutes: u64) {
        tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
    }

    fn id(audience: &str) -> TokenRequest {
        TokenRequest::IdToken(audience.into())
    }

    /// A connection that nobody has had before.
    fn anyone() -> Rc<Client> {
        thread_local!(static NUMBER: Cell<u64> = const { Cell::new(1) });
        let number = NUMBER.get();
        NUMBER.set(number + 1);
        Rc::new(Client::new(Rc::default(), None, number))
    }

    fn of(user: u32) -> Rc<Client> {
        Rc::new(Client::of(Owner::User(user), anyone().number))
    }

    /// Asks for ever new audiences.
    fn greedy(tokens: &TokenCache, client: &Rc<Client>) {
        let (tokens, client) = (tokens.clone(), client.clone());
        tokio::task::spawn_local(async move {
            for number in 0.. {
                let _ = tokens.token(&id(&format!("{}-{number}", client.number)), &client).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
    }

    fn other() -> TokenRequest {
        TokenRequest::AccessToken(vec!["other".into()])
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
                    let impatient =
                        tokio::time::timeout(Duration::from_millis(10), tokens.token(&wanted, &anyone())).await;
                    assert!(impatient.is_err());
                    let all: Vec<_> = (0..1000)
                        .map(|_| {
                            let (tokens, wanted) = (tokens.clone(), wanted.clone());
                            tokio::task::spawn_local(async move { tokens.token(&wanted, &anyone()).await.is_ok() })
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
                let made = |wanted: TokenRequest| {
                    let (tokens, maker) = (tokens.clone(), maker.clone());
                    async move {
                        let before = maker.made.get();
                        let good = tokens.token(&wanted, &anyone()).await.is_ok();
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
                assert!(tokens.token(&usual, &anyone()).await.is_err());
                assert_eq!(maker.made.get(), 0);
                tokens.issue(None).await.expect("a token");
                minutes(58).await;
                assert!(tokens.ready(&usual).is_some() && tokens.token(&usual, &anyone()).await.is_ok());
                assert_eq!(maker.made.get(), 1);
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_usual_one_is_waited_for_while_it_has_not_failed() {
        tokio::task::LocalSet::new()
            .run_until(async {
                let (tokens, maker) = start();
                let usual = tokens.0.usual.clone();
                let (issuing, asking) = (tokens.clone(), anyone());
                tokio::task::spawn_local(async move { drop(issuing.issue(None).await) });
                tokio::time::sleep(Duration::from_millis(500)).await;
                assert!(tokens.token(&usual, &asking).await.is_ok());
                minutes(61).await;
                maker.fails.set(true);
                let _ = tokens.issue(None).await;
                let start = Instant::now();
                assert!(tokens.token(&usual, &asking).await.is_err());
                assert_eq!(start.elapsed(), Duration::ZERO);
            })
            .await;
    }

    /// Three hundred connections ask for ever new ones; then a client that has asked for nothing yet asks for one.
    #[tokio::test(start_paused = true)]
    async fn nobody_starves() {
        for (whose, user, honest) in [("the same user's", 1, 1), ("another user's", 1, 2)] {
            tokio::task::LocalSet::new()
                .run_until(async {
                    let (tokens, maker) = start();
                    tokens.issue(None).await.expect("a token");
                    assert!(tokens.token(&id("known"), &of(honest)).await.is_ok());
                    assert!(tokens.token(&id("known"), &of(honest)).await.is_ok());
                    let start = Instant::now();
                    let before = maker.made.get();
                    (0..300).for_each(|_| greedy(&tokens, &of(user)));
                    for round in 0..10 {
                        tokio::time::sleep(Duration::from_secs(6)).await;
                        let asked = Instant::now();
                        let token = tokens.token(&id(&format!("honest-{round}")), &of(honest)).await;
                        // The token takes a second to be made.
                        let took = asked.elapsed();
                        assert!(token.is_ok() && took < Duration::from_secs(3), "{whose} {round}: {took:?}");
                        assert!(tokens.ready(&id("known")).is_some() || start.elapsed().as_secs() > 200, "{whose}");
                        assert!(tokens.ready(&tokens.0.usual).is_some());
                    }
                    let (made, time) = (maker.made.get() - before, start.elapsed().as_secs_f64());
                    assert!(f64::from(made) <= 60.0 + 2.0 * time, "{whose}: {made} in {time} s");
                    assert!(f64::from(made) >= 1.4 * time, "{whose}: {made} in {time} s");
                    assert!(tokens.0.entries.borrow().len() <= MOST + 72);
                })
                .await;
        }
    }

    /// New connections for each question, by another user.
    #[tokio::test(start_paused = true)]
    async fn nobody_starves_beside_another_user() {
        tokio::task::LocalSet::new()
            .run_until(async {
                let (tokens, _) = start();
                for _ in 0..300 {
                    let tokens = tokens.clone();
                    tokio::task::spawn_local(async move {
                        loop {
                            let client = of(1);
                            let _ = tokens.token(&id(&client.number.to_string()), &client).await;
                            tokio::time::sleep(Duration::from_millis(500)).await;
                        }
                    });
                }
                tokio::time::sleep(Duration::from_secs(60)).await;
                let asked = Instant::now();
                assert!(tokens.token(&id("honest"), &of(2)).await.is_ok());
                assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn ever_new_audiences_do_not_fill_the_memory() {
        tokio::task::LocalSet::new()
            .run_until(async {
                let (tokens, _) = start();
                tokens.issue(None).await.expect("a token");
                let (mut got, mut refused) = (0, 0);
                let known = of(7);
                for number in 0..1200_u32 {
                    match tokens.token(&id(&number.to_string()), &of(number % 3)).await {
                        Ok(_) => got += 1,
                        Err(_) => refused += 1,
                    }
                    if number % 100 == 0 {
                        assert!(tokens.token(&id("known"), &known).await.is_ok(), "{number}");
                    }
                }
                assert!(got > 600, "{got} got, {refused} refused");
                assert_eq!(tokens.0.entries.borrow().len(), MOST);
                assert!(tokens.ready(&tokens.0.usual).is_some());
                // What is asked for again stays before what was asked for once.
                assert!(
                    tokens.0.entries.borrow().iter().any(|entry| entry.wanted == id("known") && entry.is_in_use.get())
                );
            })
            .await;
    }
}
