//! Private files that others read while they are replaced: never torn, never readable by others, never lost.
//!
//! Write a temporary file in the same directory (exclusive, 0600), sync it, rename it over the old one. Symbolic links
//! are followed first, so that a link stays one. A file that is itself a mount cannot be replaced (`EBUSY`), nor can
//! one in a read-only directory: such a file is written in place, its space reserved before. Writers take turns by a
//! lock on the directory.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::error::{Error, Kind, Result};
use crate::world::{self, World};

/// The beginning of the names of files beside the credentials file.
pub const PREFIX: &str = ".fedboot-";
/// The ends of the names of files that living processes hold.
pub const TOKEN_SUFFIX: &str = ".token";
/// See [`TOKEN_SUFFIX`].
pub const STATUS_SUFFIX: &str = ".status";
const HELD: [&str; 2] = [TOKEN_SUFFIX, STATUS_SUFFIX];
static SWEPT: AtomicBool = AtomicBool::new(false);

const LOCK_POLL: Duration = Duration::from_millis(20);
/// More links than any kernel follows.
const MOST_LINKS: usize = 40;

/// An open file, locked where the file system knows locks. (NFS does not for directories.)
pub enum Held {
    /// Nobody else holds it.
    Locked(Flock<File>),
    /// There is no telling.
    Open(File),
}

impl Deref for Held {
    type Target = File;

    fn deref(&self) -> &File {
        match self {
            Self::Locked(file) => file,
            Self::Open(file) => file,
        }
    }
}

/// Where the credentials file is, and what is to be said about it.
pub struct Chosen {
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
pub fn choose(named: Option<&Path>, mode: u32, world: &World) -> Result<Chosen> {
    if let Some(file) = named {
        return Ok(Chosen { file: file.into(), warning: None });
    }
    let mut tried = Vec::new();
    match &world.home {
        Some(home) => {
            let file = home.join(".aws/credentials");
            let target = follow(&file).unwrap_or_else(|_| file.clone());
            match parent(&target).and_then(|directory| {
                writable(directory, mode).or_else(|error| written_in_place(&target).map_err(|_| error))
            }) {
                // A full disk, say, is for the writer to report: another place would only hide it.
                Err(error) if is_forbidden(&error) => {
                    tried.push(format!("{} ({})", file.display(), world::plain(&error)));
                }
                _ => return Ok(Chosen { file, warning: None }),
            }
        }
        None => tried.push("~/.aws/credentials (HOME is not set and /etc/passwd knows no home)".into()),
    }
    match private_directory(world) {
        Ok(directory) => {
            let file = directory.join("credentials");
            let warning = format!("cannot write {}; credentials go to {} instead", tried.join(", "), file.display());
            Ok(Chosen { file, warning: Some(warning) })
        }
        Err(elsewhere) => {
            tried.extend(elsewhere);
            Err(Error::new(
                Kind::Fatal,
                "find a place for the credentials file",
                "",
                format!("tried {}", tried.join(", ")),
            )
            .advice("set HOME, name a writable --credentials-file, or mount a writable volume"))
        }
    }
}

/// Every directory in which a file beside `credentials_file`, or in the cache, may have come to stand.
pub fn directories_of(credentials_file: &Path, world: &World) -> Vec<PathBuf> {
    let target = follow(credentials_file).unwrap_or_else(|_| credentials_file.into());
    let mut all: Vec<PathBuf> = Vec::new();
    let beside = [parent(&target), parent(credentials_file)].into_iter().flatten().map(Path::to_owned);
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
    match cache_home(world).filter(|directory| writable(directory, 0o600).is_ok()) {
        Some(directory) => Ok(directory),
        None => private_directory(world).map_err(|tried| {
            Error::new(Kind::Fatal, "find a place for the cache", "", format!("tried {}", tried.join(", ")))
                .advice("name a writable --cache-file")
        }),
    }
}

fn cache_home(world: &World) -> Option<PathBuf> {
    let base = world.variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|base| base.is_absolute());
    let base = base.or_else(|| Some(world.home.as_ref()?.join(".cache")));
    base.map(|base| base.join("fedboot"))
}

