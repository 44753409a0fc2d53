//! The connections of a server, and what they may hold: one on which no whole request has come costs no buffer, as what
//! it sent stays in the kernel, and there are places for only so many at a time of which one was read.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::system::process;
use crate::system::world::World;

/// The largest header of a request.
pub const LARGEST_HEADER: usize = 8 << 10;
/// Above this many, connections that are idle give way: clients that hold theirs open must not lock others out.
const MANY: usize = 1024;
/// Fewer than these are not worth a wake-up to see whether they have ended.
const FEW: usize = 64;
/// When and how often is looked after more of them.
const LOOK: Duration = Duration::from_secs(1);
const LOOKS: u8 = 5;
/// The same while somebody waits for a place.
const HURRIED_LOOK: Duration = Duration::from_millis(5);
/// How many there may be at all. One on which no whole request has come costs next to nothing.
const MOST: usize = 16 << 10;
/// How many of which a request was read. Each has some 20 kB of buffers.
const PLACES: usize = 384;
/// Bytes of unfinished first requests in all, which the kernel holds.
const MOST_UNREAD: usize = 4 << 20;
/// How long a connection may say nothing, where there is no room for more.
const FIRST_BYTE: Duration = Duration::from_millis(250);
/// How long the rest of a first request may take, where there are many.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// How long a request may be in hand while others wait for a place, and how often is looked after that.
const IN_HAND: Duration = Duration::from_secs(1);
const IN_HAND_LOOK: Duration = Duration::from_millis(100);
/// How long a connection may be idle after an answer, where there are many.
const NEXT_REQUEST: Duration = Duration::from_millis(20);

/// All connections of one server.
pub struct Crowd {
    world: Rc<World>,
    members: RefCell<Vec<Member>>,
    /// How many there are when it is a crowd, and how many there may be.
    many: usize,
    most: usize,
    /// The largest number since memory was given back.
    largest: Cell<usize>,
    /// How often will be looked after them before it is believed that a burst is over.
    looks: Cell<u8>,
    places: Semaphore,
    /// How many wait for a place.
    waiting: Cell<usize>,
    unread: Cell<usize>,
    /// There is something to do before the next look.
    pressed: Notify,
    /// What was peeked at, by one at a time.
    scratch: RefCell<Box<[u8]>>,
}

struct Member {
    task: AbortHandle,
    state: Rc<Cell<State>>,
}

/// How a connection stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing was sent yet.
    SilentSince(Instant),
    /// A part of the first request is there.
    UnfinishedSince(Instant),
    /// The first request is there, and in line for a place.
    InLine,
    /// It has a place, and no request, or only a part of it.
    IdleSince(Instant),
    /// It has a place, and a request is in hand.
    Busy,
}

/// What became of a first request.
pub enum First {
    /// Its header is whole.
    Whole,
    /// Its header is larger than any may be.
    TooLarge,
    /// It will never be whole.
    Ended,
}

impl Crowd {
    /// An empty one.
    pub fn new(world: Rc<World>) -> Self {
        // The agent needs a few descriptors of its own, and what it was given may be little.
        let most = MOST.min(process::descriptor_limit(2 * MOST) / 2);
        Self {
            world,
            members: RefCell::default(),
            many: MANY.min(most / 2),
            most,
            largest: Cell::default(),
            looks: Cell::default(),
            places: Semaphore::new(PLACES.min((most / 2).max(1))),
            waiting: Cell::default(),
            unread: Cell::default(),
            pressed: Notify::new(),
            scratch: RefCell::new(vec![0; LARGEST_HEADER].into()),
        }
    }

    /// A state for a new connection.
    pub fn newcomer(&self) -> Rc<Cell<State>> {
        Rc::new(Cell::new(State::SilentSince(self.world.monotonic())))
    }

    /// Adds it.
    pub fn add(&self, task: AbortHandle, state: Rc<Cell<State>>) {
        let mut members = self.members.borrow_mut();
        members.push(Member { task, state });
        self.largest.set(self.largest.get().max(members.len()));
        if members.len() > FEW {
            self.looks.set(LOOKS);
        }
    }

    /// When to look after all again; comes back before that when there is something to do.
    pub async fn next_look(&self) {
        let pause = match self.looks.get() {
            _ if self.is_awaited() => HURRIED_LOOK,
            0 => Duration::MAX,
            _ => LOOK,
        };
        if tokio::time::timeout(pause, self.pressed.notified()).await.is_err() && !self.is_awaited() {
            self.looks.set(self.looks.get().saturating_sub(1));
        }
    }

    /// Whether there are so many that idle ones are to give way.
    pub fn is_one(&self) -> bool {
        self.members.borrow().len() >= self.many
    }

    /// Whether somebody waits for a place.
    pub fn is_awaited(&self) -> bool {
        self.waiting.get() > 0
    }

    /// Comes back when there is room for one more.
    pub async fn room(&self) {
        while self.members.borrow().len() >= self.most {
            self.look_after();
            let next = self.next_to_go();
            match next {
                Some(index) => self.members.borrow_mut().remove(index).task.abort(),
                // All have a request in hand or on its way, which does not take long; others wait in line.
                None => self.world.sleep(NEXT_REQUEST).await,
            }
        }
    }

