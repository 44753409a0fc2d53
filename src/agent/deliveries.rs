//! Configuration → the places that credentials go to, for each role.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::agent::holdings::Holdings;
use crate::agent::status::StatusBoard;
use crate::agent::survey::{Region, Survey, shadows_of_google};
use crate::config::delivery::{AwsDelivery, DeliveryConfig, GoogleDeliveryConfig};
use crate::config::option_table::FLAGS_ONLY;
use crate::config::roles::RoleConfig;
use crate::config::settings::Settings;
use crate::config::to_aws::ToAwsConfig;
use crate::config::to_google::ToGoogleConfig;
use crate::delivery::credential_cache::{self, CacheFile};
use crate::delivery::credentials_file::{CredentialsFile, Profile};
use crate::delivery::endpoint::{CredentialsEndpoint, EndpointPlan};
use crate::delivery::metadata_server::MetadataServer;
use crate::delivery::no_proxy::no_proxy;
use crate::delivery::token_file::{Own, TokenFile};
use crate::delivery::variables::Variables;
use crate::delivery::{Delivery, TokenSource, process};
use crate::error::Result;
use crate::federation::shared_cache;
use crate::model::credentials::{Credentials, RefreshFailure};
use crate::model::environment::Environment;
use crate::system::log::Severity;
use crate::system::private_file::{self, CredentialsPath, Writer};
use crate::system::world::World;

/// How long another writer of a file is waited for in one go; then the whole is tried again, as long as the command's
/// start may take.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// Under which name an agent leaves the place of its credentials file to the next.
const CREDENTIALS_FILE: &str = "credentials-file";

/// All places that one role's credentials go to.
pub struct Deliveries {
    places: Vec<Box<dyn Delivery>>,
    file: Option<CredentialsFile>,
    /// Beside which all other files stand.
    credentials_file: PathBuf,
    /// Variables that would be found first.
    shadows: Vec<&'static str>,
    /// Variables beside those of the places.
    variables: Vec<(&'static str, OsString)>,
    patience: Duration,
}

impl Deliveries {
    /// Opens every place that `config` names for the first role. What an SDK needs to know of them is then fixed.
    ///
    /// # Errors
    /// Why one of them cannot stand.
    pub fn open(
        config: &DeliveryConfig,
        region: Region,
        role_arn: Option<String>,
        world: &Rc<World>,
        settings: &Settings,
        board: &Rc<StatusBoard>,
        holdings: &Holdings,
    ) -> Result<Self> {
        let log = settings.log;
        let patience = LOCK_PATIENCE.min(settings.timeout.mul_f64(0.5));
        let warn = {
            let world = world.clone();
            move |message: &str| log.event(world.now(), Severity::Warning, message, &[])
        };
        // Where the agent before this one has written, if there was one.
        let left = holdings.handover().get(CREDENTIALS_FILE).and_then(|json| serde_json::from_value(json).ok());
        let choose = || private_file::choose(config.credentials_file.as_deref(), config.mode, world);
        let chosen = match left.map_or_else(choose, |file| Ok(CredentialsPath { file, warning: None })) {
            // Variables need no file.
            Err(_) if config.is_only_environment() => CredentialsPath { file: PathBuf::from("/"), warning: None },
            chosen => chosen?,
        };
        if let Some(warning) = chosen.warning.as_ref().filter(|_| !config.is_only_environment()) {
            warn(warning);
        }
        let Survey { shadows, variables, warnings, plan } = Survey::of(config, region, &chosen.file, patience, world);
        for warning in &warnings {
            warn(warning);
        }
        let own_name = |suffix: &str| format!("{}{}{suffix}", private_file::PREFIX, holdings.name);
        let has_own =
            config.has(AwsDelivery::Endpoint) || config.has(AwsDelivery::TokenFile) && config.token_file.is_none();
        let own_directory = has_own.then(|| private_file::beside(&chosen.file, config.mode, world)).transpose()?;
        match &own_directory {
            Some(directory) => private_file::sweep_in(directory, &holdings.name, world.now()),
            None => private_file::sweep(&chosen.file, &holdings.name, world.now()),
        }
        let mut places: Vec<Box<dyn Delivery>> = Vec::new();
        // The endpoint first: its answer is memory, a file may have to wait for a disk.
        if let Some(directory) = own_directory.clone().filter(|_| config.has(AwsDelivery::Endpoint)) {
            let (board, clock) = (board.clone(), world.clone());
            let status = Box::new(move || board.json(clock.now()));
            let plan = EndpointPlan {
                listeners: holdings.server()?,
                secret: holdings.secret.clone(),
                is_in_front: holdings.is_in_front,
                directory,
                token_file: own_name(private_file::TOKEN_SUFFIX),
                mode: config.mode,
                status,
            };
            places.push(Box::new(CredentialsEndpoint::open(world.clone(), plan)?));
        }
        if config.has(AwsDelivery::Env) {
            places.push(Box::new(Variables::default()));
        }
        if config.has(AwsDelivery::TokenFile) {
            let own = || own_directory.map(|own| own.path.join(own_name(private_file::WEB_IDENTITY_SUFFIX)));
            places.push(Box::new(TokenFile {
                path: config.token_file.clone().or_else(own).unwrap_or_default(),
                own: config.token_file.is_none().then(Own::default),
                mode: config.mode,
                patience,
                variable: "AWS_WEB_IDENTITY_TOKEN_FILE",
                writer: Writer::default(),
                role: RefCell::new((role_arn, None)),
            }));
        }
        let file = Some(CredentialsFile::new(plan, warn));
        board.set_directory(&chosen.file);
        if let Ok(json) = serde_json::to_value(&chosen.file) {
            holdings.handover().note(CREDENTIALS_FILE, json);
        }
        Ok(Self { places, file, credentials_file: chosen.file, shadows, variables, patience })
    }

