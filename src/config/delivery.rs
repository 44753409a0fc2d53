//! Where credentials go: the part of the configuration that no metadata attribute changes.

use std::path::PathBuf;

use crate::config::options::{Options, invalid};
use crate::error::{Error, Result};
use crate::model::client::Guests;
use crate::system::input::InputValue;
use crate::system::shown;
use crate::system::world::World;

use AwsDelivery::{Endpoint, Env, File, Process, TokenFile};

/// A place where clients of AWS look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AwsDelivery {
    /// A loopback server that answers from memory.
    Endpoint,
    /// The three variables of static keys.
    Env,
    /// The shared credentials file.
    File,
    /// A profile that asks `fedboot credential-process`.
    Process,
    /// A web identity token file, and the role's ARN beside it.
    TokenFile,
}

impl AwsDelivery {
    /// All, with their names in `--delivery`.
    const ALL: [(&str, Self); 5] = [
        ("endpoint", Self::Endpoint),
        ("env", Self::Env),
        ("file", Self::File),
        ("process", Self::Process),
        ("token-file", Self::TokenFile),
    ];

    /// Whether clients ask the agent itself, which then stays even where nothing is refreshed.
    fn is_server(self) -> bool {
        match self {
            Self::Endpoint => true,
            Self::Env | Self::File | Self::Process | Self::TokenFile => false,
        }
    }

    /// Whether keys stand in the command's environment, which an agent without a command prints, and which nothing can
    /// change later.
    fn is_environment(self) -> bool {
        match self {
            Self::Env => true,
            Self::Endpoint | Self::File | Self::Process | Self::TokenFile => false,
        }
    }
}

/// Where credentials are delivered.
#[derive(Debug, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// Which places, in the order of their names.
    places: Vec<AwsDelivery>,
    /// The profile that clients use, for `[…]` and `AWS_PROFILE`.
    pub profile: Option<String>,
    /// The section of the static keys.
    pub keys_section: Option<String>,
    /// The credentials file, if one was named.
    pub credentials_file: Option<PathBuf>,
    /// The web identity token file, if one was named.
    pub token_file: Option<PathBuf>,
    /// The cache file, if one was named.
    pub cache_file: Option<PathBuf>,
    /// Permissions of what is written.
    pub mode: u32,
}

impl DeliveryConfig {
    /// Whether credentials go there.
    pub fn has(&self, place: AwsDelivery) -> bool {
        self.places.contains(&place)
    }

    /// Whether clients ask the agent itself.
    pub fn has_server(&self) -> bool {
        self.places.iter().any(|place| place.is_server())
    }

    /// Whether keys stand in the command's environment.
    pub fn prints_keys(&self) -> bool {
        self.places.iter().any(|place| place.is_environment())
    }

    /// Whether they stand nowhere else: nothing is written, and nothing can be refreshed.
    pub fn is_only_environment(&self) -> bool {
        self.places.iter().all(|place| place.is_environment())
    }

    /// Whether clients find them by a profile, of its own or the usual one.
    pub fn has_profile(&self) -> bool {
        self.profile.is_some() || self.keys_section.is_some()
    }
}

/// What may be said together. Static keys in the profile that clients use would keep them from what refreshes.
const COMBINATIONS: &[&[AwsDelivery]] =
    &[&[File], &[Endpoint], &[Endpoint, File], &[Process], &[File, Process], &[TokenFile], &[Env], &[Env, File]];

/// Where credentials go, which no metadata attribute changes.
///
/// # Errors
/// A usage error that names what is unknown or does not go together.
pub fn delivery(options: &Options, world: &World) -> Result<DeliveryConfig> {
    let list = options.text(world, "delivery")?.unwrap_or_else(|| InputValue::new("--delivery", "file,endpoint"));
    let place_of =
        |name: &str| AwsDelivery::ALL.iter().find(|(known, _)| *known == name.trim()).map(|(_, place)| *place);
    let places: Option<Vec<_>> = list.text()?.split(',').map(place_of).collect();
    let mut places = places.ok_or_else(|| invalid("delivery", &list))?;
    places.sort();
    places.dedup();
    if !COMBINATIONS.iter().any(|known| *known == places) {
        return Err(list.bad(format!("is {}: one would keep clients from the other", listed(&places))).advice(
            "choose file,endpoint, or file, endpoint, process, token-file or env alone, or file with process or env",
        ));
    }
    let path = |name| options.value(world, name).map(|given| given.file(world).to_write()).transpose();
    let mut config = DeliveryConfig {
        places,
        profile: None,
        keys_section: None,
        credentials_file: path("credentials-file")?,
        token_file: path("web-identity-token-file")?,
        cache_file: path("cache-file")?,
        mode: file_mode(options, world)?,
    };
    config.keys_section = config.has(File).then(|| "default".into());
    let needs_profile = config.has(Process) || (config.has(File) && config.has(Endpoint));
    config.profile = needs_profile.then(|| "fedboot".into());
    let Some(named) = options.text(world, "aws-profile")? else { return Ok(config) };
    match named.text()? {
        "none" if config.has(Process) => {
            return Err(Error::usage("--delivery process needs a profile, so --aws-profile cannot be none"));
        }
        "none" => config.profile = None,
        name => config.name_profile(&check_profile(named.origin(), name)?)?,
    }
    Ok(config)
}

