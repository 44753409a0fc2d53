//! The table of reasons: why something did not work, and what to do. A row a reason; messages, `docs/troubleshooting.md` and
//! tests are made of it. A code is never given to another reason.

mod aws;
mod delivery;
mod google;
mod network;
mod usage;

pub use aws::*;
pub use delivery::*;
pub use google::*;
pub use network::*;
pub use usage::*;

use crate::error::reason::Reason;

/// All of them, by their codes.
pub fn all() -> impl Iterator<Item = &'static Reason> {
    [usage::ALL, google::ALL, aws::ALL, network::ALL, delivery::ALL].into_iter().flatten().copied()
}

/// The one with this code.
pub fn with_code(code: &str) -> Option<&'static Reason> {
    all().find(|reason| reason.code == code)
}
