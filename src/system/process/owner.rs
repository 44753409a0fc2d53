//! Whose the other end of a loopback connection is, by the kernel's `sock_diag`
//! (<https://man7.org/linux/man-pages/man7/sock_diag.7.html>): one question about one connection. Where there is no such
//! thing (gVisor), by `/proc/net/tcp`.

use std::cell::{Cell, OnceCell};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use crate::system::process::descriptors::above_standard;

/// Whose a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// This user's.
    User(u32),
    /// Nobody's any more: whoever had it has closed it.
    Nobody,
    /// There is nobody who could tell.
    Unknowable,
}

/// Whom to ask.
#[derive(Default)]
pub struct Owners {
    socket: OnceCell<Option<OwnedFd>>,
    /// The kernel has named an owner: that it knows no connection is then true.
    has_told: Cell<bool>,
}

const HEADER: usize = 16;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
/// TCP's states of a connection whose client can still read an answer.
const CONNECTED: [u8; 4] = [1, 4, 5, 8];

/// What was heard from the kernel.
enum Told {
    Owner(Owner),
    Nothing,
}

impl Owners {
    /// Whose is the end `client` of its connection to `server`?
    pub fn of(&self, client: SocketAddr, server: SocketAddr) -> Owner {
        match self.ask(client, server) {
            Told::Owner(owner) => owner,
            Told::Nothing => look_up(client, server),
        }
    }

    fn ask(&self, client: SocketAddr, server: SocketAddr) -> Told {
        let (SocketAddr::V4(client), SocketAddr::V4(server)) = (client, server) else { return Told::Nothing };
        let Some(socket) = self.socket.get_or_init(open) else { return Told::Nothing };
        let question = question((*client.ip(), client.port()), (*server.ip(), server.port()));
        if send(socket.as_raw_fd(), &question, MsgFlags::empty()).is_err() {
            return Told::Nothing;
        }
        let mut reply = [0; 512];
        // It is there when the question is asked.
        let count = recv(socket.as_raw_fd(), &mut reply, MsgFlags::MSG_DONTWAIT).unwrap_or_default();
        match owner_in(reply.get(..count).unwrap_or_default(), client.port(), server.port()) {
            Some(Owner::Nobody) if !self.has_told.get() => Told::Nothing,
            Some(owner) => {
                self.has_told.set(true);
                Told::Owner(owner)
            }
            None => Told::Nothing,
        }
    }
}

fn open() -> Option<OwnedFd> {
    let kind = SockType::Datagram;
    let socket = socket(AddressFamily::Netlink, kind, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag).ok()?;
    above_standard(socket).ok()
}