impl DeliveryConfig {
    /// Has clients use the profile `name`.
    ///
    /// # Errors
    /// A usage error where that cannot be.
    pub fn name_profile(&mut self, name: &str) -> Result<()> {
        if self.has(TokenFile) || self.has(Env) {
            return Err(Error::usage(format!(
                "the profile {name} would keep clients from what --delivery {} gives them",
                listed(&self.places)
            )));
        }
        if self.has(File) && self.places.len() == 1 {
            self.keys_section = Some(name.into());
        } else if self.keys_section.as_deref() == Some(name) {
            return Err(Error::usage(format!("the profile {name} holds the static keys: name another one")));
        }
        self.profile = Some(name.into());
        Ok(())
    }
}

/// As they are named in `--delivery`.
fn listed(places: &[AwsDelivery]) -> String {
    let names = AwsDelivery::ALL.iter().filter(|(_, place)| places.contains(place)).map(|(name, _)| *name);
    names.collect::<Vec<_>>().join(",")
}

/// Octal, as in chmod. What everybody may write is nobody's secret, and fedboot must be able to read it.
///
/// # Errors
/// A usage error where it is no such mode.
pub fn file_mode(options: &Options, world: &World) -> Result<u32> {
    let Some(given) = options.text(world, "file-mode")? else { return Ok(0o600) };
    match u32::from_str_radix(given.text()?, 8) {
        Ok(mode) if mode & !0o664 == 0 && mode & 0o600 == 0o600 => Ok(mode),
        _ => Err(given
            .bad("is no mode that a file with keys may have")
            .advice("write 0600, or 0640 for a group that may read, as in chmod")),
    }
}

/// Where Google's tokens are delivered.
#[derive(Debug)]
pub struct GoogleDeliveryConfig {
    /// By a metadata server, on this port, or any one for 0.
    pub metadata_port: Option<u16>,
    /// By a file with the access token; one of our own where it has no path.
    pub access_token_file: Option<Option<PathBuf>>,
    /// Permissions of what is written.
    pub mode: u32,
    /// Who may ask the metadata server, if that was said.
    pub guests: Option<Guests>,
}

impl GoogleDeliveryConfig {
    /// Reads what is said.
    ///
    /// # Errors
    /// A usage error that names what is wrong.
    pub fn resolve(options: &Options, world: &World) -> Result<Self> {
        let list = options.text(world, "delivery")?.unwrap_or_else(|| InputValue::new("--delivery", "metadata"));
        let mode = file_mode(options, world)?;
        let mut delivery = Self { metadata_port: None, access_token_file: None, mode, guests: None };
        let file = options.value(world, "access-token-file").map(|given| given.file(world).to_write()).transpose()?;
        for place in list.text()?.split(',').map(str::trim) {
            match place {
                "metadata" => delivery.metadata_port = Some(0),
                "access-token-file" => delivery.access_token_file = Some(file.clone()),
                _ => {
                    return Err(invalid("delivery", &list)
                        .advice("for Google write metadata, access-token-file, or metadata,access-token-file"));
                }
            }
        }
        if file.is_some() && delivery.access_token_file.is_none() {
            delivery.access_token_file = Some(file);
        }
        if let Some(port) = options.text(world, "metadata-port")? {
            let number = port.text()?.parse().ok().filter(|port| *port > 0);
            let number = number.ok_or_else(|| invalid("metadata-port", &port))?;
            if delivery.metadata_port.is_none() {
                return Err(Error::usage("--metadata-port is for --delivery metadata"));
            }
            delivery.metadata_port = Some(number);
        }
        if let Some(list) = options.text(world, "allow-uid")? {
            if delivery.metadata_port.is_none() {
                return Err(Error::usage("--allow-uid is for --delivery metadata"));
            }
            let guests = Guests::parse(list.text()?).ok_or_else(|| invalid("allow-uid", &list))?;
            delivery.guests = Some(guests.and(world.user));
        }
        Ok(delivery)
    }
}

impl GoogleDeliveryConfig {
    /// Who may ask the metadata server of an agent of `user`, unless it was said: beside a command that cannot become
    /// somebody else, whoever is not that user is a stranger. An agent in front serves other containers, and below root
    /// there may be users of any kind.
    pub fn guests(&self, user: u32, is_in_front: bool) -> Guests {
        match &self.guests {
            Some(guests) => guests.clone(),
            None if user == 0 || is_in_front => Guests::Any,
            None => Guests::UsersIfKnowable(vec![0, user]),
        }
    }
}

/// A name that every SDK reads alike, in the file, in a variable and on a command line.
///
/// # Errors
/// A usage error where it is not.
pub fn check_profile(origin: &str, name: &str) -> Result<String> {
    let is_ordinary = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./%@+".contains(&b));
    if !(1..=128).contains(&name.len()) || !is_ordinary || shown::is_opaque(name) {
        return Err(Error::usage(format!("{origin} is no profile name that every SDK can read"))
            .advice("use letters, digits and -_./%@+"));
    }
    Ok(name.to_owned())
}