/// A directory in memory or in a temporary place that is this user's alone; else what was tried.
fn private_directory(world: &World) -> std::result::Result<PathBuf, Vec<String>> {
    let mut tried = Vec::new();
    for directory in private_directories(world) {
        match own_directory(&directory, world.user) {
            Ok(()) => return Ok(directory),
            Err(error) => tried.push(format!("{} ({})", directory.display(), world::plain(&error))),
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

/// Replaces the content of `path` by what `edit` makes of it; what is not there counts as empty. Afterwards it has the
/// permissions `mode`.
///
/// Another writer is waited for as long as `patience` lasts. Returns whether it had to be written in place.
///
/// # Errors
/// What went wrong with which file; its content is then what it was.
pub fn update(path: &Path, mode: u32, patience: Duration, edit: &dyn Fn(&[u8]) -> Result<Vec<u8>>) -> Result<bool> {
    let failed = |error: &io::Error| write_error(path, error);
    let target = follow(path).map_err(|error| failed(&error))?;
    let directory = parent(&target).map_err(|error| failed(&error))?;
    make_directory(directory, mode).map_err(|error| write_error(directory, &error))?;
    let directory_lock = lock(File::open(directory).map_err(|error| write_error(directory, &error))?, path, patience)?;
    let (old, metadata) = read(&target).map_err(|error| failed(&error))?;
    let new = edit(&old)?;
    if new == old && metadata.as_ref().is_some_and(|metadata| metadata.mode() & 0o777 == mode) {
        return Ok(false);
    }
    match replace(directory, &target, &new, mode, metadata.as_ref(), &directory_lock) {
        Ok(()) => Ok(false),
        Err(error) if metadata.is_some() && (error.raw_os_error() == Some(libc::EBUSY) || is_forbidden(&error)) => {
            // Another container may have mounted the same file under another directory: lock the file itself too.
            let file = OpenOptions::new().read(true).write(true).open(&target).map_err(|error| failed(&error))?;
            let file = lock(file, path, patience)?;
            let (old, _) = read(&target).map_err(|error| failed(&error))?;
            overwrite(&file, mode, &edit(&old)?).map_err(|error| failed(&error))?;
            Ok(true)
        }
        Err(error) => Err(failed(&error)),
    }
}

/// Writes a new private file under a name that is not taken, beside `neighbour` or, where that directory is forbidden,
/// in a private one, and holds a lock on it: what nobody holds any more is swept away by the next one.
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
    let target = follow(neighbour).map_err(|error| write_error(neighbour, &error))?;
    let beside = parent(&target).map_err(|error| write_error(neighbour, &error))?;
    let mut directory = beside.to_owned();
    loop {
        let path = directory.join(format!("{PREFIX}{}{suffix}", world::random_name::<6>()));
        let created = make_directory(&directory, mode).and_then(|()| {
            // Once is enough for all kinds of them: a boot is short.
            if !SWEPT.swap(true, Ordering::Relaxed) {
                sweep(&directory, |name| name.starts_with(PREFIX) && HELD.iter().any(|kind| name.ends_with(kind)));
            }
            let mut file = new_file(&path, mode)?;
            file.write_all(content).inspect_err(|_| drop(fs::remove_file(&path)))?;
            Ok(try_lock(file))
        });
        match created {
            // Another's sweep may have been quicker than the lock.
            Ok(Ok(held)) if path.exists() => return Ok((path, held)),
            Ok(_) => {}
            Err(error) if is_forbidden(&error) && directory == beside => match private_directory(world) {
                Ok(private) if private != beside => directory = private,
                _ => return Err(write_error(&path, &error)),
            },
            Err(error) => return Err(write_error(&path, &error)),
        }
    }
}

/// The temporary file that is being written.
static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);

fn unfinished() -> MutexGuard<'static, Option<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what a write that hangs would leave behind when this process ends: it holds keys.
pub fn abandon() {
    if let Some(temporary) = unfinished().take() {
        let _ = fs::remove_file(temporary);
    }
}

/// The file that `path` means once symbolic links are followed, whether it is there or not.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("/")).join(target),
            // Not a link, or not there: this is it.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput || error.kind() == io::ErrorKind::NotFound => {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(Errno::ELOOP.into())
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().filter(|_| path.file_name().is_some()).ok_or_else(|| Errno::EISDIR.into())
}

