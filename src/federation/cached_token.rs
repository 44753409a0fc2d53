//! One kind of token for Google, as it is kept: what was made of it last, how fresh that is, and why there is nothing newer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::model::credentials::Credentials;
use crate::model::request::TokenRequest;
use crate::system::process::owner::Owner;
use crate::timing::schedule;

/// An ID token is fresh for this part of its life.
const FRESH_PART: f64 = 1.0 / 12.0;

/// Google's clients ask again for what ends sooner than about this.
const MARGIN: Duration = Duration::from_secs(240);

pub struct CachedToken {
    pub request: TokenRequest,
    /// Who has asked for it first.
    pub first_requester: (Owner, u64),
    /// Whether it was asked for again since it was made.
    pub is_in_use: Cell<bool>,
    pub issued: RefCell<Option<(SystemTime, Rc<Credentials>)>>,
    pub failure: RefCell<Option<Failure>>,
    pub is_being_made: Cell<bool>,
    /// Whoever waits for it is woken when it is made, or could not be.
    pub finished: Notify,
    pub last_asked: Cell<Instant>,
}

pub struct Failure {
    pub error: Error,
    pub in_a_row: u32,
    pub at: SystemTime,
    pub next_try: SystemTime,
}

impl Failure {
    /// Whether there is nothing to wait for.
    pub fn lasts(&self, now: SystemTime, patience: Duration) -> bool {
        schedule::has_failed(self.at, self.next_try, now, patience)
    }
}

/// How a token stands.
#[derive(Debug, PartialEq, Eq)]
pub enum TokenFreshness {
    Fresh,
    /// Good, but it is time for a new one.
    Aging,
    /// Better than none.
    Last,
    None,
}

impl CachedToken {
    /// Somebody has asked for it.
    pub fn ask(&self, now: Instant) {
        self.last_asked.set(now);
        self.is_in_use.set(self.is_in_use.get() || self.issued.borrow().is_some());
    }

    pub fn good(&self) -> Option<Rc<Credentials>> {
        self.issued.borrow().as_ref().map(|(_, credentials)| credentials.clone())
    }

    pub fn freshness(&self, now: SystemTime) -> TokenFreshness {
        let Some((issued, expiration)) = self.issued.borrow().as_ref().map(|(at, good)| (*at, good.expiration)) else {
            return TokenFreshness::None;
        };
        let Ok(left) = expiration.duration_since(now) else { return TokenFreshness::None };
        let lifetime = expiration.duration_since(issued).unwrap_or_default();
        // Before it was issued: the clock was set back, and nobody knows how old it is.
        let age = now.duration_since(issued).unwrap_or(lifetime);
        match self.request {
            _ if left.is_zero() => TokenFreshness::None,
            TokenRequest::AccessToken(_) if age < schedule::refresh_after(issued, expiration, 0.5) => {
                TokenFreshness::Fresh
            }
            TokenRequest::AccessToken(_) if left > MARGIN.min(lifetime.mul_f64(0.25)) => TokenFreshness::Aging,
            TokenRequest::IdToken(_) | TokenRequest::SubjectToken if age < lifetime.mul_f64(FRESH_PART) => {
                TokenFreshness::Fresh
            }
            _ => TokenFreshness::Last,
        }
    }

    /// What is good, else why there is nothing.
    pub fn answer(&self, now: SystemTime, is_usual: bool) -> Result<Rc<Credentials>> {
        if let Some(good) = self.good().filter(|good| good.expiration > now) {
            return Ok(good);
        }
        let unavailable = |problem: String, advice: &str| {
            Err(Error::new(Kind::Transient, "hand out a token", "", problem).advice(advice))
        };
        match (&*self.failure.borrow(), &*self.issued.borrow()) {
            (Some(failure), _) if !is_usual || failure.lasts(now, Duration::ZERO) => Err(failure.error.clone()),
            // The agent's loop is at it.
            (Some(failure), _) => {
                unavailable(format!("{}; the last one failed: {}", schedule::NOT_YET, failure.error), "")
            }
            (None, Some((at, good))) if good.expiration <= *at => {
                unavailable("it had expired when it came".into(), "check this machine's clock")
            }
            (None, Some(_)) => {
                let problem = format!("it has ended, and {}", schedule::NOT_YET);
                unavailable(problem, "see fedboot's log; is it told not to refresh?")
            }
            (None, None) => unavailable("none could be had yet".into(), "see fedboot's log"),
        }
    }
}

/// For which question an agent has left a token.
pub fn request_in(json: &Value) -> Option<TokenRequest> {
    match json["Audience"].as_str() {
        Some(audience) => Some(TokenRequest::IdToken(audience.into())),
        None => Some(TokenRequest::AccessToken(serde_json::from_value(json["Scopes"].clone()).ok()?)),
    }
}
