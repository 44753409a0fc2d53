//! Waits for processes, signals and the clock.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use nix::unistd::Pid;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::error::{Error, Kind, Result};
use crate::system::process::descriptors::above_standard;

/// How often a process is looked at on a kernel that knows no pidfd.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// The signals by which an agent without a command is told to end.
pub(super) const TERMINATION: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Waits for such a signal.
pub struct Termination(SignalFd);

/// Has `signals` read instead of acted upon. Before any thread is started.
pub(super) fn take_signals(signals: &[Signal]) -> nix::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in signals {
        // SAFETY: no handler is installed.
        let _ = unsafe { nix::sys::signal::signal(*signal, SigHandler::SigDfl) };
        set.add(*signal);
    }
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Has the signals that mean the end read instead of acted upon. Before any thread is started.
///
/// # Errors
/// What the kernel refused.
pub fn take_termination_signals() -> Result<Termination> {
    take_signals(&TERMINATION)
        .map(Termination)
        .map_err(|errno| Error::new(Kind::Fatal, "wait for signals", "", errno.desc()))
}

impl Termination {
    /// Waits for one of them.
    pub async fn received(self) {
        let raw = self.0.as_fd().try_clone_to_owned().ok().and_then(|fd| readable(fd).ok());
        match raw {
            Some(fd) => drop(fd.readable().await),
            None => std::future::pending().await,
        }
    }
}

/// Waits for the end of the process that is `followed`; `read` reads a file that names it.
pub async fn follow(followed: Followed, read: impl Fn(&Path) -> io::Result<Vec<u8>>) {
    let pid = match followed {
        Followed::Pid(pid) => pid,
        Followed::File(file) => loop {
            let text = read(&file).unwrap_or_default();
            if let Ok(pid) = String::from_utf8_lossy(&text).trim().parse() {
                break Pid::from_raw(pid);
            }
            tokio::time::sleep(WATCH_INTERVAL).await;
        },
    };
    if let Some(watch) = Watch::of(pid) {
        watch.ended().await;
    }
}

/// Whom an agent without a command follows.
pub enum Followed {
    /// This process.
    Pid(Pid),
    /// The one whose pid stands in this file, once it does.
    File(PathBuf),
}

impl Followed {
    /// Reads `text`, a number or the name of a file under `directory`.
    ///
    /// # Errors
    /// A usage error where there is no such process.
    pub fn parse(text: &OsStr, directory: &Path) -> Result<Self> {
        let Some(pid) = text.to_str().and_then(|text| text.parse().ok()).map(Pid::from_raw) else {
            return Ok(Self::File(directory.join(text)));
        };
        if pid.as_raw() <= 0 || nix::sys::signal::kill(pid, None) == Err(Errno::ESRCH) {
            return Err(Error::usage(format!("--follow-pid {pid}: there is no such process")));
        }
        Ok(Self::Pid(pid))
    }
}

/// Watches a process: the one that becomes the command, or the one that is followed.
pub struct Watch {
    pidfd: Option<OwnedFd>,
    pid: Pid,
    start_time: Option<u64>,
}

impl Watch {
    /// `None`: it has ended already.
    pub(super) fn of(pid: Pid) -> Option<Self> {
        let pidfd = pidfd_open(pid).and_then(above_standard).ok();
        let start_time = if pidfd.is_none() { Some(start_time(pid)?) } else { None };
        Some(Self { pidfd, pid, start_time })
    }

    /// The process's id.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// What becomes readable at its end, on a kernel that has it.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Whether it has ended, where there is no descriptor: a process of this number with another start time is
    /// another process.
    pub(super) fn has_ended(&self) -> bool {
        nix::sys::signal::kill(self.pid, None) == Err(Errno::ESRCH) || start_time(self.pid) != self.start_time
    }

    /// Waits for its end.
    pub async fn ended(&self) {
        let pidfd = self.pidfd.as_ref().and_then(|pidfd| pidfd.try_clone().ok());
        if let Some(pidfd) = pidfd.and_then(|pidfd| readable(pidfd).ok()) {
            let _ = pidfd.readable().await;
            return;
        }
        // gVisor and kernels before 5.3.
        while !self.has_ended() {
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    }
}

/// Waits for `duration` from `now`, or until somebody sets the clock or the machine wakes up from a suspend. The
/// process is woken once; the runtime's own timers would wake it at each step of their wheel.
pub async fn pause(now: SystemTime, duration: Duration) {
    let until = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_add(duration);
    let timer = TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)
        .and_then(|timer| {
            let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
            timer.set(Expiration::OneShot(TimeSpec::from_duration(until)), flags).map(|()| timer)
        })
        .ok()
        .and_then(|timer| readable(timer.into()).ok());
    match timer {
        Some(timer) => drop(timer.readable().await),
        // A kernel that knows no such timer.
        None => tokio::time::sleep(duration).await,
    }
}

pub(super) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` keeps its descriptor open and its number the same.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

/// Field 22 of `/proc/PID/stat`: <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>.
fn start_time(pid: Pid) -> Option<u64> {
    let mut stat = String::new();
    fs::File::open(format!("/proc/{pid}/stat")).ok()?.read_to_string(&mut stat).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace();
    // A zombie is gone as far as its agent is concerned.
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: plain system call; a descriptor that it returns is nobody else's.
    unsafe {
        let fd = Errno::result(libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0))?;
        Ok(OwnedFd::from_raw_fd(RawFd::try_from(fd).map_err(|_| Errno::EBADF)?))
    }
}
