//! The processes of a start. The one that was started becomes the command. Beside it stands the **guard**, which holds
//! what outlives an agent and forks one **agent** after the other. None of them is this executable started again: the
//! process that starts has one thread and holds no secret of a cloud, so a fork of it may go on as it is.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, sigprocmask};

use crate::error::{Error, Kind, Result};
use crate::system::process::orphan::fork_orphan;
use crate::system::process::post::Post;
use crate::system::process::watch::Watch;
use crate::system::process::{above_standard, keep_files_private, open_null, stop_waiting_on_stderr};

/// In which process [`fork_guard`] came back.
pub enum Started {
    /// The one that was started, which reads the agent's word.
    Boot(WordReader),
    /// The guard.
    Guard(Post),
}

/// Where the agent's word is read.
pub struct WordReader(OwnedFd);

/// Where the agent says its word.
pub struct WordWriter(OwnedFd);

/// Starts the guard: a session of its own, with none of the command's descriptors but stderr. With
/// `has_command` it stands by this process.
///
/// It is no child that the command could meet: an orphan, or, where orphans would come back to the command (it is pid 1,
/// or adopts orphans), a child that sends no signal at its end, which `wait` passes over
/// (<https://man7.org/linux/man-pages/man2/wait.2.html>, "clone children").
///
/// # Errors
/// What the kernel refused.
pub fn fork_guard(has_command: bool) -> Result<Started> {
    let failed = |what: &str, errno: Errno| {
        let error = Error::new(Kind::Fatal, "start the agent", "", format!("{what} failed: {}", errno.desc()));
        if errno == Errno::EAGAIN {
            error.advice("is a limit on processes reached (ulimit -u, pids.max)?")
        } else {
            error
        }
    };
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed("pipe", errno))?;
    // Where the caller closed 0, 1 or 2, the kernel hands them out again: those numbers are the command's.
    let reader = above_standard(reader).map_err(|errno| failed("fcntl", errno))?;
    let writer = above_standard(writer).map_err(|errno| failed("fcntl", errno))?;
    let command = if has_command { Watch::of(nix::unistd::getpid()) } else { None };
    let forked = if adopts_orphans() { fork_unseen() } else { fork_orphan() };
    if !forked.map_err(|errno| failed("fork", errno))? {
        return Ok(Started::Boot(WordReader(reader)));
    }
    let _ = nix::unistd::setsid();
    drop(reader);
    let mut kept = vec![writer.as_raw_fd()];
    kept.extend(command.as_ref().and_then(Watch::descriptor).map(|fd| fd.as_raw_fd()));
    close_others(&mut kept);
    leave_standard_descriptors();
    stop_waiting_on_stderr();
    keep_files_private();
    Ok(Started::Guard(Post::beside(command, WordWriter(writer))))
}

/// Whether orphans come back to this process.
fn adopts_orphans() -> bool {
    let mut adopts: libc::c_int = 0;
    // SAFETY: writes one number.
    let asked = unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut adopts) };
    nix::unistd::getpid().as_raw() == 1 || (asked == 0 && adopts != 0)
}

/// A fork whose child sends its parent no signal at its end, and is met by no `wait` of the command's. Returns whether this
/// is the child.
fn fork_unseen() -> nix::Result<bool> {
    // SAFETY: this process has one thread, so the child may go on as an ordinary process. No flag is set, the signal of
    // its end included, and no stack is given: the system call is then a fork.
    let forked = unsafe { Errno::result(libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0)) };
    match forked {
        // An emulator of system calls (qemu's) may know no other fork than the usual one.
        // SAFETY: as above.
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EPERM) => Ok(unsafe { nix::unistd::fork() }?.is_child()),
        forked => Ok(forked? == 0),
    }
}

/// Closes everything above the standard descriptors that is not kept.
fn close_others(kept: &mut [RawFd]) {
    kept.sort_unstable();
    let mut from: RawFd = 3;
    let mut closed = true;
    for fd in kept.iter().copied().chain([RawFd::MAX]) {
        if fd > from {
            let (first, last) = (from.unsigned_abs(), fd.saturating_sub(1).unsigned_abs());
            // SAFETY: plain system call; what it closes is used by nobody in this process.
            closed &= unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0;
        }
        from = fd.saturating_add(1);
    }
    if closed {
        return;
    }
    // A kernel that knows no such call.
    let listed: Vec<RawFd> = match fs::read_dir("/proc/self/fd") {
        Ok(entries) => entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect(),
        Err(_) => (3..4096).collect(),
    };
    for fd in listed.into_iter().filter(|fd| *fd > 2 && !kept.contains(fd)) {
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    }
}

