//! The processes of a start. The one that was started becomes the command. Beside it stands the **guard**, which holds
//! what outlives an agent and forks one **agent** after the other. None of them is this executable started again: the
//! process that starts has one thread and holds no secret of a cloud, so a fork of it may go on as it is.

use std::fs;
use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::error::{Error, Kind, Result, reasons};
use crate::system::process::descriptors::{above_standard, open_null};
use crate::system::process::orphan::fork_orphan;
use crate::system::process::own::keep_files_private;
use crate::system::process::post::GuardPost;
use crate::system::process::readiness_pipe::{self, ReadinessReader};
use crate::system::process::standard_streams::stop_waiting_on_stderr;
use crate::system::process::watch::Watch;

/// In which process [`fork_guard`] came back.
pub enum Started {
    /// The one that was started, which reads the agent's word.
    Boot(ReadinessReader),
    /// The guard.
    Guard(GuardPost),
}

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
        let error = Error::new(Kind::Fatal, "start the agent", "", format!("{what} failed: {}", errno.desc()))
            .reason(&reasons::AGENT);
        if errno == Errno::EAGAIN {
            error.advice("is a limit on processes reached (ulimit -u, pids.max)?")
        } else {
            error
        }
    };
    let (reader, writer) = readiness_pipe::pipe().map_err(|(what, errno)| failed(what, errno))?;
    let command = if has_command { Watch::of(nix::unistd::getpid()) } else { None };
    let forked = if adopts_orphans() { fork_unseen() } else { fork_orphan() };
    if !forked.map_err(|errno| failed("fork", errno))? {
        return Ok(Started::Boot(reader));
    }
    let _ = nix::unistd::setsid();
    drop(reader);
    let mut kept = vec![writer.descriptor()];
    kept.extend(command.as_ref().and_then(Watch::descriptor).map(|fd| fd.as_raw_fd()));
    close_others(&mut kept);
    leave_standard_descriptors();
    stop_waiting_on_stderr();
    keep_files_private();
    Ok(Started::Guard(GuardPost::beside(command, writer)))
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
