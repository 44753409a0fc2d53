//! Google → AWS: identity and exchange put together, for one role.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::delivery::AwsDelivery;
use crate::config::external_account;
use crate::config::options::Options;
use crate::config::roles::RoleConfig;
use crate::config::sts::StsConfig;
use crate::config::template::{Template, placeholder};
use crate::config::to_aws::{self, Source, ToAwsConfig};
use crate::error::{Error, Kind, Result};
use crate::exchange::sts::assume_role::{self, AssumeRole};
use crate::exchange::sts::client::Sts;
use crate::exchange::sts::web_identity::AssumeRoleWithWebIdentity;
use crate::federation::CredentialsIssuer;
use crate::identity::Identity;
use crate::identity::google::impersonation::Impersonation;
use crate::identity::google::metadata::MetadataClient;
use crate::identity::google::token_file::TokenFileIdentity;
use crate::model::credentials::{Content, Credentials, Principal};
use crate::model::fact::Fact;
use crate::model::proof::{Claims, Proof};
use crate::model::request::SessionRequest;
use crate::model::{BoxFuture, partition, role};
use crate::system::http::{Endpoint, Http};
use crate::system::iam_credentials::IamCredentials;
use crate::system::log::{Log, Severity};
use crate::system::shown;
use crate::system::world::{self, World};
use crate::timing::retry;

/// How long metadata attributes are asked for when no role is named: long enough for a pod's metadata server to come
/// up, short enough for somebody on a laptop who forgot the role.
const ATTRIBUTE_PATIENCE: Duration = Duration::from_secs(5);

/// A session that is only good for assuming the next role need not live longer, and AWS lets none live shorter.
const FIRST_OF_CHAIN: Duration = Duration::from_secs(900);

/// The way to one role: who to be, what to ask for.
pub struct GoogleToAws {
    world: Rc<World>,
    identity: Box<dyn Identity>,
    exchange: AssumeRoleWithWebIdentity,
    /// The second role's exchange and ARN.
    second_role: Option<(AssumeRole, Template)>,
    /// Clients exchange the token themselves.
    token_only: bool,
    role_arn: Template,
    role_session_name: Template,
    duration: Duration,
    /// A proof that was not the reason why the last try failed.
    proof: RefCell<Option<Proof>>,
    /// The templates filled in: they are once for all.
    names: RefCell<Option<Names>>,
    /// Whether STS has let the proof assume the role, where only clients do so later.
    accepted: Cell<bool>,
}

#[derive(Clone)]
struct Names {
    role_arn: String,
    then_role_arn: Option<String>,
    role_session_name: String,
}

/// Metadata attributes, once they are read.
pub type Attributes = RefCell<Option<HashMap<String, String>>>;

/// The configuration from flags, variables and, only where they name no role, metadata attributes: those that are `known`, which
/// holds them afterwards.
///
/// # Errors
/// What is wrong with an option, or that neither direction is named.
pub async fn configure(
    options: &Options,
    world: &World,
    deadline: Option<Instant>,
    known: &Attributes,
) -> Result<ToAwsConfig> {
    configure_by_attributes(options, world, deadline, known).await.map_err(|error| {
        // Without a role, the way to Google may have been meant.
        let file = options.value(world, "external-account").filter(|_| !to_aws::names_a_role(options, world));
        file.and_then(|file| external_account::read(&file.file(world)).err()).unwrap_or(error)
    })
}

async fn configure_by_attributes(
    options: &Options,
    world: &World,
    deadline: Option<Instant>,
    known: &Attributes,
) -> Result<ToAwsConfig> {
    if to_aws::names_a_role(options, world) {
        return ToAwsConfig::resolve(options, world, &HashMap::new());
    }
    if let Some(attributes) = &*known.borrow() {
        return ToAwsConfig::resolve(options, world, attributes);
    }
    let server = MetadataClient::new(to_aws::metadata_endpoint(options, world)?, String::new());
    let give_up = world.deadline(ATTRIBUTE_PATIENCE);
    let give_up = deadline.map_or(give_up, |deadline| deadline.min(give_up));
    let http = Http::new(world).with_deadline(Some(give_up));
    let mut failures = 0_u32;
    loop {
        match attributes(&server, &http).await {
            Ok(attributes) => {
                let config = ToAwsConfig::resolve(options, world, &attributes);
                known.replace(Some(attributes));
                return config;
            }
            Err(error) if error.is_retryable() && world.deadline(retry::LAST_TRY) < give_up => {
                failures = failures.saturating_add(1);
                let left = give_up.duration_since(world.monotonic());
                world.sleep(retry::BOOT.delay(failures, world.random()).min(left.mul_f64(0.5))).await;
            }
            // Without attributes the role is still missing: say that, and that they were asked.
            Err(asked) => {
                let kind = asked.kind;
                return ToAwsConfig::resolve(options, world, &HashMap::new()).map_err(|error| Error {
                    kind,
                    answer: asked.cause(),
                    address: asked.address.clone(),
                    ..error
                });
            }
        }
    }
}

