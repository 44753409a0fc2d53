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
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::delivery::TokenSource;
use crate::error::{Error, Kind, Result};
use crate::federation::cached_token::{CachedToken, Failure, TokenFreshness, request_in};
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
use crate::system::world::{World, later};
use crate::timing::{retry, schedule};

/// How long a client waits for a token that has to be made.
const PATIENCE: Duration = Duration::from_secs(8);

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
    issuer: Rc<dyn TokenIssuer>,
    usual: TokenRequest,
    entries: RefCell<Vec<Rc<CachedToken>>>,
    handover: RefCell<Option<Rc<Handover>>>,
    renewals: Semaphore,
    turns: Turns,
    /// When was last said that somebody was sent away, and how many were since.
    sent_away: Cell<(Option<Instant>, u64)>,
}

impl TokenCache {
    /// Tokens that `issuer` makes; the `usual` access token is kept by whoever calls [`CredentialsIssuer::issue`].
    pub fn new(world: Rc<World>, log: Log, issuer: Rc<dyn TokenIssuer>, usual: TokenRequest) -> Self {
        Self(Rc::new(Inner {
            turns: Turns::new(world.clone()),
            world,
            log,
            issuer,
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
            if let (Some(request), Some((at, credentials))) = (request_in(json), credentials) {
                let entry = self.0.entry(&request, None);
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
            let made = self.0.make(&entry.request, deadline).await;
            let made = made.map(Rc::new);
            self.0.record(&entry, made.clone());
            entry.finished.notify_waiters();
            made.map(|made| (*made).clone())
        })
    }
}

impl TokenSource for TokenCache {
    fn token<'a>(
        &'a self,
        request: &'a TokenRequest,
        client: &'a Rc<Client>,
    ) -> BoxFuture<'a, Result<Rc<Credentials>>> {
        Box::pin(async move {
            let entry = self.0.entry(request, Some(client));
            let finished = entry.finished.notified();
            let is_usual = *request == self.0.usual;
            match entry.freshness(self.0.world.now()) {
                TokenFreshness::Fresh => {}
                // The agent's loop cares for the usual one; it has just started, or was just woken, or is now.
                TokenFreshness::None if is_usual => {
                    self.0.world.look_at_clock();
                    let _ = tokio::time::timeout(PATIENCE_FOR_USUAL, self.0.usual_finishes(&entry)).await;
                }
                _ if is_usual => {}
                TokenFreshness::Aging => drop(self.renew(&entry, client)),
                TokenFreshness::Last | TokenFreshness::None => {
                    if self.renew(&entry, client) {
                        finished.await;
                    }
                }
            }
            entry.answer(self.0.world.now(), is_usual)
        })
    }

    fn fail(&self, failure: &RefreshFailure) {
        let entry = self.0.entry(&self.0.usual, None);
        if let Some(kept) = &mut *entry.failure.borrow_mut() {
            (kept.at, kept.next_try) = (failure.at, failure.next_try);
        }
    }

    fn ready(&self, request: &TokenRequest) -> Option<Rc<Credentials>> {
        let entries = self.0.entries.borrow();
        let entry = entries.iter().find(|entry| entry.request == *request)?;
        entry.ask(self.0.world.monotonic());
        match entry.freshness(self.0.world.now()) {
            TokenFreshness::Fresh => entry.good(),
            TokenFreshness::Aging | TokenFreshness::Last if *request == self.0.usual => entry.good(),
            _ => None,
        }
    }
}

impl TokenCache {
    /// Has a token made, unless it is being made. Says whether there is something to wait for: not when it has just
    /// failed.
    fn renew(&self, entry: &Rc<CachedToken>, client: &Rc<Client>) -> bool {
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
                    inner.record(&entry, made.map(Rc::new));
                }
                entry.finished.notify_waiters();
            });
        }
        true
    }
}

impl Inner {
    async fn make(&self, request: &TokenRequest, deadline: Option<Instant>) -> Result<Credentials> {
        let http = Http::new(&self.world).with_deadline(deadline);
        self.issuer.mint(&http, request).await
    }

    /// Comes back when the usual token is there, or nothing is tried soon.
    async fn usual_finishes(&self, entry: &CachedToken) {
        loop {
            let finished = entry.finished.notified();
            let now = self.world.now();
            let fails = entry.failure.borrow().as_ref().is_some_and(|failure| failure.lasts(now, PATIENCE_FOR_USUAL));
            if fails || entry.freshness(now) != TokenFreshness::None {
                return;
            }
            finished.await;
        }
    }

    /// Another one for what is known: nobody is to wait for it but behind others of its kind.
    async fn renewed(&self, entry: &CachedToken) -> Option<Result<Credentials>> {
        let deadline = self.world.deadline(PATIENCE);
        let Ok(Ok(_turn)) = tokio::time::timeout_at(deadline, self.renewals.acquire()).await else {
            let problem = format!("others are in line before it, for {} s already", PATIENCE.as_secs());
            return Some(Err(Error::new(Kind::Transient, "make a token", "", problem)));
        };
        self.turns.count();
        // Who has a good one need not wait for more than one try.
        Some(self.make(&entry.request, Some(deadline)).await)
    }

