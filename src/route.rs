//! Config → identity, exchange, deliveries. The one file that names both clouds.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cli::Options;
use crate::config::{self, Config, DeliveryChoice, Settings, Source, StsChoice};
use crate::delivery::{endpoint::CredentialsEndpoint, file::CredentialsFile, place};
use crate::error::{Error, Kind, Result};
use crate::exchange::{sts::AssumeRoleWithWebIdentity, sts_hosts};
use crate::flow::{Claims, Credentials, Delivery, Environment, Exchange, Fact, Identity, Proof};
use crate::http::{Endpoint, Http};
use crate::identity::{impersonation::Impersonation, metadata::MetadataServer, token_file::TokenFile};
use crate::log::{Log, Severity};
use crate::retry;
use crate::template::{Template, placeholder};
use crate::world::World;

/// How long metadata attributes are asked for when no role is named: long enough for a pod's metadata server to come
/// up, short enough for somebody on a laptop who forgot the role.
const ATTRIBUTE_PATIENCE: Duration = Duration::from_secs(5);

/// How long another writer of the credentials file is waited for: it may be stopped, and the command waits for us.
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
];

/// Google → AWS: who to be, what to ask for.
pub struct Route {
    world: Rc<World>,
    identity: Box<dyn Identity>,
    exchange: AssumeRoleWithWebIdentity,
    role_arn: Template,
    role_session_name: Template,
    /// A proof that was not the reason why the last try failed.
    proof: RefCell<Option<Proof>>,
    /// The templates filled in: they are once for all.
    names: RefCell<Option<Names>>,
}

#[derive(Clone)]
struct Names {
    role_arn: String,
    role_session_name: String,
}

/// All places that credentials go to.
pub struct Deliveries {
    places: Vec<Box<dyn Delivery>>,
    region: Option<String>,
}

/// Config from flags, variables and, only where they name no role, metadata attributes.
///
/// # Errors
/// What is wrong with an option, or that no role is named.
pub async fn configure(options: &Options, world: &World, deadline: Option<Instant>) -> Result<Config> {
    if config::names_a_role(options, world) {
        return Config::resolve(options, world, &HashMap::new());
    }
    let server = MetadataServer::new(config::metadata_endpoint(options, world)?, String::new());
    let give_up = world.monotonic() + ATTRIBUTE_PATIENCE;
    let give_up = deadline.map_or(give_up, |deadline| deadline.min(give_up));
    let http = Http::new(world).with_deadline(Some(give_up));
    let mut failures = 0;
    loop {
        match attributes(&server, &http).await {
            Ok(attributes) => return Config::resolve(options, world, &attributes),
            Err(error) if error.is_retryable() && world.monotonic() + retry::LAST_TRY < give_up => {
                failures += 1;
                let left = give_up.duration_since(world.monotonic());
                world.sleep(retry::BOOT.delay(failures, world.random()).min(left / 2)).await;
            }
            // Without attributes the role is still missing: say that, and that they were asked.
            Err(asked) => {
                let kind = asked.kind;
                return Config::resolve(options, world, &HashMap::new()).map_err(|error| Error {
                    kind,
                    problem: format!("{} ({asked})", error.problem),
                    ..error
                });
            }
        }
    }
}

/// The project's attributes, and over them the instance's.
async fn attributes(server: &MetadataServer, http: &Http) -> Result<HashMap<String, String>> {
    let instance = server.attributes(http, "instance").await?;
    let mut all = server.attributes(http, "project").await?;
    all.extend(instance);
    Ok(all
        .into_iter()
        .filter_map(|(name, value)| match value {
            serde_json::Value::String(text) => Some((name, text)),
            _ => None,
        })
        .collect())
}

