//! The pipe on which the agent says to who waits that the command may start, or why it may not.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::system::process::descriptors::above_standard;

/// Where the agent's word is read.
pub struct ReadinessReader(OwnedFd);

/// Where the agent says its word.
pub struct ReadinessWriter(OwnedFd);

/// A new pipe.
///
/// # Errors
/// What the kernel refused: the call and its error.
pub fn pipe() -> Result<(ReadinessReader, ReadinessWriter), (&'static str, Errno)> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|errno| ("pipe", errno))?;
    // Where the caller closed 0, 1 or 2, the kernel hands them out again: those numbers are the command's.
    let reader = above_standard(reader).map_err(|errno| ("fcntl", errno))?;
    let writer = above_standard(writer).map_err(|errno| ("fcntl", errno))?;
    Ok((ReadinessReader(reader), ReadinessWriter(writer)))
}

impl ReadinessReader {
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

impl ReadinessWriter {
    /// The descriptor.
    pub fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Says `word`; whether there was somebody to hear it.
    pub fn say(self, word: &[u8]) -> bool {
        io::Write::write_all(&mut fs::File::from(self.0), word).is_ok()
    }
}
