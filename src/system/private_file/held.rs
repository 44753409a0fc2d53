//! Files that a living process holds: locked as long as it lives, removed by its end, swept by others after that.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Result;
use crate::system::private_file::errors::write_error;
use crate::system::private_file::lock::LockedFile;
use crate::system::private_file::replace::{make, replace};
use crate::system::private_file::walk::{Directory, Place, leads_to, walk};

/// A file that goes when this does.
pub struct HeldFile {
    place: Place,
    file: LockedFile,
    mode: u32,
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        // Another may have the name by now: the one that has replaced it.
        if !ARE_LEFT.load(Ordering::Relaxed) && self.place.is(&self.file) {
            let _ = self.place.remove();
        }
    }
}

impl HeldFile {
    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.place.path()
    }

    /// Whether it still is what its path leads to.
    pub fn is_there(&self) -> bool {
        leads_to(&self.path(), &self.file)
    }

    /// Puts it back with this content, if it is not there any more.
    ///
    /// # Errors
    /// What went wrong with it.
    pub fn restore(&mut self, content: &[u8]) -> Result<()> {
        if !self.is_there() {
            *self = hold(&self.path(), self.mode, content)?;
        }
        Ok(())
    }
}

/// Makes `path` a file with this content that this process holds, in place of whatever it is.
///
/// # Errors
/// What went wrong with it.
pub fn hold(path: &Path, mode: u32, content: &[u8]) -> Result<HeldFile> {
    let held = || {
        let place = walk(path, Some(mode))?;
        let old = place.stat()?;
        // After a loss of power nobody needs it any more.
        let file = replace(&place, content, mode, old.as_ref(), false)?;
        Ok(HeldFile { place, file, mode })
    };
    held().map_err(|error: io::Error| write_error(path, &error))
}

/// The same in a `directory` that is known already, under a name that nobody has been told yet.
///
/// # Errors
/// What went wrong with it.
pub fn hold_new(directory: &Arc<Directory>, name: &str, mode: u32, content: &[u8]) -> Result<HeldFile> {
    let place = directory.place(name);
    match make(&place, content, mode) {
        Ok(file) => Ok(HeldFile { place, file, mode }),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => hold(&place.path(), mode, content),
        Err(error) => Err(write_error(&place.path(), &error)),
    }
}

/// Whether files stay when they are let go: another agent takes them over.
static ARE_LEFT: AtomicBool = AtomicBool::new(false);

/// Says whether another agent will take over the files that this process lets go.
pub fn leave_held(to_another: bool) {
    ARE_LEFT.store(to_another, Ordering::Relaxed);
}
