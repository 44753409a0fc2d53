//! Another fedboot that was stopped while it wrote: it has the turn, and keeps it.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg};

use super::Stage;

/// The turn to write `~/.aws/credentials`, until it is dropped: the lock on its directory, if that is one user's alone, else
/// on a file beside it.
pub struct Turn {
    lock_file: Option<PathBuf>,
    _lock: Flock<File>,
}

/// Takes it.
pub fn hold(stage: &Stage) -> Turn {
    let directory = stage.home().join(".aws");
    fs::create_dir_all(&directory).expect("it is there");
    let is_private = directory.metadata().expect("its mode").permissions().mode() & 0o077 == 0;
    let lock_file = (!is_private).then(|| directory.join(".credentials.fedboot.lock"));
    let file = match &lock_file {
        Some(path) => File::create(path),
        None => File::open(&directory),
    };
    let lock = Flock::lock(file.expect("it"), FlockArg::LockExclusiveNonblock);
    Turn { lock_file, _lock: lock.map_err(|(_, errno)| errno).expect("the lock") }
}

/// Makes `~/.aws` with these permissions.
pub fn directory(stage: &Stage, mode: u32) {
    let directory = stage.home().join(".aws");
    fs::create_dir_all(&directory).expect("it is there");
    fs::set_permissions(directory, fs::Permissions::from_mode(mode)).expect("its mode");
}

impl Drop for Turn {
    /// A lock file goes before its lock.
    fn drop(&mut self) {
        if let Some(path) = &self.lock_file {
            let _ = fs::remove_file(path);
        }
    }
}
