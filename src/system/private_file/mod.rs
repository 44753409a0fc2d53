//! Private files that others read while they are replaced: never torn, never readable by others, never lost, and never
//! somewhere that another user has chosen.
//!
//! - [`walk`]: the way to a file, by descriptors; in which directory a file may be made, and which one may be replaced.
//! - [`replace`]: a temporary file in the same directory, renamed over the old one. A file that is itself a mount cannot
//!   be replaced (`EBUSY`), nor can one in a read-only directory: such a file is written in place.
//! - [`lock`]: writers take turns by a lock file of their own.
//! - [`held`]: files that a living process holds; [`sweep`]: what the dead have left.
//! - [`place`]: which directory.
//! - [`rehearsal`]: whether a file could be written, with nothing left behind.
//! - [`writer`]: a disk that is slow, or hangs, does so in a thread of its own.

mod errors;
mod held;
mod lock;
mod names;
mod place;
mod rehearsal;
mod replace;
mod sweep;
mod unfinished;
mod walk;
mod writer;

pub use held::{HeldFile, hold, hold_new, leave_held};
pub use lock::{LockedFile, lock_file};
pub use names::{ACCESS_TOKEN_SUFFIX, PREFIX, TOKEN_SUFFIX, WEB_IDENTITY_SUFFIX};
pub use place::{CredentialsPath, beside, cache_directory, choose, directories_of};
pub use rehearsal::{Rehearsal, rehearse, rehearse_with};
pub use replace::update;
pub use sweep::{sweep, sweep_in};
pub use unfinished::abandon;
pub use walk::{Directory, names_in, read, remove};
pub use writer::Writer;
