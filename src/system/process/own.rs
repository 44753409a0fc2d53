//! What this process asks or changes of itself.

use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;

use nix::sys::signal::Signal;

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

/// An argument as C has it. What came from argv, environ or our own texts holds no NUL.
pub fn c_string(text: &OsStr) -> CString {
    let bytes: Vec<u8> = text.as_bytes().iter().copied().filter(|byte| *byte != 0).collect();
    CString::new(bytes).unwrap_or_default()
}

/// Ends this process, running nothing any more.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: ends the process without running anything.
    unsafe { libc::_exit(code.into()) }
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

/// Tells this process to end as if somebody else had.
pub fn end_yourself() {
    let _ = nix::sys::signal::kill(nix::unistd::getpid(), Signal::SIGTERM);
}