/// The numbers 0 and 1 stay taken, so that no socket ever becomes somebody's standard output, and 2 where it is closed.
fn leave_standard_descriptors() {
    let null = open_null().or_else(|_| nix::unistd::pipe2(OFlag::O_CLOEXEC).and_then(|(end, _)| above_standard(end)));
    let Ok(null) = null else { return };
    // SAFETY: the numbers 0 to 2 belong to nobody in this process.
    unsafe {
        libc::dup2(null.as_raw_fd(), 0);
        libc::dup2(null.as_raw_fd(), 1);
        if libc::fcntl(2, libc::F_GETFD) < 0 {
            libc::dup2(null.as_raw_fd(), 2);
        }
    }
}

impl WordReader {
    /// Reads the agent's word until it `is_complete`, or until nobody is left who could say more.
    ///
    /// # Errors
    /// After `timeout`, or where reading fails.
    pub fn read(&self, timeout: Duration, is_complete: impl Fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
        let mut word = Vec::new();
        let mut buffer = [0; 4096];
        // The agent keeps the time itself; this is for one that cannot (stopped, say), so it need not be exact.
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        while !is_complete(&word) {
            match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
                Ok(_) => {}
            }
            match nix::unistd::read(&self.0, &mut buffer) {
                Ok(0) => break,
                Ok(count) => word.extend(buffer.iter().take(count)),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(word)
    }
}

impl WordWriter {
    /// Says `word`; whether there was somebody to hear it.
    pub fn say(self, word: &[u8]) -> bool {
        io::Write::write_all(&mut fs::File::from(self.0), word).is_ok()
    }
}

/// As the guard and the agent are to be: no signal is blocked, none that is meant for the command ends them (a stopping
/// container may signal every process in it, and the command may need credentials while it drains), and they are told
/// of their children's ends.
pub(super) fn heed_no_signals(has_command: bool) {
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    let of_command = if has_command { SigHandler::SigIgn } else { SigHandler::SigDfl };
    let of_files = SigHandler::SigIgn;
    for (signal, handler) in [
        (Signal::SIGHUP, of_command),
        (Signal::SIGINT, of_command),
        (Signal::SIGTERM, of_command),
        // What is wrong with a file or a pipe is an error of the write.
        (Signal::SIGPIPE, of_files),
        (Signal::SIGXFSZ, of_files),
        (Signal::SIGQUIT, SigHandler::SigDfl),
        (Signal::SIGCHLD, SigHandler::SigDfl),
    ] {
        // SAFETY: no handler is installed.
        let _ = unsafe { nix::sys::signal::signal(signal, handler) };
    }
}

/// Where argv stands in memory, and how long it is, as the kernel shows it to `ps`.
static ARGV: (AtomicUsize, AtomicUsize) = (AtomicUsize::new(0), AtomicUsize::new(0));

/// Says where argv stands.
pub(super) fn argv_is_at(start: usize, length: usize) {
    ARGV.0.store(start, Ordering::Relaxed);
    ARGV.1.store(length, Ordering::Relaxed);
}

/// Gives this process a name and an argv of its own, so that nobody takes it for the command, whose words would stand
/// there otherwise. Where argv has no room for all of the words, it has those that fit.
pub(super) fn be_called(name: &std::ffi::CStr, word: &str, pid: i32) {
    // SAFETY: a NUL-terminated name; nothing else is read.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    let (start, length) = (ARGV.0.load(Ordering::Relaxed), ARGV.1.load(Ordering::Relaxed));
    let whole = format!("fedboot\0{word}\0{pid}\0");
    let words = [whole.as_str(), "fedboot\0"].into_iter().find(|words| words.len() <= length).unwrap_or_default();
    if start != 0 {
        // SAFETY: argv is this process's own memory, may be written (C11 5.1.2.2.1), and nobody reads it any more.
        unsafe {
            std::ptr::write_bytes(start as *mut u8, 0, length);
            std::ptr::copy_nonoverlapping(words.as_ptr(), start as *mut u8, words.len());
        }
    }
}
