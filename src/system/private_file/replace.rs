//! Replacing a file: a temporary one in the same directory (exclusive, 0600), synced, renamed over the old one. Where
//! that cannot be, it is written in place, its space reserved before.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{OFlag, renameat};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat};
use nix::unistd::{Gid, Uid, fchown, fsync};

use crate::error::{Error, Result};
use crate::system::private_file::errors::{is_forbidden, write_error};
use crate::system::private_file::lock::{LockedFile, patiently, try_lock, wait_for_file, wait_for_turn};
use crate::system::private_file::unfinished::{forget, remember};
use crate::system::private_file::walk::{Place, distrust, untrusted, walk};
use crate::system::world;

/// How often a name may be taken, or what has just been made be swept away by another process.
const ATTEMPTS: usize = 16;

/// Replaces the content of `path` by what `edit` makes of it; what is not there counts as empty. Afterwards it has the
/// permissions `mode`.
///
/// Another writer is waited for as long as `patience` lasts. Returns whether it had to be written in place.
///
/// # Errors
/// What went wrong with which file; its content is then what it was.
pub fn update(path: &Path, mode: u32, patience: Duration, edit: &dyn Fn(&[u8]) -> Result<Vec<u8>>) -> Result<bool> {
    let failed = |error: io::Error| write_error(path, &error);
    let place = walk(path, Some(mode)).map_err(failed)?;
    let _turn = wait_for_turn(&place, patience).map_err(failed)?;
    let (old, stat) = place.read().map_err(failed)?;
    let new = edit(&old)?;
    if new == old && stat.is_some_and(|stat| stat.st_mode & 0o777 == mode) {
        return Ok(false);
    }
    match replace(&place, &new, mode, stat.as_ref(), true) {
        Ok(_) => Ok(false),
        Err(error) if stat.is_some() && cannot_be_replaced(&error) => {
            in_place(&place, mode, patience, edit).map(|()| true).map_err(|error| match error {
                Failure::File(error) => failed(error),
                Failure::Edit(error) => *error,
            })
        }
        Err(error) => Err(failed(error)),
    }
}

/// Whether the file itself may still be written.
pub fn cannot_be_replaced(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY) || is_forbidden(error) && untrusted(error).is_none()
}

/// What may go wrong.
enum Failure {
    File(io::Error),
    Edit(Box<Error>),
}

impl<E: Into<io::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::File(error.into())
    }
}

/// Overwrites without truncating first: a reader in between finds old or new bytes, and a full disk is noticed before
/// the first one changes.
fn in_place(
    place: &Place,
    mode: u32,
    patience: Duration,
    edit: &dyn Fn(&[u8]) -> Result<Vec<u8>>,
) -> std::result::Result<(), Failure> {
    let file = place.open(OFlag::O_RDWR, 0)?;
    // Another container may have mounted the same file under another directory: lock the file itself too.
    let file = wait_for_file(file, patience)?;
    let stat = fstat(&*file)?;
    place.check(&stat)?;
    // Nobody reads the new content who may not.
    if stat.st_mode & 0o777 != mode
        && fchmod(&*file, Mode::from_bits_truncate(mode)).is_err()
        && stat.st_mode & 0o077 & !mode != 0
    {
        return Err(distrust("others may read it, and that cannot be changed".into()).into());
    }
    let content = edit(&world::read_open_file(file.try_clone()?)?).map_err(|error| Failure::Edit(Box::new(error)))?;
    let length = content.len() as u64;
    if length > file.metadata()?.len() {
        nix::fcntl::posix_fallocate(&*file, 0, i64::try_from(length).unwrap_or(i64::MAX))?;
    }
    file.write_all_at(&content, 0)?;
    file.set_len(length)?;
    Ok(patiently(|| fsync(&*file))?)
}

/// Puts a new file with this content in the `place` of the `old` one, and returns it. It is locked before it has the
/// name, so that nobody takes it for one that the dead have left.
///
/// What is `lasting` outlasts a loss of power.
pub fn replace(
    place: &Place,
    content: &[u8],
    mode: u32,
    old: Option<&FileStat>,
    lasting: bool,
) -> io::Result<LockedFile> {
    let mut prefix = OsString::from(".");
    prefix.push(&place.name);
    prefix.push(".fedboot-");
    let (temporary, file) = create(place, mode, || {
        let mut name = prefix.clone();
        name.push(world::random_name::<6>());
        name
    })?;
    let mut temporary = Temporary { place: temporary, is_complete: false };
    (&*file).write_all(content)?;
    if let Some(old) = old {
        // Root writing into somebody's home must not take the file away from them.
        let mine = fstat(&*file)?;
        if (mine.st_uid, mine.st_gid) != (old.st_uid, old.st_gid) {
            let _ = fchown(&*file, Some(Uid::from_raw(old.st_uid)), Some(Gid::from_raw(old.st_gid)));
        }
    }
    if lasting {
        patiently(|| fsync(&*file))?;
    }
    let directory = place.directory.handle();
    renameat(&directory, &*temporary.place.name, &directory, &*place.name)?;
    temporary.is_complete = true;
    if lasting {
        place.directory.sync();
    }
    Ok(file)
}

/// Makes the file at `place` with this content, and returns it locked; `WouldBlock` where something stands there.
pub fn make(place: &Place, content: &[u8], mode: u32) -> io::Result<LockedFile> {
    let (place, file) = create(place, mode, || place.name.clone())?;
    let mut unfinished = Temporary { place, is_complete: false };
    (&*file).write_all(content)?;
    unfinished.is_complete = true;
    Ok(file)
}

/// Makes a new file beside `neighbour`, locked, under a `name` that is not taken.
pub fn create(neighbour: &Place, mode: u32, name: impl Fn() -> OsString) -> io::Result<(Place, LockedFile)> {
    for _ in 0..ATTEMPTS {
        let place = neighbour.directory.place(name());
        let file = match place.open(OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, 0o600) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        };
        remember(&place);
        // Another's sweep may be quicker than the lock.
        let locked = try_lock(file, false).ok().filter(|file| place.is(file));
        // The umask has no say in what the user asked for.
        let changed = locked
            .as_ref()
            .filter(|_| mode != 0o600)
            .map_or(Ok(()), |file| fchmod(&**file, Mode::from_bits_truncate(mode)));
        match (locked, changed) {
            (Some(file), Ok(())) => {
                return Ok((place, file));
            }
            (_, changed) => {
                let _ = place.remove();
                forget(&place);
                changed?;
            }
        }
    }
    Err(io::ErrorKind::WouldBlock.into())
}

/// A temporary file until it is renamed.
struct Temporary {
    place: Place,
    is_complete: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        forget(&self.place);
        if !self.is_complete {
            let _ = self.place.remove();
        }
    }
}
