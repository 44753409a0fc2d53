//! The functions of the crate, each called as its users call it: one file a subject, named as its file in `src/`.
//!
//! What only a private function can show is tested beside it, in `src/`.

mod credentials_json;
mod endpoint;
mod entrypoint;
mod external_account;
mod ini_aside;
mod ini_edit;
mod ini_nested;
mod ini_read;
mod ini_settings;
mod input;
mod jwt;
mod message;
mod misspelled;
mod no_proxy;
mod options;
mod partition;
mod profile;
mod readiness_message;
mod reasons;
mod retry;
mod role;
mod schedule;
mod shown;
mod sts_errors;
mod sts_hosts;
mod subject_token_format;
mod sweep;
mod template;
mod to_aws;
mod to_google;
mod token_cache;
mod values;
mod world;
mod xml;

use std::ffi::OsString;

use fedboot::config::options::{Options, parse_options};
use fedboot::error::Result;
use fedboot::system::world::World;

/// A world with these variables and nothing else in it, not even the time.
fn world(variables: &[(&str, &str)]) -> World {
    World::imagined(variables, || unreachable!())
}

/// The words of a command line.
fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

/// The options of a command line that has a command.
fn options(flags: &str) -> Result<Options> {
    let mut options = Options::default();
    parse_options(&words(flags), true, &mut options)?;
    Ok(options)
}
