//! The way to a file, component by component and by descriptors, so that nothing on it can be swapped meanwhile.
//!
//! In a directory where others may write, names are planted: links that lead to somebody's file, files that their maker
//! reads, pipes that nobody writes. So:
//!
//! - A symbolic link is followed only if it belongs to this user or root.
//! - A file is made only in a directory that belongs to this user or root. To root a directory of somebody else will do
//!   where nobody but root and that user can have put it there: that user's home, say.
//! - A file that stands there already must belong to this user or root. Root may write another user's file if that user
//!   owns the directory too and others may not write in it, or if only root may: then nobody else can have put it
//!   there, and whoever owns the directory could read and replace the file in any case.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, fstatat, lstat, mkdirat};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, unlinkat};

use crate::system::{shown, world};

/// More links than any kernel follows.
const MOST_LINKS: usize = 40;
/// More directories than anybody has made at once.
const MOST_MADE: usize = 100;

/// A directory in which files may be made.
pub struct Directory {
    /// A descriptor that is good for nothing but to start from.
    handle: OwnedFd,
    /// Its path without links.
    pub path: PathBuf,
    stat: FileStat,
}

/// A name in a directory, with or without a file.
#[derive(Clone)]
pub struct Place {
    /// Where.
    pub directory: Arc<Directory>,
    /// What it is called there.
    pub name: OsString,
}

/// Why something is left alone although the kernel would allow it.
#[derive(Debug)]
struct Untrusted(String);

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Untrusted {}

/// The reason, if that is what the error says.
pub fn untrusted(error: &io::Error) -> Option<&str> {
    Some(&error.get_ref()?.downcast_ref::<Untrusted>()?.0)
}

/// An error for what is left alone, with its reason.
pub fn distrust(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, Untrusted(reason))
}

/// Where the walk stands.
struct Step {
    handle: OwnedFd,
    path: PathBuf,
    stat: FileStat,
    /// Whether nobody but root, this user and the directory's owner can have put it where it is.
    is_sure: bool,
}

