//! What a guard does all its life: stands by a command, forks agents and waits for what happens to either.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

use crate::system::process::readiness_pipe::ReadinessWriter;
use crate::system::process::signals::heed_no_signals;
use crate::system::process::title::be_called;
use crate::system::process::watch::{TERMINATION, WATCH_INTERVAL, Watch, readable, take_signals};

/// The pid by which the processes of an agent without a command are called.
const NOBODY: i32 = 0;

/// What a guard stands by: whose end it awaits, and who waits for its agent's word.
pub struct GuardPost {
    /// Watches the process that becomes the command; none for an agent alone.
    pub command: Option<Watch>,
    /// The other end of a `ReadinessReader`, until readiness is reported.
    pub readiness: Option<ReadinessWriter>,
    signals: Option<SignalFd>,
    keeps_name: bool,
}

impl GuardPost {
    /// A guard that stands by `command`, if there is one, whose agent reports its `readiness`.
    pub(super) fn beside(command: Option<Watch>, readiness: ReadinessWriter) -> Self {
        Self { command, readiness: Some(readiness), signals: None, keeps_name: false }
    }

    /// This process is the guard itself, under the name that it was started by: an agent without a command, in front.
    pub fn in_front() -> Self {
        Self { command: None, readiness: None, signals: None, keeps_name: true }
    }

    /// Makes this process fit to be the guard: told of its agent's end, and by nobody else's signals but those that
    /// mean the end of an agent without a command.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn take(&mut self) -> nix::Result<()> {
        if !self.keeps_name {
            be_called(c"fedboot-guard", "--fedboot-guard", self.pid());
        }
        heed_no_signals(self.command.is_some());
        let all = [Signal::SIGCHLD].into_iter().chain(TERMINATION);
        let wanted: Vec<_> = all.take(if self.command.is_some() { 1 } else { usize::MAX }).collect();
        self.signals = Some(take_signals(&wanted)?);
        Ok(())
    }

    fn pid(&self) -> i32 {
        self.command.as_ref().map_or(NOBODY, |command| command.pid().as_raw())
    }

    /// Forks an agent.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn fork_agent(&mut self) -> nix::Result<Forked> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (guards, agents) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags)?;
        let guard = nix::unistd::getpid();
        // SAFETY: this process has one thread, so the child may go on as an ordinary process.
        match unsafe { nix::unistd::fork() }? {
            ForkResult::Parent { child } => Ok(Forked::Guard(GuardedAgent { pid: child, line: guards, listens: true })),
            ForkResult::Child => {
                drop(guards);
                self.signals = None;
                self.keeps_name = false;
                be_called(c"fedboot-agent", "--fedboot-agent", self.pid());
                heed_no_signals(self.command.is_some());
                Ok(Forked::Agent(GuardLine { socket: agents, guard }))
            }
        }
    }

    /// Waits for `longest`, or until the command ends or whoever started this says that it shall; says whether.
    pub fn rest(&self, longest: Duration) -> bool {
        matches!(self.wait(None, Some(longest)), Event::CommandEnded | Event::Signalled(_))
    }

    /// Waits for the next thing that happens to `agent` or to whoever is watched.
    pub fn wait(&self, mut agent: Option<&mut GuardedAgent>, longest: Option<Duration>) -> Event {
        let command = self.command.as_ref();
        let watched = command.and_then(Watch::descriptor);
        let unwatched = command.filter(|_| watched.is_none());
        let longest = match (longest, unwatched) {
            (Some(longest), Some(_)) => Some(longest.min(WATCH_INTERVAL)),
            (None, Some(_)) => Some(WATCH_INTERVAL),
            (longest, None) => longest,
        };
        let timeout = longest.map_or(-1, |longest| i32::try_from(longest.as_millis()).unwrap_or(i32::MAX));
        // The kernel passes over a number below 0. No list and no more code than this: it is where a guard spends its life.
        let entry = |fd: Option<RawFd>| libc::pollfd { fd: fd.unwrap_or(-1), events: libc::POLLIN, revents: 0 };
        let mut ready = [
            entry(watched.map(|fd| fd.as_raw_fd())),
            entry(agent.as_ref().filter(|agent| agent.listens).map(|agent| agent.line.as_raw_fd())),
            entry(self.signals.as_ref().map(|signals| signals.as_fd().as_raw_fd())),
        ];
        // SAFETY: three entries on the stack.
        let count = unsafe { libc::poll(ready.as_mut_ptr(), 3, timeout) };
        match count {
            0 if unwatched.is_some_and(Watch::has_ended) => return Event::CommandEnded,
            // The signal of its end may have come to nothing.
            0 if unwatched.is_none() => {
                return match reap(agent.as_deref()) {
                    Event::Nothing => Event::TimeIsUp,
                    event => event,
                };
            }
            0 => return Event::Nothing,
            // A signal came in between, or the kernel has no memory; a guard must not spin.
            ..0 => {
                if Errno::last() != Errno::EINTR {
                    std::thread::sleep(WATCH_INTERVAL);
                }
                return reap(agent.as_deref());
            }
            1.. => {}
        }
        let [command_ended, agent_speaks, signalled] = ready.map(|entry| entry.revents != 0);
        if command_ended {
            return Event::CommandEnded;
        }
        // What the agent said before its end counts first.
        if let (true, Some(agent)) = (agent_speaks || signalled, agent.as_mut())
            && let Some(news) = agent.news()
        {
            return Event::News(news);
        }
        if let (true, Some(signals)) = (signalled, &self.signals)
            && let Ok(Some(info)) = signals.read_signal()
        {
            let signal = i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
            if let Some(signal) = signal.filter(|signal| *signal != Signal::SIGCHLD) {
                return Event::Signalled(signal);
            }
        }
        reap(agent.as_deref())
    }
}

