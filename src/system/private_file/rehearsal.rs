//! Whether a file could be written: another one is made beside it and removed again, with all directories that had to be made
//! on the way.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::system::private_file::errors::write_error;
use crate::system::private_file::names::PREFIX;
use crate::system::private_file::place::candidates;
use crate::system::private_file::replace::{cannot_be_replaced, create};
use crate::system::private_file::unfinished::forget;
use crate::system::private_file::walk::walk;
use crate::system::world::{self, World};

/// How a file would stand.
pub struct Rehearsal {
    /// In which directory, without links.
    pub directory: PathBuf,
    /// Its owner and permissions.
    pub directory_access: (u32, u32),
    /// The file's own.
    pub access: (u32, u32),
    /// Whether it would be written in place, as it cannot be replaced.
    pub is_in_place: bool,
}

/// Tries to write beside `file` what only those may read whom `mode` lets.
///
/// # Errors
/// What is in the way.
pub fn rehearse(file: &Path, mode: u32) -> Result<Rehearsal> {
    leave_nothing(&[file.to_owned()], || try_beside(file, mode).map_err(|error| write_error(file, &error)))
}

/// Does `work`, and removes the directories that it has made for any of `files`, or for files that may come to stand in a
/// place of fedboot's own.
pub fn rehearse_with<T>(named: &[PathBuf], world: &World, work: impl FnOnce() -> T) -> T {
    let files: Vec<PathBuf> = named.iter().cloned().chain(candidates(world)).collect();
    leave_nothing(&files, work)
}

fn leave_nothing<T>(files: &[PathBuf], work: impl FnOnce() -> T) -> T {
    let directories = files.iter().flat_map(|file| file.ancestors().skip(1));
    let mut missing: Vec<&Path> = directories.filter(|directory| directory.symlink_metadata().is_err()).collect();
    // What is inside goes first.
    missing.sort_by_key(|directory| std::cmp::Reverse(directory.components().count()));
    missing.dedup();
    let done = work();
    for directory in missing {
        // One that somebody else has begun to use stays.
        let _ = fs::remove_dir(directory);
    }
    done
}

fn try_beside(file: &Path, mode: u32) -> io::Result<Rehearsal> {
    let place = walk(file, Some(mode))?;
    let there = place.stat()?;
    let name = || format!("{PREFIX}doctor-{}", world::random_name::<6>()).into();
    let access = |metadata: &fs::Metadata| (metadata.uid(), metadata.mode() & 0o7777);
    let (access_of_file, is_in_place) = match create(&place, mode, name) {
        Ok((trial, open)) => {
            let access = open.metadata().map(|metadata| access(&metadata));
            let removed = trial.remove();
            forget(&trial);
            removed?;
            (access?, false)
        }
        Err(error) if there.is_some() && cannot_be_replaced(&error) && place.is_writable_in_place().is_ok() => {
            (access(&fs::metadata(place.path())?), true)
        }
        Err(error) => return Err(error),
    };
    let directory = place.directory.path.clone();
    let directory_access = access(&fs::metadata(&directory)?);
    Ok(Rehearsal { directory, directory_access, access: access_of_file, is_in_place })
}
