//! Config → the places that credentials go to, for each role.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::config::{Config, Settings};
use crate::credential_process;
use crate::delivery::cache::CacheFile;
use crate::delivery::endpoint::CredentialsEndpoint;
use crate::delivery::file::{CredentialsFile, Plan, Profile};
use crate::delivery::place::{self, Chosen};
use crate::delivery::token_file::TokenFile;
use crate::delivery::variables::Variables;
use crate::delivery_choice::DeliveryChoice;
use crate::error::Result;
use crate::flow::{Credentials, Delivery, Environment, Trouble};
use crate::log::Severity;
use crate::roles::RoleChoice;
use crate::status::Board;
use crate::world::{World, random_name};

/// How long another writer of a file is waited for: it may be stopped, and the command waits for us.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// What would keep the command's clients from what was delivered: it would be found first.
const SHADOWS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_PROFILE",
];

const REGION_VARIABLES: &[&str] = &["AWS_REGION", "AWS_DEFAULT_REGION"];

/// All places that one role's credentials go to.
pub struct Deliveries {
    places: Vec<Box<dyn Delivery>>,
    file: Option<CredentialsFile>,
    /// Beside which all other files stand.
    credentials_file: PathBuf,
    /// Variables with the region, where the command has none.
    regions: Vec<(&'static str, String)>,
    patience: Duration,
}

impl Deliveries {
    /// Opens every place that `choice` names for the first role. What an SDK needs to know of them is then fixed.
    ///
    /// # Errors
    /// Why one of them cannot stand.
    pub fn open(
        choice: &DeliveryChoice,
        region: &str,
        role_arn: Option<String>,
        world: &Rc<World>,
        settings: &Settings,
        board: &Rc<Board>,
    ) -> Result<Self> {
        let log = settings.log;
        board.set_mode(choice.mode);
        let patience = LOCK_PATIENCE.min(settings.timeout);
        let warn = {
            let world = world.clone();
            move |message: &str| log.event(world.now(), Severity::Warning, message, &[])
        };
        let chosen = match place::choose(choice.credentials_file.as_deref(), choice.mode, world) {
            // Variables need no file.
            Err(_) if choice.is_only("env") => Chosen { file: PathBuf::from("/"), warning: None },
            chosen => chosen?,
        };
        if let Some(warning) = chosen.warning.as_ref().filter(|_| !choice.is_only("env")) {
            warn(warning);
        }
        let mut places: Vec<Box<dyn Delivery>> = Vec::new();
        // The endpoint first: its answer is memory, a file may have to wait for a disk.
        if choice.has("endpoint") {
            let (board, clock) = (board.clone(), world.clone());
            let status = Box::new(move || board.json(clock.now()));
            places.push(Box::new(CredentialsEndpoint::open(world.clone(), &chosen.file, choice.mode, status)?));
        }
        if choice.has("env") {
            places.push(Box::new(Variables::default()));
        }
        if choice.has("token-file") {
            let name = format!("{}{}.jwt", place::PREFIX, random_name::<6>());
            let path = choice.token_file.clone().unwrap_or_else(|| chosen.file.with_file_name(name));
            let is_ours = choice.token_file.is_none();
            places.push(Box::new(TokenFile::new(path, is_ours, choice.mode, patience, role_arn)));
        }
        // A profile without keys, from which clients go on to the endpoint.
        let bare =
            choice.profile.iter().filter(|name| choice.has("endpoint") && choice.keys_section.as_ref() != Some(name));
        let plan = Plan {
            path: chosen.file.clone(),
            mode: choice.mode,
            keys_section: choice.keys_section.clone(),
            profiles: bare
                .map(|name| Profile { name: name.clone(), set: vec![("region", region.to_owned())] })
                .collect(),
            profile: choice.profile.clone(),
            patience,
        };
        let file = Some(CredentialsFile::new(plan, warn));
        // Without a profile that says it, botocore knows no region but by the older variable.
        let variables = if choice.profile.is_none() { REGION_VARIABLES } else { &REGION_VARIABLES[..1] };
        let missing = variables.iter().filter(|name| world.variable(name).is_none());
        let regions = missing.map(|name| (*name, region.to_owned())).collect();
        Ok(Self { places, file, credentials_file: chosen.file, regions, patience })
    }

    /// Adds what needs to know the roles: caches, and the profiles that are answered from them. Returns the places of
    /// each further role.
    ///
    /// # Errors
    /// What cannot be written into a profile.
    pub fn add_roles(&mut self, config: &Config, world: &Rc<World>) -> Result<Vec<Self>> {
        let mut further = Vec::new();
        let mut profiles = Vec::new();
        let mut add = |role: &RoleChoice, name: &str| -> Result<Box<dyn Delivery>> {
            let cache = credential_process::cache(config, role, |name| {
                Ok(self.credentials_file.with_file_name(format!("{}{name}", place::PREFIX)))
            })?;
            let line = credential_process::command_line(config, role, cache.path())?;
            let set = vec![("credential_process", line), ("region", config.region())];
            profiles.push(Profile { name: name.into(), set });
            let clock = world.clone();
            Ok(Box::new(CacheFile::new(cache, self.patience, move || clock.now())))
        };
        let (first, others) = (&config.roles[0], &config.roles[1..]);
        let mut own = None;
        if let (true, Some(name)) = (config.delivery.has("process"), &config.delivery.profile) {
            own = Some(add(first, name)?);
        }
        for role in others {
            further.push(Self {
                places: vec![add(role, role.profile.as_deref().unwrap_or_default())?],
                file: None,
                credentials_file: self.credentials_file.clone(),
                regions: Vec::new(),
                patience: self.patience,
            });
        }
        self.places.extend(own);
        if let Some(file) = &self.file {
            file.add(profiles);
        }
        Ok(further)
    }

    fn all(&self) -> impl Iterator<Item = &dyn Delivery> {
        self.places.iter().map(|place| &**place).chain(self.file.iter().map(|file| file as &dyn Delivery))
    }

    /// The file beside which all others stand.
    pub fn credentials_file(&self) -> &Path {
        &self.credentials_file
    }

    /// Delivers everywhere, one failing place not keeping the others from it.
    ///
    /// # Errors
    /// The first place's that failed.
    pub async fn deliver(&self, credentials: Option<&Credentials>) -> Result<()> {
        let mut outcome = Ok(());
        for place in self.all() {
            outcome = outcome.and(place.deliver(credentials).await);
        }
        outcome
    }

    /// Leaves word of a failure where clients may ask for it.
    pub async fn fail(&self, trouble: &Trouble) {
        for place in self.all() {
            // That one cannot be written is told when there is something to deliver.
            let _ = place.fail(trouble).await;
        }
    }

    /// Whether everything is still where it was delivered.
    pub fn are_intact(&self) -> bool {
        self.all().all(Delivery::is_intact)
    }

    /// What the command's environment must say.
    pub fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        for name in SHADOWS {
            environment.unset(name);
        }
        for (name, region) in &self.regions {
            environment.set(name, region);
        }
        for place in self.all() {
            environment.merge(place.environment());
        }
        environment
    }
}
