//! Who am I on Google? One file a source.

pub mod impersonation;
pub mod metadata;
pub mod token_file;