/// A directory that is made for a file is for the same people as the file.
fn make_directory(directory: &Path, mode: u32) -> io::Result<()> {
    let others = mode & 0o044;
    if others == 0 || directory.exists() {
        return DirBuilder::new().recursive(true).mode(0o700).create(directory);
    }
    fs::create_dir_all(directory)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700 | others | others >> 2))
}

/// Makes `directory` if it is not there and tries whether files can be made in it.
fn writable(directory: &Path, mode: u32) -> io::Result<()> {
    make_directory(directory, mode)?;
    nix::unistd::access(directory, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK)?;
    Ok(())
}

fn written_in_place(file: &Path) -> io::Result<()> {
    nix::unistd::access(file, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::R_OK)?;
    Ok(())
}

/// A directory in a place where everybody may write counts only if it is ours alone.
fn own_directory(directory: &Path, user: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = fs::symlink_metadata(directory)?;
    if !metadata.is_dir() || metadata.uid() != user || metadata.mode() & 0o077 != 0 {
        return Err(Errno::EPERM.into());
    }
    writable(directory, 0o600)
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM | libc::EROFS))
}

fn lock(file: File, path: &Path, patience: Duration) -> Result<Held> {
    let mut file = file;
    let mut waited = Duration::ZERO;
    loop {
        match try_lock(file) {
            Ok(held) => return Ok(held),
            Err((back, Errno::EWOULDBLOCK)) if waited < patience => {
                file = back;
                std::thread::sleep(LOCK_POLL);
                waited += LOCK_POLL;
            }
            Err((_, Errno::EWOULDBLOCK)) => {
                return Err(Error::new(
                    Kind::Fatal,
                    "write credentials",
                    path.display().to_string(),
                    format!("has been locked by another process for {:.1} s", patience.as_secs_f64()),
                )
                .advice("is another fedboot stopped?"));
            }
            Err((_, errno)) => return Err(write_error(path, &errno.into())),
        }
    }
}

fn try_lock(file: File) -> std::result::Result<Held, (File, Errno)> {
    try_lock_as(file, FlockArg::LockExclusiveNonblock)
}

/// Opens `path`, which is made if it is not there, and locks it for this process alone, or together with others that
/// `share` it. `None`: somebody else has it.
///
/// # Errors
/// What went wrong with it.
pub fn lock_file(path: &Path, share: bool) -> Result<Option<Held>> {
    let failed = |error: io::Error| write_error(path, &error);
    make_directory(parent(path).map_err(failed)?, 0o600).map_err(failed)?;
    let open = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path);
    let kind = if share { FlockArg::LockSharedNonblock } else { FlockArg::LockExclusiveNonblock };
    match try_lock_as(open.map_err(failed)?, kind) {
        Ok(held) => Ok(Some(held)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(failed(errno.into())),
    }
}

fn try_lock_as(file: File, kind: FlockArg) -> std::result::Result<Held, (File, Errno)> {
    match Flock::lock(file, kind) {
        Ok(locked) => Ok(Held::Locked(locked)),
        Err((file, Errno::EBADF | Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL)) => {
            Ok(Held::Open(file))
        }
        Err(refused) => Err(refused),
    }
}

