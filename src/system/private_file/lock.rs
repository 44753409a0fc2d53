//! Locks: on what nobody else may open, and so nobody else can hold. That is the directory, if it is one user's alone, and
//! elsewhere, or where directories cannot be locked (NFS), a file of our own.
//!
//! A lock file is removed by whoever has it, while it has it. So whoever gets the lock looks whether the name is still
//! that of the file it has locked, and otherwise begins anew.
//!
//! `flock` may fail with anything: a network file system, a filter of system calls. That is an answer too, and means that
//! there is no telling who else is at work; nothing here tries for ever.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FlockArg, OFlag};
use nix::sys::stat::{Mode, fchmod, fstat};

use crate::error::Result;
use crate::system::private_file::errors::write_error;
use crate::system::private_file::unfinished::{forget, remember};
use crate::system::private_file::walk::{Place, untrusted, walk};

const POLL: Duration = Duration::from_millis(20);
/// How often a signal may come in between.
const INTERRUPTIONS: usize = 8;
/// How often others may be quicker, in a row.
const ATTEMPTS: usize = 16;

/// An open file, locked where the file system knows locks.
pub enum LockedFile {
    /// Nobody else holds it until it is closed.
    Locked(File),
    /// There is no telling.
    Unknown(File),
}

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        match self {
            Self::Locked(file) | Self::Unknown(file) => file,
        }
    }
}

/// Locks `file` for this process alone, or together with others that `share` it. The file comes back where somebody
/// else has it.
pub fn try_lock(file: File, share: bool) -> std::result::Result<LockedFile, File> {
    let kind = if share { FlockArg::LockSharedNonblock } else { FlockArg::LockExclusiveNonblock };
    #[expect(deprecated, reason = "what stands for it panics where a lock cannot be given back")]
    match patiently(|| nix::fcntl::flock(file.as_raw_fd(), kind)) {
        Ok(()) => Ok(LockedFile::Locked(file)),
        Err(Errno::EWOULDBLOCK) => Err(file),
        Err(_) => Ok(LockedFile::Unknown(file)),
    }
}

/// Does it again when a signal has come in between, but not for ever.
pub fn patiently(call: impl Fn() -> nix::Result<()>) -> nix::Result<()> {
    let interrupted = |outcome: &nix::Result<()>| *outcome == Err(Errno::EINTR);
    (0..INTERRUPTIONS).map(|_| call()).find(|outcome| !interrupted(outcome)).unwrap_or(Err(Errno::EINTR))
}

/// Opens the lock file, which is made if it is not there, and is this user's own.
fn open(place: &Place) -> io::Result<File> {
    let file = place.open(OFlag::O_RDWR | OFlag::O_CREAT, 0o600)?;
    let stat = fstat(&file)?;
    place.check(&stat)?;
    if stat.st_mode & 0o777 != 0o600 {
        fchmod(&file, Mode::S_IRUSR | Mode::S_IWUSR)?;
    }
    Ok(file)
}

/// Opens `path`, which is made if it is not there, and locks it for this process alone, or together with others that
/// `share` it. `None`: somebody else has it.
///
/// # Errors
/// What went wrong with it.
pub fn lock_file(path: &Path, share: bool) -> Result<Option<LockedFile>> {
    let lock = || {
        let place = walk(path, Some(0o600))?;
        for _ in 0..ATTEMPTS {
            match try_lock(open(&place)?, share) {
                Ok(locked) if place.is(&locked) => return Ok(Some(locked)),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        Ok(None)
    };
    lock().map_err(|error: io::Error| write_error(path, &error))
}

/// The right to write a file, until it is dropped.
pub struct Turn {
    lock_file: Option<Place>,
    _locked: LockedFile,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(place) = &self.lock_file {
            forget(place);
            let _ = place.remove();
        }
    }
}

/// Waits for the turn to write the file at `target` as long as `patience` lasts. `None`: there are no turns, since there
/// cannot be a lock file.
///
/// # Errors
/// `WouldBlock` where somebody else has it all the time.
pub fn wait_for_turn(target: &Place, patience: Duration) -> io::Result<Option<Turn>> {
    // A lock file costs more than all else that a write of some hundred bytes does.
    if target.directory.is_of_one_user()
        && let Ok(directory) = target.directory.open()
        && let locked @ LockedFile::Locked(_) = wait_for_file(directory.into(), patience)?
    {
        return Ok(Some(Turn { lock_file: None, _locked: locked }));
    }
    let mut name = OsString::from(".");
    name.push(&target.name);
    name.push(".fedboot.lock");
    let place = target.directory.place(name);
    let mut waited = Duration::ZERO;
    let mut attempts = 0..ATTEMPTS;
    loop {
        match open(&place) {
            Ok(file) => match try_lock(file, false) {
                Ok(locked) if place.is(&locked) => {
                    remember(&place);
                    return Ok(Some(Turn { lock_file: Some(place), _locked: locked }));
                }
                // The one before has just removed it.
                Ok(_) if attempts.next().is_some() => {}
                Ok(_) | Err(_) if waited < patience => {
                    std::thread::sleep(POLL);
                    waited = waited.saturating_add(POLL);
                }
                Ok(_) | Err(_) => return Err(io::ErrorKind::WouldBlock.into()),
            },
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Err(error),
            // What was planted goes, if that is up to us. Otherwise, or where no file can be made, there are no turns.
            Err(error) if !is_planted(&error) || attempts.next().is_none() || place.remove().is_err() => {
                return Ok(None);
            }
            Err(_) => {}
        }
    }
}

/// Whether it is somebody else's file, or none.
fn is_planted(error: &io::Error) -> bool {
    let is_no_file = matches!(error.raw_os_error(), Some(libc::ELOOP | libc::EISDIR | libc::ENXIO));
    is_no_file || error.kind() == io::ErrorKind::Other || untrusted(error).is_some()
}

/// Waits for a lock on the file itself, which others may have mounted elsewhere, as long as `patience` lasts.
///
/// # Errors
/// `WouldBlock` where somebody else has it all the time.
pub fn wait_for_file(file: File, patience: Duration) -> io::Result<LockedFile> {
    let mut file = file;
    let mut waited = Duration::ZERO;
    loop {
        match try_lock(file, false) {
            Ok(locked) => return Ok(locked),
            Err(back) if waited < patience => {
                file = back;
                std::thread::sleep(POLL);
                waited = waited.saturating_add(POLL);
            }
            // Whoever may read a file may lock it, and must not keep its owner from writing.
            Err(back) if fstat(&back).is_ok_and(|stat| stat.st_mode & 0o077 != 0) => {
                return Ok(LockedFile::Unknown(back));
            }
            Err(_) => return Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}