/// Reaps whoever has ended: as pid 1, also those that others left.
fn reap(agent: Option<&GuardedAgent>) -> Event {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            break;
        }
        if status.pid() == agent.map(|agent| agent.pid) && status.pid().is_some() {
            return match status {
                WaitStatus::Exited(_, code) => Event::AgentLeft(u8::try_from(code).unwrap_or(1)),
                WaitStatus::Signaled(_, signal, _) => Event::AgentDied(signal),
                _ => continue,
            };
        }
    }
    Event::Nothing
}

/// In which process [`GuardPost::fork_agent`] came back.
pub enum Forked {
    /// The guard.
    Guard(GuardedAgent),
    /// The agent.
    Agent(GuardLine),
}

/// What a guard waits for.
#[derive(Debug)]
pub enum Event {
    /// Nothing, so far.
    Nothing,
    /// Nothing, for as long as was to be waited.
    TimeIsUp,
    /// The command has ended.
    CommandEnded,
    /// Somebody wants this to end, by this signal.
    Signalled(Signal),
    /// The agent has sent a word of how it stands.
    News(AgentNews),
    /// The agent has nothing more to do: its exit code.
    AgentLeft(u8),
    /// Something has ended the agent.
    AgentDied(Signal),
}

/// A guard's view of its agent.
pub struct GuardedAgent {
    pid: Pid,
    line: OwnedFd,
    /// Whether its news are waited for; at its end they are heard in any case.
    pub listens: bool,
}

/// What an agent tells its guard, each a byte.
#[derive(Clone, Copy, Debug)]
pub enum AgentNews {
    /// The command may start.
    HasReported,
    /// There will never be any credentials.
    WillBeNothing,
    /// Clients have credentials that are good.
    HasDelivered,
}

impl GuardedAgent {
    fn news(&mut self) -> Option<AgentNews> {
        let mut byte = [0];
        match (nix::unistd::read(&self.line, &mut byte), byte) {
            (Ok(1), [b'W']) => Some(AgentNews::HasReported),
            (Ok(1), [b'N']) => Some(AgentNews::WillBeNothing),
            (Ok(1), _) => Some(AgentNews::HasDelivered),
            (Ok(_), _) => {
                // It is ending, and its end is told by a signal; a line that is closed would be ready all the time.
                self.listens = false;
                None
            }
            (Err(_), _) => None,
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = nix::sys::signal::kill(self.pid, signal);
    }
}

/// An agent's line to its guard.
pub struct GuardLine {
    socket: OwnedFd,
    guard: Pid,
}

impl GuardLine {
    /// Tells the guard.
    pub fn tell(&self, news: AgentNews) {
        let byte = match news {
            AgentNews::HasReported => b'W',
            AgentNews::WillBeNothing => b'N',
            AgentNews::HasDelivered => b'D',
        };
        let _ = nix::unistd::write(&self.socket, &[byte]);
    }

    /// Waits for the guard's end.
    pub async fn guard_ended(&self) {
        let line = self.socket.try_clone().and_then(readable);
        match line {
            // It never says anything.
            Ok(line) => drop(line.readable().await),
            Err(_) => std::future::pending().await,
        }
    }

    /// The guard's pid.
    pub fn guard(&self) -> i32 {
        self.guard.as_raw()
    }

    /// A guard that was stopped must see this one's end.
    pub fn wake_guard(&self) {
        if nix::unistd::getppid() == self.guard {
            let _ = nix::sys::signal::kill(self.guard, Signal::SIGCONT);
        }
    }
}
