//! Who asks a loopback server: a connection, and whose it is.

use std::cell::{Cell, OnceCell};
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::time::Instant;

use crate::system::process::owner::{Owner, Owners};

/// A connection to a server.
pub struct Client {
    owners: Rc<Owners>,
    /// The client's end of it, and the server's.
    ends: Option<(SocketAddr, SocketAddr)>,
    owner: OnceCell<Owner>,
    /// How many new tokens it has asked for lately.
    pub recent: Cell<Meter>,
    /// No other client has this number.
    pub number: u64,
}

impl Client {
    /// The one behind these ends of a connection.
    pub fn new(owners: Rc<Owners>, ends: Option<(SocketAddr, SocketAddr)>, number: u64) -> Self {
        Self { owners, ends, owner: OnceCell::new(), recent: Cell::default(), number }
    }

    /// Whose it is. The kernel is asked once.
    pub fn owner(&self) -> Owner {
        *self.owner.get_or_init(|| match self.ends {
            Some((client, server)) => self.owners.of(client, server),
            None => Owner::Nobody,
        })
    }
}

/// Who may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guests {
    /// Everybody.
    Any,
    /// These users.
    Users(Vec<u32>),
    /// The same, but where nobody can tell whose a connection is, everybody: nobody has asked for this.
    UsersIfKnowable(Vec<u32>),
}

impl Guests {
    /// Reads `any`, or user ids with commas between them.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "any" {
            return Some(Self::Any);
        }
        text.split(',').map(|id| id.trim().parse().ok()).collect::<Option<_>>().map(Self::Users)
    }

    /// Who may ask beside those that were named: root can be anybody, and a user may ask for his own.
    #[must_use]
    pub fn and(self, user: u32) -> Self {
        match self {
            Self::Users(named) => Self::Users(named.into_iter().chain([0, user]).collect()),
            other => other,
        }
    }

    /// Whether the client is one of them, or why it is not.
    ///
    /// # Errors
    /// One line for the client.
    pub fn admit(&self, client: &Client) -> Result<(), String> {
        let (Self::Users(users) | Self::UsersIfKnowable(users)) = self else { return Ok(()) };
        let advice = "--allow-uid of its agent says who may ask this server";
        match client.owner() {
            Owner::User(user) if users.contains(&user) => Ok(()),
            Owner::User(user) => Err(format!("uid {user} is not allowed here; {advice}")),
            Owner::Unknowable if matches!(self, Self::UsersIfKnowable(_)) => Ok(()),
            Owner::Unknowable => Err(format!("this system does not tell whose a connection is; {advice}")),
            Owner::Nobody => Err(format!("whoever recent has closed the connection; {advice}")),
        }
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