fn read(path: &Path) -> io::Result<(Vec<u8>, Option<fs::Metadata>)> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok((world::read_file(path)?, Some(metadata))),
        Ok(metadata) if metadata.is_dir() => Err(Errno::EISDIR.into()),
        Ok(_) => Err(io::Error::other("is not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((Vec::new(), None)),
        Err(error) => Err(error),
    }
}

fn replace(
    directory: &Path,
    target: &Path,
    content: &[u8],
    mode: u32,
    old: Option<&fs::Metadata>,
    directory_handle: &File,
) -> io::Result<()> {
    let mut prefix = OsString::from(".");
    prefix.push(target.file_name().unwrap_or_default());
    prefix.push(".fedboot-");
    let prefix = prefix.to_string_lossy().into_owned();
    // The directory is locked, so whatever is left here belongs to a writer that was killed.
    sweep(directory, |name| name.starts_with(&prefix));
    let temporary = directory.join(format!("{prefix}{}", world::random_name::<6>()));
    let mut file = new_file(&temporary, mode)?;
    unfinished().replace(temporary.clone());
    let written = (|| {
        file.write_all(content)?;
        if let Some(old) = old {
            // Root writing into somebody's home must not take the file away from them.
            let mine = file.metadata()?;
            if (mine.uid(), mine.gid()) != (old.uid(), old.gid()) {
                let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
            }
        }
        file.sync_all()?;
        fs::rename(&temporary, target)
    })();
    unfinished().take();
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    // Some file systems cannot sync a directory; the new name stands all the same.
    let _ = directory_handle.sync_all();
    Ok(())
}

/// Overwrites without truncating first: a reader in between finds old or new bytes, and a full disk is noticed before
/// the first one changes.
fn overwrite(file: &File, mode: u32, content: &[u8]) -> io::Result<()> {
    let length = content.len() as u64;
    if length > file.metadata()?.len() {
        nix::fcntl::posix_fallocate(file, 0, i64::try_from(length).unwrap_or(i64::MAX))?;
    }
    file.write_all_at(content, 0)?;
    file.set_len(length)?;
    let _ = file.set_permissions(fs::Permissions::from_mode(mode));
    file.sync_all()
}

fn new_file(path: &Path, mode: u32) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // The umask has no say in what the user asked for.
    if mode != 0o600 {
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    Ok(file)
}

/// The files in `directory` whose names end so that living processes hold locked, with what stands in them.
pub fn held_by_others(directory: &Path, suffix: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(PREFIX) && name.ends_with(suffix)
        })
        .filter(|path| File::open(path).is_ok_and(|file| Flock::lock(file, FlockArg::LockSharedNonblock).is_err()))
        .filter_map(|path| Some((path.clone(), world::read_file(&path).ok()?)))
        .collect()
}

/// Does the first piece of work at once, as the command waits for it, and each later one in a thread of its own: a
/// loopback server answers while a slow disk takes its time.
#[derive(Default)]
pub struct Writer(Cell<bool>);

impl Writer {
    /// Does `work`.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        if !self.0.replace(true) {
            return work();
        }
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::new(Kind::Transient, "write credentials", "", error.to_string()))?
    }
}

/// Removes the files in `directory` that `is_ours` by name and that no living process holds locked.
fn sweep(directory: &Path, is_ours: impl Fn(&str) -> bool) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(&is_ours)) {
        if let Ok(file) = File::open(entry.path())
            && Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn write_error(path: &Path, error: &io::Error) -> Error {
    let advice = match error.raw_os_error() {
        Some(libc::EROFS | libc::EACCES | libc::EPERM) => {
            "name a writable --credentials-file, or mount a writable volume"
        }
        Some(libc::EISDIR) => "--credentials-file must name a file",
        Some(libc::ENOSPC | libc::EDQUOT) => "free some space; the file is as it was",
        _ => "",
    };
    let problem = format!("cannot be written: {}", world::plain(error));
    Error::new(Kind::Fatal, "write credentials", path.display().to_string(), problem).advice(advice)
}
