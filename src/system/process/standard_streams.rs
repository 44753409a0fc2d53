//! Standard output and standard error, which are the command's too.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal};

/// Whoever reads a pipe of an agent without a command, `$(…)` say, must not wait for the agent's end.
pub fn release_stderr() {
    // SAFETY: asks about a number, open or not; then gives it another meaning.
    unsafe {
        let mut stat = std::mem::zeroed();
        if libc::fstat(2, &raw mut stat) == 0
            && [libc::S_IFIFO, libc::S_IFSOCK].contains(&(stat.st_mode & libc::S_IFMT))
        {
            libc::dup2(0, 2);
        }
    }
}

/// Appends what goes to stderr to `file` from now on.
///
/// # Errors
/// Why it cannot be opened.
pub fn log_to(file: &Path) -> io::Result<()> {
    let opened = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    // SAFETY: the number 2 is the log's own.
    unsafe { libc::dup2(opened.as_raw_fd(), 2) };
    Ok(())
}

/// Between the question whether a pipe takes a line and the line itself the command may have filled it. A pipe can be
/// opened anew, without blocking, and without changing what the command sees.
pub fn stop_waiting_on_stderr() {
    // SAFETY: asks about a number, open or not; what it returns is a number that is this process's own.
    unsafe {
        let mut stat = std::mem::zeroed();
        if libc::fstat(2, &raw mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFIFO {
            let again = libc::open(c"/proc/self/fd/2".as_ptr(), libc::O_WRONLY | libc::O_NONBLOCK | libc::O_CLOEXEC);
            // Another user's pipe may refuse; then there is still the question.
            if again > 2 {
                libc::dup2(again, 2);
                libc::close(again);
            }
        }
    }
}

/// Whether stderr is a terminal.
pub fn stderr_is_terminal() -> bool {
    // SAFETY: asks about a number, open or not.
    unsafe { libc::isatty(2) == 1 }
}

/// Whether stdout is a terminal.
pub fn stdout_is_terminal() -> bool {
    // SAFETY: asks about a number, open or not.
    unsafe { libc::isatty(1) == 1 }
}

/// Writes `line` to stderr if it can be taken without waiting: the pipe is the command's too, and whoever reads it
/// may have stopped.
pub fn write_stderr(line: &[u8]) {
    // SAFETY: the number 2 is never closed by fedboot; if the caller closed it, the calls below fail.
    let stderr = unsafe { std::os::fd::BorrowedFd::borrow_raw(2) };
    let mut ready = [PollFd::new(stderr, PollFlags::POLLOUT)];
    // Where the kernel cannot tell (a signal came in between), an error is worth a wait.
    if poll(&mut ready, PollTimeout::ZERO) != Ok(0) {
        let _ = nix::unistd::write(stderr, line);
    }
}

/// For the parent when it has nothing left to do but to say why: a closed pipe must not change its exit code.
pub fn ignore_broken_pipes() {
    // SAFETY: no handler is installed, and no command follows that would inherit it.
    let _ = unsafe { nix::sys::signal::signal(Signal::SIGPIPE, SigHandler::SigIgn) };
}

/// Writes to standard output, for `--help` and its like.
pub fn write_stdout(text: &str) {
    // SAFETY: as in `write_stderr`.
    let stdout = unsafe { std::os::fd::BorrowedFd::borrow_raw(1) };
    let mut rest = text.as_bytes();
    while let Ok(count @ 1..) = nix::unistd::write(stdout, rest) {
        rest = rest.get(count..).unwrap_or_default();
    }
}
