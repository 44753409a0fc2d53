//! Files that a living process holds: locked as long as it lives, removed by its end, swept by others after that.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::lock::{LockedFile, try_lock};
use super::place::private_directory;
use super::replace::{create, forget, replace, write};
use super::walk::{Place, leads_to, walk};
use super::{PREFIX, is_forbidden, write_error};
use crate::error::Result;
use crate::world::{self, World};

/// A file that goes when this does.
pub struct Held {
    place: Place,
    file: LockedFile,
    mode: u32,
}

impl Deref for Held {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Another may have the name by now: the one that has replaced it.
        if self.place.is(&self.file) {
            let _ = self.place.remove();
        }
    }
}

impl Held {
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
pub fn hold(path: &Path, mode: u32, content: &[u8]) -> Result<Held> {
    let held = || {
        let place = walk(path, Some(mode))?;
        let old = place.stat()?;
        let file = replace(&place, content, mode, old.as_ref())?;
        Ok(Held { place, file, mode })
    };
    held().map_err(|error: io::Error| write_error(path, &error))
}

/// Writes a new private file under a name that is not taken, beside `neighbour` or, where that directory is forbidden,
/// in a private one, and holds it.
///
/// # Errors
/// What went wrong with which file.
pub fn create_held(
    neighbour: &Path,
    suffix: &str,
    mode: u32,
    content: &[u8],
    world: &World,
) -> Result<(PathBuf, Held)> {
    let held = |beside: &Place| {
        let name = || format!("{PREFIX}{}{suffix}", world::random_name::<6>()).into();
        let (place, file) = create(beside, mode, name)?;
        forget(&place);
        let held = Held { place, file, mode };
        write(&held.file, content)?;
        Ok((held.path(), held))
    };
    walk(neighbour, Some(mode)).and_then(|place| held(&place)).or_else(|error: io::Error| {
        match private_directory(world) {
            Ok(directory) if is_forbidden(&error) => {
                let place = directory.place("any");
                held(&place).map_err(|error| write_error(&place.path(), &error))
            }
            _ => Err(write_error(neighbour, &error)),
        }
    })
}

/// The files in `directory` whose names end so that living processes hold locked, with what stands in them.
pub fn held_by_others(directory: &Path, suffix: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(place) = walk(&directory.join("any"), None) else { return Vec::new() };
    let names = place.directory.names().into_iter();
    names
        .filter(|name| name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(suffix)))
        .map(|name| place.directory.place(name))
        .filter(|place| {
            // Not what somebody else has put there.
            let file = place.stat().and_then(|_| place.open(OFlag::O_RDONLY, 0));
            file.is_ok_and(|file| try_lock(file, true).is_err())
        })
        .filter_map(|place| Some((place.path(), place.read().ok()?.0)))
        .collect()
}