    /// The first one of its kind, when the client's turn has come. None: it has not, and the kind is forgotten.
    async fn first(&self, entry: &Rc<CachedToken>, client: &Rc<Client>) -> Option<Result<Credentials>> {
        let deadline = self.world.deadline(PATIENCE);
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
        self.make_room(entry.first_requester);
        let tries = Cell::new(0_u32);
        let once = async || {
            tries.set(tries.get().saturating_add(1));
            match tries.get() {
                1 => {}
                // Further tries are requests to Google as well.
                _ if self.turns.has_more() => self.turns.count(),
                _ => return Err(token_quota::limit("it has failed, and others wait")),
            }
            self.make(&entry.request, Some(deadline)).await
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

    fn record(&self, entry: &CachedToken, made: Result<Rc<Credentials>>) {
        let now = self.world.now();
        match made {
            Ok(credentials) => {
                entry.issued.replace(Some((now, credentials)));
                entry.failure.take();
                self.write_handover();
            }
            Err(error) => {
                let in_a_row = entry.failure.take().map_or(1, |failure| failure.in_a_row.saturating_add(1));
                let expiration = entry.good().map(|good| good.expiration);
                let wait = schedule::retry_after(in_a_row, now, expiration, self.world.random());
                let next_try = later(now, wait);
                if entry.request != self.usual {
                    let more = [("wanted", entry.request.describe())];
                    self.log.error(now, Severity::Warning, &error, &more);
                }
                entry.failure.replace(Some(Failure { error, in_a_row, at: now, next_try }));
            }
        }
    }

    /// Leaves the tokens that were asked for last to the next agent.
    fn write_handover(&self) {
        let Some(handover) = &*self.handover.borrow() else { return };
        let mut entries = self.entries.borrow().clone();
        entries.sort_by_key(|entry| std::cmp::Reverse((entry.request == self.usual, entry.last_asked.get())));
        // Those that wait for their first token have nothing to leave, and take no place.
        let left = entries.iter().filter_map(|entry| {
            let issued = entry.issued.borrow();
            let (at, credentials) = issued.as_ref()?;
            let mut json = credentials_json::encode(*at, credentials);
            match &entry.request {
                TokenRequest::AccessToken(scopes) => json.insert("Scopes".into(), scopes.clone().into()),
                TokenRequest::IdToken(audience) => json.insert("Audience".into(), audience.as_str().into()),
                TokenRequest::SubjectToken => return None,
            };
            Some(Value::from(json))
        });
        handover.set(LEFT, left.take(MOST_LEFT).collect());
    }

    fn entry(&self, request: &TokenRequest, client: Option<&Rc<Client>>) -> Rc<CachedToken> {
        let now = self.world.monotonic();
        if let Some(entry) = self.entries.borrow().iter().find(|entry| entry.request == *request) {
            entry.ask(now);
            return entry.clone();
        }
        let first_requester = client.map_or((Owner::Nobody, 0), |client| (client.owner(), client.number));
        let entry = Rc::new(CachedToken {
            request: request.clone(),
            first_requester,
            is_in_use: Cell::default(),
            issued: RefCell::default(),
            failure: RefCell::default(),
            is_being_made: Cell::default(),
            finished: Notify::new(),
            last_asked: Cell::new(now),
        });
        self.entries.borrow_mut().push(entry.clone());
        entry
    }

    /// Forgets one where there are too many: of the connection's own, or the user's, or of the user who has most; first
    /// what was never had, then what nobody has asked for again, then what was not asked for longest.
    fn make_room(&self, requester: (Owner, u64)) {
        let mut entries = self.entries.borrow_mut();
        // Those that wait for their turn are not there yet.
        let kept = || entries.iter().filter(|entry| !entry.is_being_made.get());
        let count = |of: &dyn Fn(&CachedToken) -> bool| kept().filter(|entry| of(entry)).count();
        let of_user = |user: Owner| count(&|entry| entry.first_requester.0 == user);
        let is_full = kept().count() >= MOST;
        let (of_connection_only, user) = if count(&|entry| entry.first_requester == requester) >= MOST_OF_CONNECTION {
            (true, requester.0)
        } else if of_user(requester.0) >= MOST_OF_USER {
            (false, requester.0)
        } else if let (true, Some(most)) = (is_full, kept().max_by_key(|entry| of_user(entry.first_requester.0))) {
            (false, most.first_requester.0)
        } else {
            return;
        };
        let may_go = entries.iter().enumerate().filter(|(_, entry)| {
            let is_meant =
                if of_connection_only { entry.first_requester == requester } else { entry.first_requester.0 == user };
            is_meant && entry.request != self.usual && !entry.is_being_made.get()
        });
        let first = may_go
            .min_by_key(|(_, entry)| (entry.issued.borrow().is_some(), entry.is_in_use.get(), entry.last_asked.get()));
        if let Some((index, _)) = first {
            entries.swap_remove(index);
        }
    }
}