impl Route {
    /// The route that `config` means.
    ///
    /// # Errors
    /// A usage error where the STS host cannot be formed.
    pub fn new(config: &Config, world: Rc<World>, log: &Log) -> Result<Self> {
        let metadata = || MetadataServer::new(config.metadata.clone(), config.audience.clone());
        let identity: Box<dyn Identity> = match &config.source {
            Source::Metadata => Box::new(metadata()),
            Source::TokenFile(path) => Box::new(TokenFile::new(path.clone())),
            Source::Impersonate(endpoint, email) => {
                Box::new(Impersonation::new(metadata(), endpoint.clone(), email.clone(), config.audience.clone()))
            }
        };
        let arn = config.role_arn.expand(placeholder);
        let endpoint = match &config.sts {
            StsChoice::Endpoint(endpoint) => endpoint.clone(),
            StsChoice::Regional { fips, dual_stack } => {
                let region = region(config);
                if let Some(other) = sts_hosts::other_partition(&arn, &region) {
                    let message =
                        format!("the region {region} is in the partition {other}, {arn} is not: AWS will refuse");
                    log.event(world.now(), Severity::Warning, &message, &[]);
                }
                Endpoint::parse(&sts_hosts::regional_url(&region, *fips, *dual_stack)?, false)?
            }
        };
        Ok(Self {
            identity,
            exchange: AssumeRoleWithWebIdentity::new(world.clone(), endpoint, config.duration),
            role_arn: config.role_arn.clone(),
            role_session_name: config.role_session_name.clone(),
            world,
            proof: RefCell::default(),
            names: RefCell::default(),
        })
    }

    /// One try, which asks nothing any more after `deadline`. A proof that is refused is worth a second one at once:
    /// the first may have grown old on its way, or the issuer's keys may have just changed.
    ///
    /// # Errors
    /// What the first failing step says.
    pub async fn issue(&self, deadline: Option<Instant>) -> Result<Credentials> {
        let http = Http::new(&self.world).with_deadline(deadline);
        match self.exchange_proof(&http, self.proof.take()).await {
            Err(error) if error.kind == Kind::RefusedProof => {
                self.world.sleep(retry::BOOT.delay(1, self.world.random())).await;
                let again = self.exchange_proof(&http, None).await;
                again.map_err(|error| match error.kind {
                    Kind::RefusedProof => Error { kind: Kind::Fatal, ..error },
                    _ => error,
                })
            }
            other => other,
        }
    }

    /// Exchanges `proof`, or a new one. The connection for it is opened while the new one is on its way.
    async fn exchange_proof(&self, http: &Http, proof: Option<Proof>) -> Result<Credentials> {
        let proof = async {
            match proof {
                Some(proof) => Ok(proof),
                None => self.identity.prove(http).await,
            }
        };
        // The request for the proof goes first: it takes longer than to say hello.
        let connection = async { Ok(self.exchange.prepare(http).await) };
        let (proof, connection) = tokio::try_join!(biased; proof, connection)?;
        let known = self.names.borrow().clone();
        let names = match known {
            Some(names) => names,
            None => self.fill_in(http, &proof.claims).await?,
        };
        let issued = self.exchange.exchange(http, connection, &proof, &names.role_arn, &names.role_session_name).await;
        self.names.replace(Some(names));
        if issued.as_ref().is_err_and(Error::is_retryable) {
            self.proof.replace(Some(proof));
        }
        issued
    }

    async fn fill_in(&self, http: &Http, claims: &Claims) -> Result<Names> {
        let mut values = Vec::new();
        for fact in self.role_arn.facts().chain(self.role_session_name.facts()) {
            let value = match self.known(fact, claims) {
                Some(value) => Some(value),
                None => self.identity.fact(http, fact).await?.map(|value| match fact {
                    Fact::ServiceAccount => local_part(&value),
                    _ => value,
                }),
            };
            let value = value.filter(|value| !value.is_empty()).ok_or_else(|| {
                Error::usage(format!(
                    "the placeholder {} of --role-arn or --role-session-name has no value here",
                    placeholder(fact)
                ))
                .advice("name another one, or set what it stands for")
            })?;
            values.push((fact.clone(), value));
        }
        let expand = |template: &Template| {
            template.expand(|fact| {
                values.iter().find(|(known, _)| known == fact).map(|(_, value)| value.clone()).unwrap_or_default()
            })
        };
        let role_arn = expand(&self.role_arn);
        sts_hosts::check_role_arn(&role_arn)?;
        Ok(Names { role_arn, role_session_name: clean_session_name(&expand(&self.role_session_name)) })
    }

