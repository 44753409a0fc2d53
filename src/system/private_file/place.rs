//! Which directory: the user's own, else a private one in memory or in a temporary place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Kind, Result, reasons};
use crate::system::private_file::errors::{is_forbidden, reason, write_error};
use crate::system::private_file::walk::{Directory, own_directory, walk};
use crate::system::shown;
use crate::system::world::World;

/// Where the credentials file is, and what is to be said about it.
pub struct CredentialsPath {
    /// Absolute path.
    pub file: PathBuf,
    /// Why it is not where one would look.
    pub warning: Option<String>,
}

/// Chooses the credentials file: the one that was named, else `~/.aws/credentials`, else, where there is no home or
/// it cannot be written, one in a private directory of a temporary file system. Clients find it there too, by
/// `AWS_SHARED_CREDENTIALS_FILE`. A directory that is made is for whom the permissions `mode` are.
///
/// # Errors
/// What was tried where, if no place can be written.
pub fn choose(named: Option<&Path>, mode: u32, world: &World) -> Result<CredentialsPath> {
    if let Some(file) = named {
        return Ok(CredentialsPath { file: file.into(), warning: None });
    }
    let mut tried = Vec::new();
    match &world.home {
        Some(home) => {
            let file = home.join(".aws/credentials");
            let place = walk(&file, Some(mode));
            match place.and_then(|place| {
                place.directory.is_writable().or_else(|error| place.is_writable_in_place().map_err(|_| error))
            }) {
                // A full disk, say, is for the writer to report: another place would only hide it.
                Err(error) if is_forbidden(&error) => {
                    tried.push(format!("{} ({})", shown::path(&file), reason(&error)));
                }
                _ => return Ok(CredentialsPath { file, warning: None }),
            }
        }
        None => tried.push("~/.aws/credentials (HOME is not set and /etc/passwd knows no home)".into()),
    }
    match private_directory(world) {
        Ok(directory) => {
            let file = directory.path.join("credentials");
            let warning =
                format!("cannot write {}; credentials go to {} instead", tried.join(", "), shown::path(&file));
            Ok(CredentialsPath { file, warning: Some(warning) })
        }
        Err(elsewhere) => {
            tried.extend(elsewhere);
            Err(Error::new(
                Kind::Fatal,
                "find a place for the credentials file",
                "",
                format!("tried {}", tried.join(", ")),
            )
            .reason(&reasons::CANNOT_WRITE)
            .advice("set HOME, name a writable --credentials-file, or mount a writable volume"))
        }
    }
}

/// The directory for a file of fedboot's own: that of `neighbour`, or a private one where that is forbidden.
///
/// # Errors
/// That there is neither.
pub fn beside(neighbour: &Path, mode: u32, world: &World) -> Result<Arc<Directory>> {
    let place = walk(neighbour, Some(mode));
    match place.and_then(|place| place.directory.is_writable().map(|()| place.directory)) {
        Ok(directory) => Ok(directory),
        Err(error) if is_forbidden(&error) => private_directory(world).map_err(|_| write_error(neighbour, &error)),
        Err(error) => Err(write_error(neighbour, &error)),
    }
}

/// Every directory in which a file beside `credentials_file`, or in the cache, may have come to stand.
pub fn directories_of(credentials_file: &Path, world: &World) -> Vec<PathBuf> {
    let target = walk(credentials_file, None).ok().map(|place| place.directory.path.clone());
    let mut all: Vec<PathBuf> = Vec::new();
    let beside = target.into_iter().chain(credentials_file.parent().map(Path::to_owned));
    for directory in beside.chain(cache_home(world)).chain(private_directories(world)) {
        if !all.contains(&directory) {
            all.push(directory);
        }
    }
    all
}

/// Where a cache is kept that all of a user's processes share: `$XDG_CACHE_HOME/fedboot`, `~/.cache/fedboot`, else a
/// private directory.
///
/// # Errors
/// What was tried where.
pub fn cache_directory(world: &World) -> Result<PathBuf> {
    let is_writable = |path: &PathBuf| {
        let place = walk(&path.join("any"), Some(0o600));
        place.is_ok_and(|place| place.directory.is_writable().is_ok())
    };
    match cache_home(world).filter(is_writable) {
        Some(directory) => Ok(directory),
        None => private_directory(world).map(|private| private.path.clone()).map_err(|tried| {
            Error::new(Kind::Fatal, "find a place for the cache", "", format!("tried {}", tried.join(", ")))
                .reason(&reasons::CANNOT_WRITE)
                .advice("name a writable --cache-file")
        }),
    }
}

fn cache_home(world: &World) -> Option<PathBuf> {
    let base = world.variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|base| base.is_absolute());
    let base = base.or_else(|| Some(world.home.as_ref()?.join(".cache")));
    base.map(|base| base.join("fedboot"))
}

/// A file in each directory that may be made for fedboot's own.
pub fn candidates(world: &World) -> impl Iterator<Item = PathBuf> {
    cache_home(world).into_iter().chain(private_directories(world)).map(|directory| directory.join("any"))
}

/// A directory in memory or in a temporary place that is this user's alone; else what was tried.
pub fn private_directory(world: &World) -> std::result::Result<Arc<Directory>, Vec<String>> {
    let mut tried = Vec::new();
    for directory in private_directories(world) {
        match own_directory(&directory) {
            Ok(directory) => return Ok(directory),
            Err(error) => tried.push(format!("{} ({})", shown::path(&directory), reason(&error))),
        }
    }
    Err(tried)
}

fn private_directories(world: &World) -> impl Iterator<Item = PathBuf> {
    let runtime = world.variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    let temporary = world.variable("TMPDIR").map(PathBuf::from);
    let bases = [runtime, Some("/dev/shm".into()), temporary, Some("/tmp".into())];
    let name = format!("fedboot-{}", world.user);
    bases.into_iter().flatten().filter(|base| base.is_absolute()).map(move |base| base.join(&name))
}
