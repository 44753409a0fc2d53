//! The Unix corner: argv, forks, signals, becoming the command. All `unsafe` is here.
#![allow(unsafe_code, reason = "fork, exec and friends have no safe interface; each use says why it is sound")]

mod account;
mod exec;
mod fork;
pub mod heap;
mod helper;
pub mod memory;
mod orphan;
pub mod owner;
pub mod peers;
mod post;
mod watch;

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal};

pub use account::{Account, home_of, home_of_name};
pub use exec::{exec, find_command, let_signals_end_pid_1};
pub use fork::{Started, WordReader, WordWriter, fork_guard};
pub use helper::output_of;
pub use post::{Agent, Born, Event, Line, News, Post};
pub use watch::{Followed, Termination, Watch, follow, pause, take_termination_signals};

/// The number of the mount that `/` is: a copy of it, in another mount namespace, has another number. It is cheaper than
/// the namespace's own, which a directory of `/proc` is made for. None on a kernel before 5.8.
pub fn root_mount() -> Option<u64> {
    // SAFETY: zeros are a value of this struct of numbers, which the call fills.
    unsafe {
        let mut found: libc::statx = std::mem::zeroed();
        let done = libc::statx(libc::AT_FDCWD, c"/".as_ptr(), 0, libc::STATX_MNT_ID, &raw mut found);
        (done == 0 && found.stx_mask & libc::STATX_MNT_ID != 0).then_some(found.stx_mnt_id)
    }
}

/// Defines the C entry point, which calls `$run(&[OsString]) -> u8`.
///
/// Rust's own start-up would set SIGPIPE to ignored and open closed standard descriptors, and the command would
/// inherit both.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        /// # Safety
        /// Only for the C library to call.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn main(count: i32, argv: *const *const std::ffi::c_char) -> i32 {
            // SAFETY: these are the C library's own.
            i32::from($run(&unsafe { $crate::system::process::arguments(count, argv) }))
        }
    };
}

/// argv as the C library hands it over; std's own copy of it is there only on glibc.
///
/// # Safety
/// `argv` points to `count` pointers to NUL-terminated strings.
#[doc(hidden)]
pub unsafe fn arguments(count: i32, argv: *const *const std::ffi::c_char) -> Vec<OsString> {
    let (mut start, mut end) = (0, 0);
    let words = (0..usize::try_from(count).unwrap_or(0)).map(|index| {
        // SAFETY: the caller says so.
        let argument = unsafe { CStr::from_ptr(*argv.add(index)) };
        // One behind the other, as the kernel lays them.
        let at = argument.as_ptr() as usize;
        if index == 0 {
            (start, end) = (at, at);
        }
        if at == end {
            end = at.saturating_add(argument.count_bytes()).saturating_add(1);
        }
        OsString::from_vec(argument.to_bytes().to_vec())
    });
    let words = words.collect();
    fork::argv_is_at(start, end.saturating_sub(start));
    words
}

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
fn stop_waiting_on_stderr() {
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

/// The file of this program, for others to run.
pub fn own_executable() -> String {
    fs::read_link("/proc/self/exe").map_or_else(|_| "fedboot".into(), |path| path.to_string_lossy().into_owned())
}

/// The id of the process that this one is a child of: an agent's guard.
pub fn parent_pid() -> i32 {
    nix::unistd::getppid().as_raw()
}

/// Makes what this process writes private, whatever the caller's umask.
pub fn keep_files_private() {
    // SAFETY: sets a number.
    unsafe { libc::umask(0o077) };
}

/// How many descriptors this process may have; it is given `wanted` of them, if that is more and it may.
pub fn descriptor_limit(wanted: usize) -> usize {
    const DESCRIPTORS: Resource = Resource::RLIMIT_NOFILE;
    let Ok((soft, hard)) = getrlimit(DESCRIPTORS) else { return wanted };
    let wanted = hard.min(wanted as u64).max(soft);
    let given = if setrlimit(DESCRIPTORS, wanted, hard).is_ok() { wanted } else { soft };
    usize::try_from(given).unwrap_or(usize::MAX)
}

fn open_null() -> nix::Result<OwnedFd> {
    let null = nix::fcntl::open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty())?;
    above_standard(null)
}

/// Moves a descriptor out of the numbers 0 to 2, which are the command's even where the caller has closed them.
///
/// # Errors
/// What the kernel refused.
pub fn above_standard(fd: OwnedFd) -> nix::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    let copy = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: F_DUPFD_CLOEXEC returned a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// An argument as C has it. What came from argv, environ or our own texts holds no NUL.
fn c_string(text: &OsStr) -> CString {
    let bytes: Vec<u8> = text.as_bytes().iter().copied().filter(|byte| *byte != 0).collect();
    CString::new(bytes).unwrap_or_default()
}

/// Ends this process, running nothing any more.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: ends the process without running anything.
    unsafe { libc::_exit(code.into()) }
}

/// Whether stderr is a terminal.
pub fn stderr_is_terminal() -> bool {
    // SAFETY: asks about a number, open or not.
    unsafe { libc::isatty(2) == 1 }
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

/// Gives the working directory up: nobody's file system shall stay busy because of the agent.
pub fn leave_directory() {
    let _ = nix::unistd::chdir(c"/");
}

/// Has this process and its forks leave no core behind, and be looked into by nobody but root. Exec gives the command
/// back what it would have had: <https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html>.
pub fn leave_no_core() {
    // SAFETY: changes a flag of this process.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
}

/// Ends this process at once: as a panic does, without what the C library believes of its number, which a fork that it
/// does not know of has made wrong.
pub fn abort() -> ! {
    // SAFETY: plain system calls.
    unsafe {
        libc::signal(libc::SIGABRT, libc::SIG_DFL);
        libc::kill(libc::getpid(), libc::SIGABRT);
        libc::_exit(134)
    }
}

/// Reads what is there without taking it, as far as `buffer` goes.
///
/// # Errors
/// What the kernel refused; without anything there, that it would have to wait.
pub fn peek(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<usize> {
    use nix::sys::socket::{MsgFlags, recv};
    Ok(recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)?)
}

/// Lets `queue` clients wait for `listener`; the standard library has no say in that.
pub fn listen(listener: &impl AsRawFd, queue: i32) {
    // SAFETY: plain system call on a descriptor that is open.
    unsafe { libc::listen(listener.as_raw_fd(), queue) };
}

/// Tells this process to end as if somebody else had.
pub fn end_yourself() {
    let _ = nix::sys::signal::kill(nix::unistd::getpid(), Signal::SIGTERM);
}