    /// What is known without asking.
    fn known(&self, fact: &Fact, claims: &Claims) -> Option<String> {
        match fact {
            Fact::Hostname => Some(self.world.hostname.clone()),
            Fact::ServiceAccountEmail => claims.email.clone(),
            Fact::ServiceAccount => claims.email.as_deref().map(local_part),
            Fact::Project => claims.google.compute_engine.project_id.clone(),
            Fact::InstanceName => claims.google.compute_engine.instance_name.clone(),
            Fact::Attribute(_) => None,
        }
    }
}

impl Deliveries {
    /// Opens every place that `choice` names. What an SDK needs to know of them is then fixed.
    ///
    /// # Errors
    /// Why one of them cannot stand.
    pub fn open(choice: &DeliveryChoice, region: String, world: &Rc<World>, settings: &Settings) -> Result<Self> {
        let log = settings.log;
        let patience = LOCK_PATIENCE.min(settings.timeout);

        let chosen = place::choose(choice.credentials_file.as_deref(), world)?;
        let warn = {
            let world = world.clone();
            move |message: &str| log.event(world.now(), Severity::Warning, message, &[])
        };
        if let Some(warning) = &chosen.warning {
            warn(warning);
        }
        let mut places: Vec<Box<dyn Delivery>> = Vec::new();
        // The endpoint first: its answer is memory, the file may have to wait for a disk.
        if choice.endpoint {
            places.push(Box::new(CredentialsEndpoint::open(world.clone(), &chosen.file)?));
        }
        if choice.file {
            let profile_region = choice.endpoint.then(|| region.clone());
            places.push(Box::new(CredentialsFile::new(chosen.file, profile_region, patience, warn)));
        }
        let has_region = world.variable("AWS_REGION").is_some();
        Ok(Self { places, region: (!has_region).then_some(region) })
    }

    /// Delivers everywhere, one failing place not keeping the others from it.
    ///
    /// # Errors
    /// The first place's that failed.
    pub async fn deliver(&self, credentials: Option<&Credentials>) -> Result<()> {
        let mut outcome = Ok(());
        for place in &self.places {
            outcome = outcome.and(place.deliver(credentials).await);
        }
        outcome
    }

    /// What the command's environment must say.
    pub fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        for name in SHADOWS {
            environment.unset(name);
        }
        if let Some(region) = &self.region {
            environment.set("AWS_REGION", region);
        }
        for place in &self.places {
            environment.merge(place.environment());
        }
        // With no profile of ours, one of the caller's would be looked at first.
        if !environment.set.iter().any(|(name, _)| name == "AWS_PROFILE") {
            environment.unset("AWS_PROFILE");
        }
        environment
    }
}

/// The region of the STS that is asked, and of the clients' profile.
pub fn region(config: &Config) -> String {
    config.region.clone().unwrap_or_else(|| sts_hosts::default_region(&config.role_arn.expand(placeholder)).into())
}

fn local_part(email: &str) -> String {
    email.split('@').next().unwrap_or_default().to_owned()
}

/// A session name as STS takes it: two to 64 of letters, digits and `_+=,.@-`.
fn clean_session_name(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    let mut clean: String = name.chars().map(|c| if allowed(c) { c } else { '-' }).take(64).collect();
    while clean.len() < 2 {
        clean.push('-');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_names() {
        for (name, clean) in [
            ("worker-1.eu", "worker-1.eu"),
            ("a b/ü", "a-b--"),
            ("", "--"),
            ("x", "x-"),
            (&"n".repeat(70), &"n".repeat(64)),
        ] {
            assert_eq!(clean_session_name(name), clean);
        }
    }
}
