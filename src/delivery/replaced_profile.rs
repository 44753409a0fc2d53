//! The profile that clients would use if there were no fedboot. What it says beside credentials goes on to count, in the
//! profile that they use instead.

use std::path::{Path, PathBuf};

use crate::format::ini::{self, OTHER_SOURCES, STATIC_KEYS, Settings};
use crate::system::input::InputFile;
use crate::system::world::{self, World};

/// Which one it is, and where it may stand.
#[derive(Clone)]
pub struct ReplacedProfile {
    /// Its name.
    pub name: String,
    /// The variable that names it.
    pub named_by: Option<&'static str>,
    /// AWS's credentials file.
    pub credentials: Option<PathBuf>,
    /// AWS's config file.
    pub config: Option<PathBuf>,
}

/// What stands in both files.
#[derive(Default)]
pub struct Found {
    /// Whether there is such a profile.
    pub is_there: bool,
    /// Its region.
    pub region: Option<String>,
    /// What clients would get credentials by, and the file that says it.
    pub source: Option<(PathBuf, &'static str)>,
}

impl ReplacedProfile {
    /// The one that the variables name, else `default`.
    pub fn of(world: &World) -> Self {
        let named = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"].iter().find_map(|by| Some((*by, world.text_variable(by)?)));
        let (named_by, name) = named.map_or((None, "default".into()), |(by, name)| (Some(by), name));
        let [credentials, config] = InputFile::of_aws(world).map(|file| file.map(|file| file.path().to_owned()));
        Self { name, named_by, credentials, config }
    }

    /// What stands in the files now. A file that cannot be read says nothing, as to the clients.
    pub fn look(&self) -> Found {
        let mut found = Found::default();
        for (path, is_config) in [(&self.credentials, false), (&self.config, true)] {
            let Some(path) = path else { continue };
            let in_config = |section: &str| ini::is_profile_or_default(section, &self.name);
            let is_it = |section: &str| if is_config { in_config(section) } else { section == self.name };
            let Ok(Some(mut values)) = ini::read(&content(path), &is_it) else { continue };
            let first = STATIC_KEYS.iter().chain(OTHER_SOURCES).find(|key| values.contains_key(**key));
            found.is_there = true;
            found.source = found.source.or_else(|| Some((path.clone(), *first?)));
            found.region = found.region.or_else(|| values.remove("region"));
        }
        found
    }

    /// Its settings without credentials; where both files say one, the credentials file has it.
    pub fn settings(&self, credentials: &[u8], config: &[u8]) -> Settings {
        let own = ini::settings(credentials, &|section| section == self.name).unwrap_or_default();
        let in_config = |section: &str| ini::is_profile_or_default(section, &self.name);
        let mut all = ini::settings(config, &in_config).unwrap_or_default();
        all.retain(|(name, _)| !own.iter().any(|(other, _)| other == name));
        all.extend(own);
        all
    }
}

/// What a file says to clients: nothing where they cannot read it. A pipe is theirs to read.
pub fn content(path: &Path) -> Vec<u8> {
    if path.is_file() { world::read_file(path).unwrap_or_default() } else { Vec::new() }
}
