//! Where do clients look? One file a place, with `loopback` for servers below them.

pub mod cache;
mod crowd;
pub mod endpoint;
pub mod file;
pub mod loopback;
pub mod metadata;
pub mod replaced;
pub mod token_file;
pub mod variables;
