//! What went wrong with a file, and what to do.

use std::io;
use std::path::Path;

use crate::error::{Error, Kind, reasons};
use crate::system::private_file::walk;
use crate::system::{shown, world};

pub fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// What went wrong, in plain words.
pub fn reason(error: &io::Error) -> String {
    // A path in there keeps its capital letters.
    walk::untrusted(error).map_or_else(|| world::plain(error), str::to_owned)
}

pub fn write_error(path: &Path, error: &io::Error) -> Error {
    let advice = match error.kind() {
        _ if walk::untrusted(error).is_some() => "remove it, or name a file in a directory of your own",
        io::ErrorKind::WouldBlock => "is another fedboot stopped?",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "name a writable --credentials-file, or mount a writable volume"
        }
        io::ErrorKind::IsADirectory => "--credentials-file must name a file",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space; the file is as it was",
        _ => "name another --credentials-file, in a directory that is there and can be written",
    };
    let (kind, problem) = match error.kind() {
        // Whoever has it may be done at any moment.
        io::ErrorKind::WouldBlock => (Kind::Transient, "is locked by another process".to_owned()),
        _ => (Kind::Fatal, format!("cannot be written: {}", reason(error))),
    };
    let row = if walk::untrusted(error).is_some() { &reasons::UNSAFE_PLACE } else { &reasons::CANNOT_WRITE };
    Error::new(kind, "write credentials", shown::path(path), problem).reason(row).advice(advice)
}
