//! What there is before anything is delivered: what would be found first, and what follows for the credentials file and the
//! command's environment. Nothing is changed by looking.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::config::delivery::{AwsDelivery, DeliveryConfig};
use crate::config::to_google::ToGoogleConfig;
use crate::delivery::credentials_file::{Plan, Profile};
use crate::delivery::no_proxy::no_proxy;
use crate::delivery::replaced_profile::{Found, ReplacedProfile};
use crate::delivery::{shadowed_files, shadowed_variables};
use crate::model::partition;
use crate::system::shown;
use crate::system::world::World;

const REGION_VARIABLES: &[&str] = &["AWS_REGION", "AWS_DEFAULT_REGION"];

/// The region that clients are told.
pub struct Region {
    /// Its name.
    pub name: String,
    /// Whether it was said; else the profile that clients would use may say another one.
    pub is_said: bool,
}

/// See the module.
pub struct Survey {
    /// The variables that the command loses, as they would be found first.
    pub shadows: Vec<&'static str>,
    /// Those that it gets, beside those of the places.
    pub variables: Vec<(&'static str, OsString)>,
    /// What else would be found first, and what a file says that somebody will miss.
    pub warnings: Vec<String>,
    /// What the credentials file is to say.
    pub plan: Plan,
}

impl Survey {
    /// Looks at what there is for clients of AWS, whose credentials file is to be `file`.
    pub fn of(config: &DeliveryConfig, region: Region, file: &Path, patience: Duration, world: &World) -> Self {
        let replaced = ReplacedProfile::of(world);
        let found = if region.is_said && config.has_profile() { Found::default() } else { replaced.look() };
        let mut warnings = Vec::new();
        let shadows = shadows_of(config, &replaced, &found, &mut warnings);
        warnings.extend(shadowed_files::of_aws(world, config.has(AwsDelivery::Endpoint)));
        // A profile without keys, from which clients go on to the endpoint.
        let bare = config
            .profile
            .iter()
            .filter(|name| config.has(AwsDelivery::Endpoint) && config.keys_section.as_ref() != Some(name));
        let replaceds = found.region.filter(|name| !region.is_said && partition::check_region(name).is_ok());
        let clients_region = replaceds.unwrap_or(region.name);
        let plan = Plan {
            path: file.into(),
            copied: replaced.credentials.clone().filter(|path| config.credentials_file.is_none() && *path != file),
            mode: config.mode,
            keys_section: config.keys_section.clone(),
            profiles: bare
                .map(|name| Profile { name: name.clone(), set: vec![("region", clients_region.clone())] })
                .collect(),
            profile: config.profile.clone(),
            replaced,
            region_is_said: region.is_said,
            patience,
        };
        // Without a profile that says it, botocore knows no region but by the older variable.
        let names = if config.profile.is_none() {
            REGION_VARIABLES
        } else {
            REGION_VARIABLES.split_at_checked(1).map_or(REGION_VARIABLES, |(first, _)| first)
        };
        let missing = names.iter().filter(|name| world.variable(name).is_none());
        let mut variables: Vec<_> = missing.map(|name| (*name, OsString::from(&clients_region))).collect();
        if config.has(AwsDelivery::Endpoint) {
            variables.extend(no_proxy(world));
        }
        Self { shadows, variables, warnings, plan }
    }
}

/// The variables that the command loses. It keeps the one that names its profile where that has no credentials and nothing
/// else stands for it.
fn shadows_of(
    config: &DeliveryConfig,
    replaced: &ReplacedProfile,
    found: &Found,
    warnings: &mut Vec<String>,
) -> Vec<&'static str> {
    let mut shadows = shadowed_variables::AWS.to_vec();
    if config.has_profile() {
        return shadows;
    }
    let mut source = found.source.clone();
    if let Some(variable) = replaced.named_by {
        // Node's SDK looks at no variable with keys where one names a profile.
        if found.is_there && source.is_none() && !config.has(AwsDelivery::Env) {
            shadows.retain(|name| !["AWS_PROFILE", "AWS_DEFAULT_PROFILE"].contains(name));
        } else {
            source = ReplacedProfile { name: "default".into(), ..replaced.clone() }.look().source;
            if found.is_there {
                warnings.push(format!(
                    "the command loses {variable}, and with it the settings of that profile: with --delivery file,endpoint they \
                     go on to count"
                ));
            }
        }
    }
    if let Some((path, key)) = source.filter(|_| config.has(AwsDelivery::Endpoint)) {
        warnings.push(format!(
            "{} has {key} in the profile that clients use, and they take that before they ask the endpoint: remove it, or \
             choose --delivery file,endpoint",
            shown::path(&path)
        ));
    }
    shadows
}

/// The variables that the command loses on the way to Google, and warnings of what else would be found first.
pub fn shadows_of_google(config: &ToGoogleConfig, world: &World) -> (Vec<&'static str>, Vec<String>) {
    let has_server = config.delivery.metadata_port.is_some();
    let email = has_server.then(|| config.about(world).email);
    let shadows = if has_server { shadowed_variables::GOOGLE } else { shadowed_variables::GCLOUD };
    let has_token_file = config.delivery.access_token_file.is_some();
    (shadows.to_vec(), shadowed_files::of_google(world, email.as_deref(), has_token_file))
}
