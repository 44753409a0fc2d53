//! Asking an agent of the same user: a socket without a file, by which either side knows whom it speaks to. Nothing of it
//! is left when the agent ends, and no disk is needed.
//! <https://man7.org/linux/man-pages/man7/unix.7.html>, "abstract".

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket, sockopt::PeerCredentials,
};

use crate::system::process::descriptors::above_standard;

/// How long an answer is waited for, in steps of so many milliseconds: an agent that runs gives it in less than a millisecond, unless
/// the machine is busy with other things.
const STEPS: usize = 30;
const STEP: u8 = 100;
/// How many of the steps are for agents that are most likely somebody else's affair.
const STEPS_FOR_OTHERS: usize = 5;
/// More than this no agent says, in bytes.
const LONGEST_ANSWER: usize = 1 << 20;

/// What was heard on the sockets of agents.
#[derive(Default)]
pub struct Heard {
    /// The answers.
    pub answers: Vec<Vec<u8>>,
    /// Whether they are of agents with the asker's own key.
    pub is_own: bool,
    /// The processes with that key that did not answer.
    pub silent: Vec<i32>,
    /// Other users whose agents would not answer this one.
    pub others: Vec<u32>,
}

/// An agent that is being asked.
struct PendingAnswer {
    stream: UnixStream,
    pid: i32,
    bytes: Vec<u8>,
}

fn prefix(user: u32, key: u64) -> String {
    format!("fedboot/{user}/{key:016x}/")
}

/// A socket for the agent of `user` that is called `agent`; none where the kernel has no such sockets. By the `key` it
/// is found even when it does not answer.
pub fn listen(user: u32, key: u64, agent: &str) -> Option<UnixListener> {
    let address = SocketAddr::from_abstract_name(prefix(user, key) + agent).ok()?;
    let listener = UnixListener::bind_addr(&address).ok()?;
    listener.set_nonblocking(true).ok()?;
    Some(above_standard(listener.into()).ok()?.into())
}

/// Whether there is another agent of `user` with this key than the one that is called `agent`.
pub fn has_other(user: u32, key: u64, agent: &str) -> bool {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let own = prefix(user, key);
    table.lines().filter_map(listening).filter_map(|name| name.strip_prefix(&own)).any(|other| other != agent)
}

/// Asks the agents of `user` with this key; where there is none, with `others`, all of theirs, and for root those of
/// everybody: an answer tells whether it is meant; whose agents there are beside is said too. Who is not the user that the
/// socket's name says is not listened to: anybody may give a socket any name.
pub fn ask(user: u32, key: u64, others: bool) -> Heard {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let mut names: Vec<&str> = table.lines().filter_map(listening).collect();
    names.sort_unstable();
    names.dedup();
    let own = prefix(user, key);
    let (own, foreign): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|name| name.starts_with(&own));
    let mut asked: Vec<PendingAnswer> = own.into_iter().filter_map(reach).map(|(_, agent)| agent).collect();
    let is_own = !asked.is_empty();
    let mut heard = Heard::default();
    if !is_own && others {
        for (of, agent) in foreign.into_iter().filter_map(reach) {
            if [0, of].contains(&user) { asked.push(agent) } else { heard.others.push(of) }
        }
        heard.others.dedup();
    }
    for step in 0..STEPS {
        if asked.is_empty() || (!is_own && step >= STEPS_FOR_OTHERS) {
            break;
        }
        let mut ready: Vec<PollFd<'_>> =
            asked.iter().map(|agent| PollFd::new(agent.stream.as_fd(), PollFlags::POLLIN)).collect();
        let _ = poll(&mut ready, STEP);
        asked = asked.into_iter().filter_map(|agent| agent.listen(&mut heard)).collect();
    }
    if is_own {
        heard.silent = asked.iter().map(|agent| agent.pid).collect();
    }
    heard.is_own = is_own;
    heard
}

impl PendingAnswer {
    /// Takes what is there; gives itself back while there is more to come.
    fn listen(mut self, heard: &mut Heard) -> Option<Self> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) if self.bytes.len() < LONGEST_ANSWER => self.bytes.extend(buffer.iter().take(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(self),
                // It says too much, or has just ended.
                Ok(_) | Err(_) => return None,
            }
        }
        if !self.bytes.is_empty() {
            heard.answers.push(self.bytes);
        }
        None
    }
}

/// The name of a listening socket in a line of `/proc/net/unix`.
fn listening(line: &str) -> Option<&str> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, _, _, "00010000", _, _, _, name] = fields[..] else { return None };
    name.strip_prefix('@')
}

/// Reaches the agent with this name, and says whose it is.
fn reach(name: &str) -> Option<(u32, PendingAnswer)> {
    let of: u32 = name.strip_prefix("fedboot/")?.split('/').next()?.parse().ok()?;
    // Without blocking: a socket whose queue is full would have this one wait for ever.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).ok()?;
    connect(fd.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes()).ok()?).ok()?;
    let peer = getsockopt(&fd, PeerCredentials).ok()?;
    (peer.uid() == of).then(|| (of, PendingAnswer { stream: fd.into(), pid: peer.pid(), bytes: Vec::new() }))
}
