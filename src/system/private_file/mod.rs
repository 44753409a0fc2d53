//! Private files that others read while they are replaced: never torn, never readable by others, never lost, and never
//! somewhere that another user has chosen.
//!
//! - [`walk`]: the way to a file, by descriptors; in which directory a file may be made, and which one may be replaced.
//! - [`replace`]: a temporary file in the same directory, renamed over the old one. A file that is itself a mount cannot
//!   be replaced (`EBUSY`), nor can one in a read-only directory: such a file is written in place.
//! - [`lock`]: writers take turns by a lock file of their own.
//! - [`held`]: files that a living process holds; [`sweep`]: what the dead have left.
//! - [`place`]: which directory.
//! - [`writer`]: a disk that is slow, or hangs, does so in a thread of its own.

mod held;
mod lock;
mod place;
mod replace;
mod sweep;
mod walk;
mod writer;

use std::io;
use std::path::Path;

use crate::error::{Error, Kind};
use crate::system::{shown, world};

pub use held::{Held, hold, hold_new, leave_held};
pub use lock::{LockedFile, lock_file};
pub use place::{Chosen, beside, cache_directory, choose, directories_of};
pub use replace::{abandon, update};
pub use sweep::{sweep, sweep_in};
pub use walk::{Directory, names_in, read, remove};
pub use writer::Writer;

/// The beginning of the names of files beside the credentials file.
pub const PREFIX: &str = ".fedboot-";
/// The ends of the names of files that living processes hold.
pub const TOKEN_SUFFIX: &str = ".token";
/// See [`TOKEN_SUFFIX`].
pub const WEB_IDENTITY_SUFFIX: &str = ".jwt";
/// See [`TOKEN_SUFFIX`].
pub const ACCESS_TOKEN_SUFFIX: &str = ".access-token";

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// What went wrong, in plain words.
fn reason(error: &io::Error) -> String {
    // A path in there keeps its capital letters.
    walk::untrusted(error).map_or_else(|| world::plain(error), str::to_owned)
}

fn write_error(path: &Path, error: &io::Error) -> Error {
    let advice = match error.kind() {
        _ if walk::untrusted(error).is_some() => "remove it, or name a file in a directory of your own",
        io::ErrorKind::WouldBlock => "is another fedboot stopped?",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "name a writable --credentials-file, or mount a writable volume"
        }
        io::ErrorKind::IsADirectory => "--credentials-file must name a file",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space; the file is as it was",
        _ => "",
    };
    let (kind, problem) = match error.kind() {
        // Whoever has it may be done at any moment.
        io::ErrorKind::WouldBlock => (Kind::Transient, "is locked by another process".to_owned()),
        _ => (Kind::Fatal, format!("cannot be written: {}", reason(error))),
    };
    Error::new(kind, "write credentials", shown::path(path), problem).advice(advice)
}