    /// Opens every place for Google's tokens, which `tokens` keeps.
    ///
    /// # Errors
    /// Why one of them cannot stand.
    pub fn for_google(
        config: &ToGoogleConfig,
        tokens: Rc<dyn TokenSource>,
        world: &Rc<World>,
        settings: &Settings,
        board: &StatusBoard,
        holdings: &Holdings,
    ) -> Result<Self> {
        let GoogleDeliveryConfig { metadata_port, access_token_file, mode, .. } = &config.delivery;
        let patience = LOCK_PATIENCE.min(settings.timeout.mul_f64(0.5));
        let directory = private_file::cache_directory(world);
        let mut places: Vec<Box<dyn Delivery>> = Vec::new();
        let mut variables = Vec::new();
        let about = metadata_port.map(|_| config.about(world));
        let (shadows, warnings) = shadows_of_google(config, world);
        for warning in warnings {
            settings.log.event(world.now(), Severity::Warning, &warning, &[]);
        }
        if let Some(about) = about {
            let guests = config.delivery.guests(world.user, holdings.is_in_front);
            let server = MetadataServer::open(holdings.server()?, about, guests, tokens, world.clone())?;
            board.serve(server.address(), shared_cache::file_name(&config.exchange.request()));
            places.push(Box::new(server));
            variables = no_proxy(world);
        }
        if let Some(named) = access_token_file {
            let writable = || directory.clone().map_err(|error| error.advice("name a writable --access-token-file"));
            let suffix = private_file::ACCESS_TOKEN_SUFFIX;
            let own = || Ok(writable()?.join(format!("{}{}{suffix}", private_file::PREFIX, holdings.name)));
            places.push(Box::new(TokenFile {
                path: named.clone().map_or_else(own, Ok)?,
                own: named.is_none().then(Own::default),
                mode: *mode,
                patience,
                variable: "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
                writer: Writer::default(),
                role: RefCell::default(),
            }));
        }
        if let Ok(directory) = &directory {
            private_file::sweep(&directory.join("any"), &holdings.name, world.now());
            credential_cache::sweep(directory, &[], world.now(), false);
        }
        // Only the state stands there, and without a directory there is none.
        let neighbour = directory.map_or_else(|_| PathBuf::from("/"), |directory| directory.join("google"));
        board.set_directory(&neighbour);
        Ok(Self { places, file: None, credentials_file: neighbour, shadows, variables, patience })
    }

    /// Adds what needs to know the roles: caches, and the profiles that are answered from them. Returns the places of
    /// each further role.
    ///
    /// # Errors
    /// What cannot be written into a profile.
    pub fn add_roles(&mut self, config: &ToAwsConfig, world: &Rc<World>) -> Result<Vec<Self>> {
        let mut further = Vec::new();
        let mut profiles = Vec::new();
        let mut caches = Vec::new();
        let mut add = |role: &RoleConfig, name: &str| -> Result<Box<dyn Delivery>> {
            let cache = shared_cache::of_role(config, role, |name| {
                Ok(self.credentials_file.with_file_name(format!("{}{name}", private_file::PREFIX)))
            })?;
            // What the client's own environment says of fedboot's options is for another fedboot.
            let own = [(FLAGS_ONLY, String::new())];
            let place = [("cache-file", cache.path().display().to_string())];
            let line = process::command_line(own.into_iter().chain(config.flags(role)?).chain(place))?;
            let set = vec![("credential_process", line), ("region", config.region())];
            profiles.push(Profile { name: name.into(), set });
            caches.push(cache.path().to_owned());
            let clock = world.clone();
            Ok(Box::new(CacheFile::new(cache, self.patience, move || clock.now())))
        };
        let Some((first, others)) = config.roles.split_first() else { return Ok(further) };
        let mut own = None;
        if let (true, Some(name)) = (config.delivery.has(AwsDelivery::Process), &config.delivery.profile) {
            own = Some(add(first, name)?);
        }
        for role in others {
            further.push(Self {
                places: vec![add(role, role.profile.as_deref().unwrap_or_default())?],
                file: None,
                credentials_file: self.credentials_file.clone(),
                shadows: Vec::new(),
                variables: Vec::new(),
                patience: self.patience,
            });
        }
        self.places.extend(own);
        if let Some(directory) = self.credentials_file.parent() {
            credential_cache::sweep(directory, &caches, world.now(), true);
        }
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

    /// Whether something had to give way that is to be put back.
    pub fn has_aside(&self) -> bool {
        self.file.as_ref().is_some_and(CredentialsFile::has_aside)
    }

    /// Puts back what had to give way in the places that outlast the command.
    pub async fn put_back(&self) {
        if let Some(file) = &self.file {
            file.put_back().await;
        }
    }

    /// Leaves word of a failure where clients may ask for it.
    pub async fn fail(&self, failure: &RefreshFailure) {
        for place in self.all() {
            // That one cannot be written is told when there is something to deliver.
            let _ = place.fail(failure).await;
        }
    }

    /// Whether everything is still where it was delivered.
    pub async fn are_intact(&self) -> bool {
        for place in self.all() {
            if !place.is_intact().await {
                return false;
            }
        }
        true
    }

    /// What the command's environment must say.
    pub fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        for name in &self.shadows {
            environment.unset(name);
        }
        for (name, value) in &self.variables {
            environment.set(name, value);
        }
        for place in self.all() {
            environment.merge(place.environment());
        }
        environment
    }
}
