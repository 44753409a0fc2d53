//! Who asks a loopback server: a connection, and whose it is.

use std::cell::{Cell, OnceCell};
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::time::Instant;

use crate::process::owner::{Owner, Owners};

/// A connection to a server.
pub struct Client {
    owners: Rc<Owners>,
    /// The client's end of it, and the server's.
    ends: Option<(SocketAddr, SocketAddr)>,
    owner: OnceCell<Owner>,
    /// How many new tokens it has asked for lately.
    pub asked: Cell<Meter>,
    /// No other client has this number.
    pub number: u64,
}

impl Client {
    /// The one behind these ends of a connection.
    pub fn new(owners: Rc<Owners>, ends: Option<(SocketAddr, SocketAddr)>, number: u64) -> Self {
        Self { owners, ends, owner: OnceCell::new(), asked: Cell::default(), number }
    }

    /// Whose it is. The kernel is asked once.
    pub fn owner(&self) -> Owner {
        *self.owner.get_or_init(|| match self.ends {
            Some((client, server)) => self.owners.of(client, server),
            None => Owner::Nobody,
        })
    }
}

/// How much there was lately: a level that sinks with time.
#[derive(Clone, Copy, Default)]
pub struct Meter {
    level: f64,
    at: Option<Instant>,
}

impl Meter {
    /// The level at `now`, having sunk by `rate` a second.
    pub fn level(self, now: Instant, rate: f64) -> f64 {
        let passed = self.at.map(|at| now.saturating_duration_since(at).as_secs_f64());
        (self.level - passed.unwrap_or_default() * rate).max(0.0)
    }

    /// One more at `now`, up to `most`.
    #[must_use]
    pub fn and_one(self, now: Instant, rate: f64, most: f64) -> Self {
        Self { level: (self.level(now, rate) + 1.0).min(most), at: Some(now) }
    }
}
