//! Who may have a new token made: so many a minute in all, and of those a part for one user, so that Google is not overrun
//! by who asks for ever new ones. Where there are more who want one than may have it, whoever has asked for fewest lately
//! goes first: one user before another, then one connection before another, then the newest, as the older ones have had
//! their chance.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::model::client::{Client, Meter};
use crate::system::process::owner::Owner;
use crate::system::world::World;

/// New tokens at once, and a second after that: 120 a minute.
const BURST: f64 = 60.0;
const RATE: f64 = 2.0;
/// The same for one user.
const BURST_OF_ONE: f64 = 45.0;
const RATE_OF_ONE: f64 = 1.5;
/// What was asked for is forgotten by so much a second, which is less than somebody asks who waits in line as often as
/// he can; and more than this is not remembered.
const FORGOTTEN: f64 = 0.1;
const MOST_REMEMBERED: f64 = 30.0;
/// Exchanges at a time: an agent is not to be the one who overruns Google.
const AT_A_TIME: usize = 8;
/// How many wait for a turn.
const LINE: usize = 64;
/// How long they wait for it: clients do not wait longer than about this.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// Users of whom is remembered what they had.
const MOST_USERS: usize = 256;

/// The turns of all clients.
pub struct Turns {
    world: Rc<World>,
    all: Cell<Meter>,
    users: RefCell<HashMap<Owner, User>>,
    line: RefCell<Vec<Place>>,
    next_place: Cell<u64>,
    running: Cell<usize>,
    changed: Notify,
}

#[derive(Clone, Copy, Default)]
struct User {
    recent: Meter,
    granted: Meter,
}

/// A place in the line.
struct Place {
    owner: Owner,
    number: u64,
    /// How many the connection had asked for when it came: to wait is no merit.
    recent: u64,
    sent_away: Rc<Notify>,
}

/// How much one has asked for lately, for the user, for the connection, and how old the place is.
type Rank = (u64, u64, std::cmp::Reverse<u64>);

/// A turn, until this is dropped.
pub struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get().saturating_sub(1));
        self.0.changed.notify_waiters();
    }
}

/// A place in the line, which is left with this.
struct InLine<'a>(&'a Turns, u64);

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.line.borrow_mut().retain(|place| place.number != self.1);
    }
}

impl Turns {
    /// None was had yet.
    pub fn new(world: Rc<World>) -> Self {
        Self {
            world,
            all: Cell::default(),
            users: RefCell::default(),
            line: RefCell::default(),
            next_place: Cell::default(),
            running: Cell::default(),
            changed: Notify::new(),
        }
    }

    /// One more was made without a turn.
    pub fn count(&self) {
        self.all.set(self.all.get().and_one(self.world.monotonic(), RATE, BURST));
    }

    /// Whether one more may be made at once.
    pub fn has_more(&self) -> bool {
        self.all.get().level(self.world.monotonic(), RATE) + 1.0 <= BURST
    }

    /// Waits for the client's turn.
    ///
    /// # Errors
    /// There are others before it, or it has had too many.
    pub async fn turn(&self, client: &Rc<Client>) -> Result<Turn<'_>> {
        let start = self.world.monotonic();
        client.recent.set(client.recent.get().and_one(start, FORGOTTEN, MOST_REMEMBERED));
        self.change(client.owner(), |user| user.recent = user.recent.and_one(start, FORGOTTEN, MOST_REMEMBERED));
        let number = self.next_place.get();
        self.next_place.set(number.wrapping_add(1));
        let recent = rounded(client.recent.get().level(start, FORGOTTEN));
        let sent_away = Rc::new(Notify::new());
        self.line.borrow_mut().push(Place { owner: client.owner(), number, recent, sent_away: sent_away.clone() });
        let place = InLine(self, number);
        self.shorten();
        loop {
            let changed = self.changed.notified();
            let now = self.world.monotonic();
            if !self.line.borrow().iter().any(|place| place.number == number) {
                return Err(limit("too many others wait for one"));
            }
            match self.wait_of(client.owner(), now) {
                Some(Duration::ZERO) if self.first(now) == Some(number) => {
                    self.count();
                    self.change(client.owner(), |user| {
                        user.granted = user.granted.and_one(now, RATE_OF_ONE, BURST_OF_ONE);
                    });
                    self.running.set(self.running.get().saturating_add(1));
                    drop(place);
                    // There may be one more, for another.
                    self.changed.notify_waiters();
                    return Ok(Turn(self));
                }
                wait => {
                    let left = LONGEST_WAIT.saturating_sub(now.saturating_duration_since(start));
                    if left.is_zero() {
                        return Err(limit("there is no end of it"));
                    }
                    // Somebody's turn before this one's may come first, and is told.
                    let wait = wait.filter(|wait| !wait.is_zero()).unwrap_or(left).min(left);
                    tokio::select! {
                        () = changed => {}
                        () = sent_away.notified() => {}
                        () = self.world.sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// How long until one more may be made for this user; none where that depends on others.
    fn wait_of(&self, owner: Owner, now: Instant) -> Option<Duration> {
        if self.running.get() >= AT_A_TIME {
            return None;
        }
        let granted = self.users.borrow().get(&owner).map(|user| user.granted).unwrap_or_default();
        let all = until_one_more(self.all.get(), now, RATE, BURST);
        Some(all.max(until_one_more(granted, now, RATE_OF_ONE, BURST_OF_ONE)))
    }

    /// Whose turn it is, of those who may have one.
    fn first(&self, now: Instant) -> Option<u64> {
        let line = self.line.borrow();
        let may = line.iter().filter(|place| self.wait_of(place.owner, now) == Some(Duration::ZERO));
        may.min_by_key(|place| self.rank(place, now)).map(|place| place.number)
    }

    /// Sends the last ones away where the line is too long.
    fn shorten(&self) {
        let now = self.world.monotonic();
        while self.line.borrow().len() > LINE {
            let mut line = self.line.borrow_mut();
            let last = line.iter().enumerate().max_by_key(|(_, place)| self.rank(place, now));
            let Some((index, _)) = last else { return };
            line.swap_remove(index).sent_away.notify_one();
        }
    }

    fn rank(&self, place: &Place, now: Instant) -> Rank {
        let recent = self.users.borrow().get(&place.owner).map(|user| user.recent).unwrap_or_default();
        (rounded(recent.level(now, FORGOTTEN)), place.recent, std::cmp::Reverse(place.number))
    }

    fn change(&self, owner: Owner, change: impl FnOnce(&mut User)) {
        let mut users = self.users.borrow_mut();
        if users.len() >= MOST_USERS && !users.contains_key(&owner) {
            let now = self.world.monotonic();
            users.retain(|_, user| user.granted.level(now, RATE_OF_ONE) > 0.0);
        }
        change(users.entry(owner).or_default());
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a level is small and not negative")]
fn rounded(level: f64) -> u64 {
    level.ceil() as u64
}

fn until_one_more(meter: Meter, now: Instant, rate: f64, most: f64) -> Duration {
    let too_much = meter.level(now, rate) + 1.0 - most;
    // A little longer, so that what was rounded does not have it ask again at once.
    if too_much <= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(too_much / rate + 0.001) }
}

/// That there is a limit, and which.
pub fn limit(why: &str) -> Error {
    let problem = format!("{why}: fedboot has at most 120 new ones made a minute, and 90 of them for one user");
    Error::new(Kind::Transient, "make a token that nobody has asked for before", "", problem)
        .advice("ask again later, and for fewer different audiences and scopes")
}
