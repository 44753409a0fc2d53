//! From a host's name to a connection.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::error::reasons;
use crate::system::http::{Failure, Http, progress, within};
use crate::system::world;

/// A host that does not even accept a connection leaves time for its next address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A resolver that has lost a question asks again after half of that.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Name servers that have not answered for so long are at fault, not the haste of the one who asks.
const SLOW_LOOKUP: Duration = Duration::from_millis(250);

impl Http {
    /// Connects to the first of the host's addresses that lets it.
    pub(super) async fn connect_tcp(&self, host: &str, port: u16) -> Result<TcpStream, Failure> {
        let host = host.trim_matches(['[', ']']);
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => self.look_up(host, port).await?,
        };
        let mut failure =
            Failure::passing(format!("cannot be reached: no address for {host}")).reason(&reasons::NAME_UNKNOWN);
        for address in addresses {
            let _waiting = progress::wait_for(format!("a connection to {host} ({address})"));
            let started = Instant::now();
            let connected = within(CONNECT_TIMEOUT, async {
                TcpStream::connect(address).await.map_err(|error| Failure::passing(world::plain(&error)))
            });
            match connected.await {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    self.trace.borrow_mut().connected = Some((started.elapsed(), address));
                    return Ok(stream);
                }
                Err(why) => {
                    let problem = format!("cannot be reached: {} ({address})", why.problem);
                    failure = Failure::passing(problem).reason(&reasons::UNREACHABLE);
                }
            }
        }
        Err(failure)
    }

    /// Gives up before whoever waits for the whole, and so says what it was that took the time.
    async fn look_up(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        let now = Instant::now();
        let since = self.unresolved_since.get().unwrap_or(now);
        self.unresolved_since.set(Some(since));
        let left = self.at_most(LOOKUP_TIMEOUT);
        let is_slow = now.duration_since(since).saturating_add(left) > SLOW_LOOKUP;
        let patience = if is_slow { left.mul_f64(0.9) } else { left };
        let none = |why: &str| {
            Failure::passing(format!("cannot be reached: no address for {host} ({why})")).reason(&reasons::NAME_UNKNOWN)
        };
        let _waiting = progress::wait_for(format!("a name server to say the address of {host}"));
        match tokio::time::timeout(patience, tokio::net::lookup_host((host, port))).await {
            Ok(Ok(found)) => {
                self.unresolved_since.set(None);
                let found: Vec<_> = found.collect();
                self.trace.borrow_mut().looked_up = Some((now.elapsed(), found.len()));
                Ok(found)
            }
            Ok(Err(error)) => Err(none(&world::plain(&error))),
            Err(_) => {
                let waited = since.elapsed().as_secs_f64();
                Err(none(&format!("no name server has answered in {waited:.1} s")))
            }
        }
    }
}
