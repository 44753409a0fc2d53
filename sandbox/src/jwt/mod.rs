//! Tokens of identity, signed and verified: keys, and the issuers that hold them.

pub(crate) mod issuers;
pub(crate) mod key;
mod ring;
