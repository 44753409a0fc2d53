//! The values of options, read as what they are.

use std::time::Duration;

use crate::config::options::{Options, hint};
use crate::error::Result;
use crate::system::input::InputValue;
use crate::system::world::World;

/// What an option says that is one of the `known` words.
///
/// # Errors
/// A usage error with the words.
pub fn chosen<T: Clone>(options: &Options, world: &World, name: &str, known: &[(&str, T)]) -> Result<Option<T>> {
    let Some(given) = options.value(world, name) else { return Ok(None) };
    given.one_of(known).map(Some).map_err(|error| hint(name, error))
}

/// Whether `--format` asks for JSON instead of text.
///
/// # Errors
/// A usage error with the words.
pub fn as_json(options: &Options, world: &World) -> Result<bool> {
    Ok(chosen(options, world, "format", &[("text", false), ("json", true)])?.unwrap_or(false))
}

/// The length of time that an option says.
///
/// # Errors
/// A usage error where it says none.
pub fn duration(options: &Options, world: &World, name: &str) -> Result<Option<Duration>> {
    options.text(world, name)?.map(|given| parse_duration(&given)).transpose()
}

/// `3600`, `90m`, `12h`: whole seconds, at least one.
///
/// # Errors
/// A usage error where it is none.
pub fn parse_duration(given: &InputValue) -> Result<Duration> {
    let text = given.text()?;
    let seconds = match text.parse::<u32>() {
        Ok(seconds) => u64::from(seconds),
        Err(_) => humantime::parse_duration(text)
            .map_err(|_| given.bad("is no length of time").advice("write 3600, 90m or 12h"))?
            .as_secs(),
    };
    if seconds == 0 || seconds > 366 * 86_400 {
        return Err(given.bad("is not between a second and a year"));
    }
    Ok(Duration::from_secs(seconds))
}

/// Whether a switch is on.
///
/// # Errors
/// A usage error where its variable is neither true nor false.
pub fn switch(options: &Options, world: &World, name: &str) -> Result<bool> {
    let Some(given) = options.value(world, name) else { return Ok(false) };
    match given.text()?.to_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(given.bad("is no value of a switch").advice("use true or false")),
    }
}