/// `inet_diag_req_v2` behind its header.
fn question(client: (Ipv4Addr, u16), server: (Ipv4Addr, u16)) -> [u8; 72] {
    let mut bytes = [0; 72];
    let mut rest = &mut bytes[..];
    let mut put = |part: &[u8]| {
        if let Some((here, behind)) = std::mem::take(&mut rest).split_at_mut_checked(part.len()) {
            here.copy_from_slice(part);
            rest = behind;
        }
    };
    put(&72_u32.to_ne_bytes());
    put(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    // NLM_F_REQUEST, and no number of it or of ours.
    put(&1_u16.to_ne_bytes());
    put(&[0; 8]);
    // AF_INET, TCP, no further attributes, all states.
    put(&[2, 6, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    put(&client.1.to_be_bytes());
    put(&server.1.to_be_bytes());
    for address in [client.0, server.0] {
        put(&address.octets());
        put(&[0; 12]);
    }
    // Any interface, any cookie.
    put(&[0; 4]);
    put(&[0xff; 8]);
    bytes
}

/// The owner in an `inet_diag_msg` about this connection. `None`: it is no answer.
fn owner_in(reply: &[u8], client: u16, server: u16) -> Option<Owner> {
    let word = |at: usize| Some(u32::from_ne_bytes(*reply.get(at..)?.first_chunk()?));
    let short = |at: usize| Some(*reply.get(at..)?.first_chunk()?);
    let body = |at: usize| HEADER.saturating_add(at);
    match short(4).map(u16::from_ne_bytes)? {
        NLMSG_ERROR => {
            let errno = word(HEADER)?.cast_signed().saturating_neg();
            (errno == Errno::ENOENT as i32).then_some(Owner::Nobody)
        }
        SOCK_DIAG_BY_FAMILY => {
            // It finds who listens on the client's port where there is no connection any more.
            let is_it = short(body(4)) == Some(client.to_be_bytes()) && short(body(6)) == Some(server.to_be_bytes());
            let is_connected = CONNECTED.contains(reply.get(body(1))?);
            let (user, inode) = (word(body(64))?, word(body(68))?);
            Some(if is_it && is_connected && inode != 0 { Owner::User(user) } else { Owner::Nobody })
        }
        _ => None,
    }
}

/// The same by the kernel's tables: a program may speak IPv4 by a socket of IPv6.
fn look_up(client: SocketAddr, server: SocketAddr) -> Owner {
    let mut owner = Owner::Unknowable;
    for (file, as_ipv6) in [("/proc/net/tcp", false), ("/proc/net/tcp6", true)] {
        let Ok(table) = fs::read_to_string(file) else { continue };
        let (client, server) = (in_table(client, as_ipv6), in_table(server, as_ipv6));
        let found = table.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let [_, local, remote, state, _, _, _, user, _, inode, ..] = fields[..] else { return None };
            let is_connected = u8::from_str_radix(state, 16).is_ok_and(|state| CONNECTED.contains(&state));
            (local == client && remote == server && is_connected && inode != "0").then(|| user.parse().ok())?
        });
        match found {
            Some(user) => return Owner::User(user),
            None => owner = Owner::Nobody,
        }
    }
    owner
}

/// An address as the tables have it: words as the processor has them.
fn in_table(address: SocketAddr, as_ipv6: bool) -> String {
    let octets = match address.ip() {
        IpAddr::V4(ip) if as_ipv6 => ip.to_ipv6_mapped().octets().to_vec(),
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = octets.as_chunks().0.iter().map(|word| format!("{:08X}", u32::from_ne_bytes(*word)));
    format!("{}:{:04X}", words.collect::<String>(), address.port())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a figure needs a clock")]
mod tests {
    use super::*;
    use std::net::{Ipv6Addr, TcpListener, TcpStream};
    use std::time::Instant;

    #[test]
    fn whose_a_connection_is() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a listener");
        let server = listener.local_addr().expect("an address");
        let (own, owners) = (Owner::User(nix::unistd::geteuid().as_raw()), Owners::default());
        let mapped = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), server.port()));
        assert_eq!(Ipv6Addr::LOCALHOST.to_ipv4_mapped(), None);
        for to in [server, mapped] {
            let Ok(stream) = TcpStream::connect(to) else { continue };
            let (accepted, client) = listener.accept().expect("a connection");
            assert_eq!(look_up(client, server), own, "{to} by the tables");
            assert_eq!(owners.of(client, server), own, "{to}");
            // The other end is somebody else's, and so is another port.
            assert_eq!(owners.of(SocketAddr::from(([127, 0, 0, 2], client.port())), server), Owner::Nobody);
            let start = Instant::now();
            for _ in 0..1000 {
                owners.of(client, server);
            }
            eprintln!("FIGURE whose a connection is: {} ns by the kernel", start.elapsed().as_nanos() / 1000);
            let start = Instant::now();
            look_up(client, server);
            eprintln!("FIGURE whose a connection is: {} ns by the tables", start.elapsed().as_nanos());
            // Who listens where a client was is not the client.
            drop(stream);
            let again = TcpListener::bind(client);
            assert_eq!(owners.of(client, server), Owner::Nobody, "{again:?}");
            assert_eq!(look_up(client, server), Owner::Nobody);
            drop(accepted);
        }
    }
}
