//! Where do clients look? One file a place, and `place`, `ini` below them.

pub mod cache;
pub mod endpoint;
pub mod file;
mod ini;
pub mod place;
pub mod token_file;
pub mod variables;
