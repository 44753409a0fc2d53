//! Where do clients look? One file a place, with `loopback` for servers below them.

mod connections;
pub mod credential_cache;
pub mod credentials_file;
pub mod endpoint;
pub mod loopback;
pub mod metadata_server;
pub mod no_proxy;
pub mod replaced_profile;
pub mod shadowed_files;
pub mod shadowed_variables;
pub mod token_file;
pub mod variables;
