//! Where do clients look? One file a place.

pub mod endpoint;
pub mod file;
mod ini;
pub mod place;