    /// Forgets connections that have ended, and ends those that may give way and are to, the oldest first. What they
    /// needed is given back once most are gone.
    pub fn look_after(&self) {
        let now = self.world.monotonic();
        let is_over = |then, time| now.saturating_duration_since(then) >= time;
        let mut members = self.members.borrow_mut();
        members.retain(|member| !member.task.is_finished());
        if members.len() > FEW {
            self.looks.set(LOOKS);
        }
        let mut too_many = members.len().saturating_sub(self.many);
        let mut awaited = self.waiting.get();
        let is_too_much_unread = self.unread.get() > MOST_UNREAD;
        members.retain(|member| {
            let gives_way = match member.state.get() {
                State::UnfinishedSince(then) => is_too_much_unread || (too_many > 0 && is_over(then, FIRST_REQUEST)),
                State::IdleSince(then) => (awaited > 0 || too_many > 0) && is_over(then, NEXT_REQUEST),
                _ => false,
            };
            if gives_way {
                member.task.abort();
                too_many = too_many.saturating_sub(1);
                if matches!(member.state.get(), State::IdleSince(_)) {
                    awaited = awaited.saturating_sub(1);
                }
            }
            !gives_way
        });
        if self.largest.get() > FEW && (members.len() <= self.largest.get() / 2 || self.looks.get() == 0) {
            // Not forgotten before the last look: they may go one by one.
            self.largest.set(if self.looks.get() == 0 { 0 } else { members.len().max(FEW + 1) });
            members.shrink_to(FEW);
            // The tasks that were ended just now are dropped after this.
            let some_time = self.world.clone();
            tokio::task::spawn_local(async move {
                some_time.sleep(NEXT_REQUEST).await;
                process::heap::give_back();
            });
        }
    }

    /// The oldest connection that gives way where there is no room at all.
    fn next_to_go(&self) -> Option<usize> {
        let now = self.world.monotonic();
        let members = self.members.borrow();
        let oldest =
            |wanted: fn(State, Instant) -> bool| members.iter().position(|member| wanted(member.state.get(), now));
        oldest(|state, _| matches!(state, State::UnfinishedSince(_) | State::IdleSince(_)))
            .or_else(|| oldest(|state, now| matches!(state, State::SilentSince(then) if now.saturating_duration_since(then) >= FIRST_BYTE)))
    }

    /// Waits for the whole header of a first request, and takes nothing of it.
    ///
    /// # Errors
    /// The connection's.
    pub async fn first_request(&self, stream: &TcpStream, state: &Cell<State>) -> io::Result<First> {
        let mut unread = Unread { of: self, bytes: 0 };
        loop {
            let ready = stream.ready(Interest::READABLE).await?;
            let peeked = stream.try_io(Interest::READABLE, || {
                let mut scratch = self.scratch.borrow_mut();
                let count = process::peek(stream, &mut scratch)?;
                let bytes = scratch.get(..count).unwrap_or_default();
                match count {
                    _ if is_whole(bytes) => Ok(First::Whole),
                    LARGEST_HEADER => Ok(First::TooLarge),
                    0 => Ok(First::Ended),
                    _ => {
                        unread.set(count);
                        // With this the runtime waits for more than what is there.
                        Err(io::ErrorKind::WouldBlock.into())
                    }
                }
            });
            match peeked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            if ready.is_read_closed() {
                return Ok(First::Ended);
            }
            if matches!(state.get(), State::SilentSince(_)) && unread.bytes > 0 {
                state.set(State::UnfinishedSince(self.world.monotonic()));
            }
        }
    }

    /// Waits for a place.
    pub async fn place(&self, state: &Cell<State>) -> Option<SemaphorePermit<'_>> {
        state.set(State::InLine);
        if let Ok(place) = self.places.try_acquire() {
            return Some(place);
        }
        let _waiting = Waiting::of(self);
        self.places.acquire().await.ok()
    }

    /// Comes back when a request has been in hand for long, and others wait for its place.
    pub async fn impatience(&self) {
        self.world.sleep(IN_HAND).await;
        while !self.is_awaited() {
            self.world.sleep(IN_HAND_LOOK).await;
        }
    }
}

/// How much of a first request is there, as long as it is unfinished.
struct Unread<'a> {
    of: &'a Crowd,
    bytes: usize,
}

impl Unread<'_> {
    fn set(&mut self, bytes: usize) {
        let all = self.of.unread.get().saturating_sub(self.bytes).saturating_add(bytes);
        self.of.unread.set(all);
        self.bytes = bytes;
        if all > MOST_UNREAD {
            self.of.pressed.notify_one();
        }
    }
}

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        self.of.unread.set(self.of.unread.get().saturating_sub(self.bytes));
    }
}

/// Somebody who waits for a place.
struct Waiting<'a>(&'a Crowd);

impl<'a> Waiting<'a> {
    fn of(crowd: &'a Crowd) -> Self {
        if !crowd.is_awaited() {
            crowd.pressed.notify_one();
        }
        crowd.waiting.set(crowd.waiting.get().saturating_add(1));
        Self(crowd)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get().saturating_sub(1));
    }
}

/// Whether hyper would wait for nothing more: the header is whole, or no beginning of one.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(start) = bytes.iter().position(|byte| !b"\r\n".contains(byte)) else { return false };
    let bytes = bytes.get(start..).unwrap_or_default();
    // The first byte of a method: <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2>.
    let is_request =
        bytes.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
    let mut lines = bytes.split(|byte| *byte == b'\n');
    // What follows the last line end is no line yet.
    let last = lines.next_back();
    !is_request || (last.is_some() && lines.any(|line| line.is_empty() || line == b"\r"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_headers() {
        for (text, whole) in [
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\n\n", true),
            ("\r\n\r\nGET / HTTP/1.1\r\nA: b\r\n\r\nmore", true),
            ("", false),
            ("\r\n\r\n", false),
            ("\r\n\r\nG", false),
            ("GET / HTTP/1.1\r\n", false),
            ("GET / HTTP/1.1\r\nA: b\r\n\r", false),
            ("GET / HTTP/1.1\r\nA: b\r\n", false),
            ("\u{16}\u{3}", true),
            (" GET", true),
        ] {
            assert_eq!(is_whole(text.as_bytes()), whole, "{text:?}");
        }
    }
}