/// Whoever has tokens for `audience` from this source.
pub fn identity(source: &Source, metadata: &Endpoint, audience: &str) -> Box<dyn Identity> {
    let metadata = || MetadataClient::new(metadata.clone(), audience.into());
    match source {
        Source::Metadata => Box::new(metadata()),
        Source::TokenFile(file) => Box::new(TokenFileIdentity::new(file.clone())),
        Source::Impersonate(endpoint, email) => {
            let account = IamCredentials::new(endpoint.clone(), email.clone());
            Box::new(Impersonation::new(metadata(), account, audience.into()))
        }
    }
}

/// The project's attributes, and over them the instance's.
///
/// # Errors
/// What came back instead.
pub async fn attributes(server: &MetadataClient, http: &Http) -> Result<HashMap<String, String>> {
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

impl GoogleToAws {
    /// The way to the role `role_config` of `config`.
    ///
    /// # Errors
    /// A usage error where the STS host cannot be formed.
    pub fn new(config: &ToAwsConfig, role_config: &RoleConfig, world: Rc<World>, log: &Log) -> Result<Self> {
        let identity = identity(&config.source, &config.metadata, &config.audience);
        let warn = |message: &str| log.event(world.now(), Severity::Warning, message, &[]);
        let (arn, region) = (role_config.role_arn.expand(placeholder), config.region());
        if let (StsConfig::Regional { .. }, Some(other)) = (&config.sts, partition::other_partition(&arn, &region)) {
            warn(&format!("the region {region} is in the partition {other}, {arn} is not: AWS will refuse"));
        }
        if let (StsConfig::Regional { .. }, Some(doubt)) = (&config.sts, partition::doubt(&region)) {
            warn(&doubt);
        }
        let sts = Sts::new(world.clone(), config.sts_endpoint()?);
        let mut duration = config.duration;
        let mut limits = config.limits.clone();
        let second_role = role_config.then_role_arn.clone().map(|arn| {
            if duration > assume_role::LONGEST {
                duration = assume_role::LONGEST;
                warn("AWS lets the session of a second role last an hour at most: --duration is cut to that");
            }
            let limits = std::mem::take(&mut limits);
            (AssumeRole::new(sts.clone(), region, limits, config.terms.clone()), arn)
        });
        Ok(Self {
            identity,
            exchange: AssumeRoleWithWebIdentity::new(sts, limits),
            second_role,
            token_only: config.delivery.has(AwsDelivery::TokenFile),
            role_arn: role_config.role_arn.clone(),
            role_session_name: config.role_session_name.clone(),
            duration,
            world,
            proof: RefCell::default(),
            names: RefCell::default(),
            accepted: Cell::default(),
        })
    }

    /// What a new proof says of this workload. It is kept for the exchange.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn prove(&self, http: &Http) -> Result<Claims> {
        let proof = self.identity.prove(http).await?;
        let claims = proof.claims.clone();
        self.proof.replace(Some(proof));
        Ok(claims)
    }

    /// A proof that is refused is worth a second one at once: the first may have grown old on its way, or the issuer's
    /// keys may have just changed.
    async fn try_once(&self, deadline: Option<Instant>) -> Result<Credentials> {
        let http = Http::new(&self.world).with_deadline(deadline);
        match self.exchange_proof(&http, self.proof.take()).await {
            Err(error) if error.kind == Kind::RefusedProof => {
                self.world.sleep(retry::BOOT.delay(1, self.world.random())).await;
                self.exchange_proof(&http, None).await.map_err(Error::into_fatal)
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
        let connection = async { Ok(self.exchange.connect(http).await) };
        let (proof, connection) = tokio::try_join!(biased; proof, connection)?;
        let known = self.names.borrow().clone();
        let names = match known {
            Some(names) => names,
            None => self.fill_in(http, &proof.claims).await?,
        };
        let mut session = SessionRequest {
            role_arn: names.role_arn.clone(),
            role_session_name: names.role_session_name.clone(),
            duration: if self.second_role.is_some() { self.duration.min(FIRST_OF_CHAIN) } else { self.duration },
        };
        // Before the command runs, the exchange that clients will do is tried once: a role that refuses is named now.
        let issued = if self.accepted.get() {
            Ok(self.token(&proof, session))
        } else {
            match self.exchange.exchange(http, connection, &proof, &session).await {
                Ok(_) if self.token_only => {
                    self.accepted.set(true);
                    Ok(self.token(&proof, session))
                }
                Ok(first) => {
                    session.duration = self.duration;
                    self.assume_second_role(http, first, &names, session).await
                }
                refused => refused,
            }
        };
        self.names.replace(Some(names));
        let identity = self.who(&proof.claims);
        let issued = match issued {
            Ok(credentials) => Ok(Credentials { identity, ..credentials }),
            Err(error) => Err(error.acting_as(&identity)),
        };
        if issued.as_ref().is_err_and(Error::is_retryable) {
            self.proof.replace(Some(proof));
        }
        issued
    }

    /// Whose token it is, and where that was found.
    fn who(&self, claims: &Claims) -> String {
        let name = claims.email.as_deref().unwrap_or(&claims.sub);
        format!("{} (by {})", shown::name(name), self.identity.source())
    }

    fn token(&self, proof: &Proof, session: SessionRequest) -> Credentials {
        // A token that says nothing of its end is as good as a session.
        let token_end = world::time_at(proof.claims.exp).filter(|_| proof.claims.exp > 0);
        let expiration = token_end.unwrap_or_else(|| world::later(self.world.now(), session.duration));
        Credentials {
            content: Content::WebIdentityToken(proof.token.clone()),
            expiration,
            principal: Principal::Role { arn: session.role_arn, session_name: session.role_session_name },
            identity: String::new(),
        }
    }

    /// Assumes the second role with the `first` one's credentials, where there is one.
    async fn assume_second_role(
        &self,
        http: &Http,
        first: Credentials,
        names: &Names,
        mut session: SessionRequest,
    ) -> Result<Credentials> {
        let (Some((exchange, _)), Some(arn), Some(keys)) = (&self.second_role, &names.then_role_arn, first.keys())
        else {
            return Ok(first);
        };
        session.role_arn.clone_from(arn);
        exchange.exchange(http, &names.role_arn, &keys.into(), &session, self.world.now()).await
    }

    async fn fill_in(&self, http: &Http, claims: &Claims) -> Result<Names> {
        let mut values = Vec::new();
        let then = self.second_role.as_ref().map(|(_, arn)| arn);
        for fact in [&self.role_arn, &self.role_session_name].into_iter().chain(then).flat_map(Template::facts) {
            let value = match self.known(fact, claims) {
                Some(value) => Some(value),
                None => self.identity.fact(http, fact).await?.map(|value| match fact {
                    Fact::ServiceAccount => local_part(&value),
                    _ => value,
                }),
            };
            let value = value.filter(|value| !value.is_empty()).ok_or_else(|| {
                Error::usage(format!(
                    "the placeholder {} of a role ARN or of --role-session-name has no value here",
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
        role::check_role_arn("what --role-arn stands for here", &role_arn)?;
        let then_role_arn = then.map(expand);
        if let Some(arn) = &then_role_arn {
            role::check_role_arn("what --then-role-arn stands for here", arn)?;
        }
        let role_session_name = role::clean_session_name(&expand(&self.role_session_name));
        Ok(Names { role_arn, then_role_arn, role_session_name })
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

impl CredentialsIssuer for GoogleToAws {
    fn issue(&self, deadline: Option<Instant>) -> BoxFuture<'_, Result<Credentials>> {
        Box::pin(self.try_once(deadline))
    }
}

fn local_part(email: &str) -> String {
    email.split('@').next().unwrap_or_default().to_owned()
}
