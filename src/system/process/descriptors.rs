//! Descriptors and sockets: what the standard library has no word for.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How many descriptors this process may have; it is given `wanted` of them, if that is more and it may.
pub fn descriptor_limit(wanted: usize) -> usize {
    const DESCRIPTORS: Resource = Resource::RLIMIT_NOFILE;
    let Ok((soft, hard)) = getrlimit(DESCRIPTORS) else { return wanted };
    let wanted = hard.min(wanted as u64).max(soft);
    let given = if setrlimit(DESCRIPTORS, wanted, hard).is_ok() { wanted } else { soft };
    usize::try_from(given).unwrap_or(usize::MAX)
}

pub fn open_null() -> nix::Result<OwnedFd> {
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
