//! What a guard holds for its agents: the sockets, what clients authenticate with, and what one agent leaves to the next.
//! All of it is made before any agent, so that it is the same for each of them.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixListener;
use std::rc::Rc;

use secrecy::SecretString;

use crate::agent::status;
use crate::config::delivery::{self, GoogleDeliveryConfig};
use crate::config::direction::{self, Direction};
use crate::config::options::Options;
use crate::delivery::loopback::Listeners;
use crate::error::{Error, Kind, Result, reasons};
use crate::system::handover::Handover;
use crate::system::process::{self, peers};
use crate::system::world::{self, World, random_name};

/// A burst of clients waits in line; one that finds no place tries again after a second, which some SDKs do not have.
const LISTEN_QUEUE: i32 = 4096;

/// See the module.
pub struct Holdings {
    server: Option<Result<Listeners>>,
    status: Option<UnixListener>,
    handover: Rc<Handover>,
    /// What agents of the same credentials file have in common.
    key: u64,
    /// What clients of the credentials endpoint know.
    pub secret: SecretString,
    /// A random name for what is this agent's own.
    pub name: String,
    /// Whether what the agent prints stands in a log: it is in front, without a command.
    pub is_in_front: bool,
}

/// The sockets of the server that clients will ask, if the deliveries that are asked for have one. What cannot be had is
/// told by the agent. A port below 1024 is root's to give, so they are opened before anybody becomes another user.
pub struct Server(Option<Result<Listeners>>);

impl Server {
    /// Opens it.
    pub fn open(options: &Options, world: &World) -> Self {
        let port = match direction::of(options, world) {
            Ok(Direction::GoogleToAws) => delivery::delivery(options, world)
                .is_ok_and(|delivery| delivery.has_server())
                .then_some(("credentials endpoint", 0)),
            Ok(Direction::AwsToGoogle) => {
                let port =
                    GoogleDeliveryConfig::resolve(options, world).ok().and_then(|delivery| delivery.metadata_port);
                port.map(|port| ("metadata server", port))
            }
            Err(_) => None,
        };
        Self(port.map(|(what, port)| bind(what, port)))
    }
}

impl Holdings {
    /// Makes everything else, as the user that the agents are: the kernel tells whoever asks for their state who began
    /// to listen.
    pub fn new(options: &Options, world: &World, server: Server, is_in_front: bool) -> Self {
        let name = random_name::<6>();
        let key = status::key(&status::credentials_file(options, world));
        Self {
            server: server.0,
            status: peers::listen(world.user, key, &name),
            key,
            handover: Rc::default(),
            secret: random_name::<32>().into(),
            name,
            is_in_front,
        }
    }

    /// The sockets of the server that clients ask, for this process to listen on.
    ///
    /// # Errors
    /// Why there is none.
    pub fn server(&self) -> Result<Listeners> {
        let missing = |problem: String| Error::new(Kind::Fatal, "serve clients", "127.0.0.1", problem);
        match &self.server {
            Some(Ok((first, second))) => {
                let second = second.as_ref().and_then(|second| second.try_clone().ok());
                Ok((first.try_clone().map_err(|error| missing(world::plain(&error)))?, second))
            }
            Some(Err(error)) => Err(error.clone()),
            None => Err(missing("no socket was opened for them".into())),
        }
    }

    /// The socket on which `fedboot status` asks.
    pub fn status(&self) -> Option<UnixListener> {
        self.status.as_ref()?.try_clone().ok()
    }

    /// Whether another agent fills the same credentials file.
    pub fn has_neighbour(&self, world: &World) -> bool {
        peers::has_other(world.user, self.key, &self.name)
    }

    /// What one agent leaves to the next.
    pub fn handover(&self) -> &Rc<Handover> {
        &self.handover
    }
}

/// Where Google's metadata server is, for clients that know no other address.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const METADATA_PORT: u16 = 80;

/// Beside loopback also at the metadata server's own address, in a network that has it on an interface of its own.
fn bind(what: &str, port: u16) -> Result<Listeners> {
    let further = || (port == METADATA_PORT).then(|| listen(METADATA, port).ok()).flatten();
    let bound = listen(Ipv4Addr::LOCALHOST, port).map(|first| (first, further()));
    bound.map_err(|error| {
        let address = if port == 0 { "127.0.0.1".to_owned() } else { format!("127.0.0.1:{port}") };
        let error =
            Error::new(Kind::Fatal, format!("open the {what}"), address, world::plain(&error)).reason(&reasons::PORT);
        if port == 0 { error } else { error.advice("is another agent running? Name another --metadata-port") }
    })
}

fn listen(address: Ipv4Addr, port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((address, port))?;
    listener.set_nonblocking(true)?;
    process::listen(&listener, LISTEN_QUEUE);
    Ok(process::above_standard(listener.into())?.into())
}
