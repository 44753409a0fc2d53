//! The doors to the outside: clock, chance, environment, files, network, processes, log.

pub mod google_error;
pub mod handover;
pub mod http;
pub mod iam_credentials;
pub mod input;
pub mod log;
pub mod private_file;
pub mod process;
pub mod shown;
pub mod world;