impl Step {
    fn root() -> io::Result<Self> {
        let handle =
            openat(nix::fcntl::AT_FDCWD, "/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let stat = fstat(&handle)?;
        Ok(Self { handle, path: "/".into(), stat, is_sure: true })
    }

    fn open(&self, name: &OsStr, flags: OFlag) -> io::Result<OwnedFd> {
        Ok(openat(&self.handle, name, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?)
    }

    /// Into the directory `name` below, which is open already.
    fn down(self, name: &OsStr, handle: OwnedFd, stat: FileStat, user: u32) -> Self {
        let put_by_its_owner = self.stat.st_uid == stat.st_uid && !may_write(&self.stat, 0o002);
        let put_by_root = is_ours(&self.stat, user) && !may_write(&self.stat, 0o022);
        let is_sure = self.is_sure && (is_ours(&stat, user) || put_by_its_owner || put_by_root);
        Self { handle, path: self.path.join(name), stat, is_sure }
    }

    fn up(self) -> io::Result<Self> {
        let handle = openat(&self.handle, "..", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let stat = fstat(&handle)?;
        let mut path = self.path;
        path.pop();
        // Who has put that one where it is is no longer known.
        Ok(Self { handle, path, stat, is_sure: false })
    }

    /// Makes the directory `name`: for its owner alone, or for whom the file is where there are `others`.
    fn make(&self, name: &OsStr, others: u32, is_last: bool, user: u32) -> io::Result<()> {
        let mode = if others == 0 { 0o700 } else { 0o777 };
        match mkdirat(&self.handle, name, Mode::from_bits_truncate(mode)) {
            Ok(()) if others != 0 && is_last => {
                let directory = self.open(name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
                if fstat(&directory)?.st_uid == user {
                    fchmod(&directory, Mode::from_bits_truncate(0o700 | others | others >> 2))?;
                }
                Ok(())
            }
            // It may be another's who was quicker: what it is is seen when it is opened.
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// A file may be made here.
    fn arrive(self, name: OsString, user: u32) -> io::Result<Place> {
        let may_be_made = is_ours(&self.stat, user) || user == 0 && self.is_sure;
        if !may_be_made {
            return Err(distrust(format!(
                "the directory {} belongs to user {}",
                shown::path(&self.path),
                self.stat.st_uid
            )));
        }
        let directory = Directory { handle: self.handle, path: self.path, stat: self.stat };
        Ok(Place { directory: Arc::new(directory), name })
    }
}

fn is_ours(stat: &FileStat, user: u32) -> bool {
    stat.st_uid == user || stat.st_uid == 0
}

fn may_write(stat: &FileStat, who: u32) -> bool {
    stat.st_mode & who != 0
}

fn kind_of(stat: &FileStat) -> u32 {
    stat.st_mode & libc::S_IFMT
}

/// Whose files this process makes.
pub fn own_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The names of a path in reverse, the next one last.
fn names(path: &Path) -> Vec<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(name).collect()
}

/// Walks to what the absolute `path` means once links are followed, whether it is there or not. Directories that are
/// missing are made if there is a mode to `make` a file with: they are for the same people as that file.
///
/// # Errors
/// What is in the way.
pub fn walk(path: &Path, make: Option<u32>) -> io::Result<Place> {
    let user = own_user();
    let mut at = Step::root()?;
    let mut ahead = names(path);
    let mut links = 0..MOST_LINKS;
    let mut to_make = 0..MOST_MADE;
    while let Some(name) = ahead.pop() {
        if name == ".." {
            at = at.up()?;
            continue;
        }
        // Only who asks for a directory has one mounted that is mounted on demand.
        let flags = if ahead.is_empty() { OFlag::O_PATH } else { OFlag::O_PATH | OFlag::O_DIRECTORY };
        let found = at.open(&name, flags).or_else(|error| match error.kind() {
            io::ErrorKind::NotADirectory => at.open(&name, OFlag::O_PATH),
            _ => Err(error),
        });
        let found = match found {
            Ok(found) => found,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) if ahead.is_empty() => return at.arrive(name, user),
            Err(error) => {
                let mode = make.filter(|_| to_make.next().is_some()).ok_or(error)?;
                at.make(&name, mode & 0o044, ahead.len() == 1, user)?;
                ahead.push(name);
                continue;
            }
        };
        let stat = fstat(&found)?;
        match kind_of(&stat) {
            libc::S_IFDIR => at = at.down(&name, found, stat, user),
            libc::S_IFLNK => {
                if links.next().is_none() {
                    return Err(Errno::ELOOP.into());
                }
                // Where others may write, a second name of somebody's link may be one of theirs.
                if !is_ours(&stat, user) {
                    let link = at.path.join(&name);
                    return Err(distrust(format!("the link {} belongs to user {}", shown::path(&link), stat.st_uid)));
                }
                if stat.st_nlink > 1 && may_write(&at.stat, 0o022) {
                    let link = at.path.join(&name);
                    return Err(distrust(format!("the link {} has another name elsewhere", shown::path(&link))));
                }
                let target = PathBuf::from(readlinkat(&found, "")?);
                if target.is_absolute() {
                    at = Step::root()?;
                }
                ahead.extend(names(&target));
            }
            _ if ahead.is_empty() => return at.arrive(name, user),
            _ => return Err(Errno::ENOTDIR.into()),
        }
    }
    Err(Errno::EISDIR.into())
}

impl Directory {
    /// A place in it.
    pub fn place(self: &Arc<Self>, name: impl Into<OsString>) -> Place {
        Place { directory: self.clone(), name: name.into() }
    }

    /// Tries whether files can be made in it.
    ///
    /// # Errors
    /// Why not.
    pub fn is_writable(&self) -> io::Result<()> {
        Ok(faccessat(&self.handle, ".", AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::empty())?)
    }

    /// Whether nobody but its owner and root may open it.
    pub fn is_of_one_user(&self) -> bool {
        self.stat.st_mode & 0o077 == 0
    }

    /// A descriptor that is good for more.
    ///
    /// # Errors
    /// That it may not be read.
    pub fn open(&self) -> io::Result<OwnedFd> {
        Ok(openat(&self.handle, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
    }

    /// Has the names in it outlast a loss of power. Some file systems cannot; a new name stands all the same.
    pub fn sync(&self) {
        let _ = self.open().map(|directory| nix::unistd::fsync(&directory));
    }

    /// The names in it; none where they may not be read.
    pub fn names(&self) -> Vec<OsString> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let Ok(mut opened) = Dir::openat(&self.handle, ".", flags, Mode::empty()) else { return Vec::new() };
        let entries = opened.iter().map_while(nix::Result::ok);
        entries.map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned()).collect()
    }

    /// What tells it from all others.
    pub fn id(&self) -> (u64, u64) {
        (self.stat.st_dev, self.stat.st_ino)
    }

    /// For operations on two names.
    pub fn handle(&self) -> impl AsFd {
        &self.handle
    }
}

impl Place {
    /// Its path without links.
    pub fn path(&self) -> PathBuf {
        self.directory.path.join(&self.name)
    }

    /// Opens the file without following a link, and without waiting for whoever is at the other end of a pipe.
    pub fn open(&self, flags: OFlag, mode: u32) -> io::Result<File> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        Ok(openat(&self.directory.handle, &*self.name, flags, Mode::from_bits_truncate(mode))?.into())
    }

    /// What stands there, if it may be read and replaced.
    pub fn stat(&self) -> io::Result<Option<FileStat>> {
        match fstatat(&self.directory.handle, &*self.name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => self.check(&stat).map(|()| Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether the file that is or was opened here is a regular one that nobody else has planted.
    pub fn check(&self, stat: &FileStat) -> io::Result<()> {
        match kind_of(stat) {
            libc::S_IFREG => {}
            libc::S_IFDIR => return Err(Errno::EISDIR.into()),
            _ => return Err(io::Error::other("is not a regular file")),
        }
        let (directory, user) = (&self.directory.stat, own_user());
        let put_by_its_owner = directory.st_uid == stat.st_uid && !may_write(directory, 0o002);
        let put_by_root = directory.st_uid == 0 && !may_write(directory, 0o022);
        if is_ours(stat, user) || user == 0 && (put_by_its_owner || put_by_root) {
            return Ok(());
        }
        Err(distrust(format!("it belongs to user {}, who could read what is written", stat.st_uid)))
    }

    /// What stands there, and nothing where there is no file.
    pub fn read(&self) -> io::Result<(Vec<u8>, Option<FileStat>)> {
        // Before it is opened: even that does something to a device.
        if self.stat()?.is_none() {
            return Ok((Vec::new(), None));
        }
        let file = self.open(OFlag::O_RDONLY, 0)?;
        let stat = fstat(&file)?;
        self.check(&stat)?;
        Ok((world::read_open_file(file)?, Some(stat)))
    }

    /// Whether `file` is what stands there.
    pub fn is(&self, file: &File) -> bool {
        let there = fstatat(&self.directory.handle, &*self.name, AtFlags::AT_SYMLINK_NOFOLLOW);
        there.is_ok_and(|there| is_same(&there, file))
    }

    /// Tries whether the file there can be written in place.
    pub fn is_writable_in_place(&self) -> io::Result<()> {
        Ok(faccessat(&self.directory.handle, &*self.name, AccessFlags::W_OK | AccessFlags::R_OK, AtFlags::empty())?)
    }

    /// Removes the file.
    pub fn remove(&self) -> io::Result<()> {
        Ok(unlinkat(&self.directory.handle, &*self.name, UnlinkatFlags::NoRemoveDir)?)
    }
}

fn is_same(stat: &FileStat, file: &File) -> bool {
    fstat(file).is_ok_and(|own| (own.st_dev, own.st_ino) == (stat.st_dev, stat.st_ino))
}

/// Whether the path leads to `file` still.
pub fn leads_to(path: &Path, file: &File) -> bool {
    lstat(path).is_ok_and(|there| is_same(&there, file))
}

/// The content of a file of our own; a planted one is an error, and so is one that others may write than `mode` says.
///
/// # Errors
/// Those of opening and reading it.
pub fn read(path: &Path, mode: u32) -> io::Result<Vec<u8>> {
    match walk(path, None)?.read()? {
        (_, None) => Err(Errno::ENOENT.into()),
        (_, Some(stat)) if may_write(&stat, 0o022 & !mode) => Err(distrust("others may write it".into())),
        (content, Some(_)) => Ok(content),
    }
}

/// The names in a directory where files may be made; none anywhere else.
pub fn names_in(directory: &Path) -> Vec<OsString> {
    walk(&directory.join("any"), None).map(|place| place.directory.names()).unwrap_or_default()
}

/// Removes a file of our own.
///
/// # Errors
/// Those of finding and removing it.
pub fn remove(path: &Path) -> io::Result<()> {
    let place = walk(path, None)?;
    place.stat()?;
    place.remove()
}

/// The directory `path` if it is this user's alone; it is made where it is not there.
///
/// # Errors
/// That it is not.
pub fn own_directory(path: &Path) -> io::Result<Arc<Directory>> {
    if !path.parent().is_some_and(Path::is_dir) {
        return Err(Errno::ENOENT.into());
    }
    let directory = walk(&path.join("any"), Some(0o600))?.directory;
    // What a link of that name leads to is somebody's other directory.
    let is_it = directory.path.file_name() == path.file_name();
    if !is_it || directory.stat.st_uid != own_user() || !directory.is_of_one_user() {
        return Err(distrust("not this user's alone".into()));
    }
    directory.is_writable().map(|()| directory)
}
