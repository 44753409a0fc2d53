//! Who signs on AWS, on the way to Google: the identity that was found, and the roles that are assumed from there.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use aws_credential_types::Credentials as AwsKeys;

use crate::config::aws_identity::AwsIdentityConfig;
use crate::config::sts::StsConfig;
use crate::error::{Error, Kind, Result, reasons};
use crate::exchange::sts::assume_role::{AssumeRole, AssumeRoleTerms};
use crate::exchange::sts::client::{SessionPolicies, Sts};
use crate::exchange::sts::hosts;
use crate::exchange::sts::web_identity::AssumeRoleWithWebIdentity;
use crate::identity::aws::{AwsWorkload, Settings, Source};
use crate::model::aws_identity::AwsBaseIdentity;
use crate::model::credentials::Credentials;
use crate::model::partition;
use crate::model::request::SessionRequest;
use crate::system::http::{Endpoint, Http};
use crate::system::log::{Log, Severity};
use crate::system::world::World;

/// Sessions of roles on the way are used once, at once; AWS lets none be shorter.
const ON_THE_WAY: Duration = Duration::from_secs(900);
/// Where AWS's STS is asked from a place whose region nobody knows: it knows all ordinary keys.
const ANY_REGION: &str = "us-east-1";

/// Whoever signs.
pub struct AwsSigner {
    world: Rc<World>,
    log: Log,
    choice: AwsIdentityConfig,
    workload: AwsWorkload,
    /// The region in which AWS's STS is asked.
    region: OnceCell<String>,
    /// What the profile says of the way.
    profile: RefCell<Settings>,
    /// Whether it was said that the node's role is in use.
    warned: Cell<bool>,
    /// Where the identity was found last.
    source: Cell<&'static str>,
    /// Who it was, and where it was found.
    identity: RefCell<String>,
}

impl AwsSigner {
    /// The one that `choice` means.
    pub fn new(choice: AwsIdentityConfig, world: Rc<World>, log: Log) -> Self {
        let AwsIdentityConfig { only, profile, imdsv1, .. } = &choice;
        Self {
            workload: AwsWorkload { world: world.clone(), only: *only, profile: profile.clone(), imdsv1: *imdsv1 },
            choice,
            world,
            log,
            region: OnceCell::new(),
            profile: RefCell::default(),
            warned: Cell::default(),
            source: Cell::default(),
            identity: RefCell::default(),
        }
    }

    /// Keys that sign for whom this workload wants to be on AWS, and the region where it asks.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn keys(&self, http: &Http) -> Result<(AwsKeys, String)> {
        self.profile.replace(self.workload.settings().await);
        let imds = self.choice.imds(&self.profile.borrow())?;
        let (identity, region) = tokio::join!(self.workload.identify(http, &imds), self.region(http, &imds));
        let identity = identity?;
        self.source.set(identity.source);
        self.identity.replace(named(identity.name.as_deref(), identity.source));
        if self.acts_as_node() && !self.warned.replace(true) {
            let message = "this container has no role of its own and acts as its node";
            let warning = Error::new(Kind::Fatal, "", "", message).reason(&reasons::NODE_ROLE).advice(OWN_ROLE);
            self.log.error(self.world.now(), Severity::Warning, &warning.acting_as(&self.identity()), &[]);
        }
        let AwsIdentityConfig { role_arn, session_name, terms, .. } = &self.choice;
        let session = |arn: &str, name: Option<&String>| SessionRequest {
            role_arn: arn.into(),
            role_session_name: name.unwrap_or(session_name).clone(),
            duration: ON_THE_WAY,
        };
        let mut caller = format!("the identity of {}", identity.source);
        let mut keys = match identity.start {
            AwsBaseIdentity::Keys(keys) => keys,
            AwsBaseIdentity::WebIdentity(proof, role) => {
                let exchange =
                    AssumeRoleWithWebIdentity::new(self.sts_for_roles(&region)?.0, SessionPolicies::default());
                let connection = exchange.connect(http).await;
                let session = session(&role.arn, role.session_name.as_ref());
                let issued = exchange.exchange(http, connection, &proof, &session).await?;
                caller.clone_from(&role.arn);
                self.identity.replace(named(Some(&caller), identity.source));
                session_keys(&issued)?
            }
        };
        let first = role_arn.iter().map(|arn| (session(arn, None), terms.clone()));
        let in_profile = identity.roles.iter().map(|role| {
            let terms = AssumeRoleTerms { external_id: role.external_id.clone(), ..AssumeRoleTerms::default() };
            (session(&role.arn, role.session_name.as_ref()), terms)
        });
        for (session, terms) in in_profile.chain(first) {
            let (sts, signs) = self.sts_for_roles(&region)?;
            let exchange = AssumeRole::new(sts, signs, SessionPolicies::default(), terms);
            let issued = exchange.exchange(http, &caller, &keys, &session, self.world.now()).await?;
            caller = session.role_arn;
            self.identity.replace(named(Some(&caller), identity.source));
            keys = session_keys(&issued)?;
        }
        Ok((keys, region))
    }

    /// Who signs, and where that identity was found; empty before it was looked for.
    pub fn identity(&self) -> String {
        self.identity.borrow().clone()
    }

    /// Whether it is the machine's own role that a task or pod found, for want of one of its own, and nobody said that it is
    /// meant. (kube2iam and kiam answer in the machine's place with the pod's own.)
    fn acts_as_node(&self) -> bool {
        self.source.get() == Source::Imds.name() && self.is_container() && self.choice.only != Some(Source::Imds)
    }

    /// Where the identity was found last, and whether it is that of the machine below a container.
    pub fn source(&self) -> (&'static str, bool) {
        (self.source.get(), self.acts_as_node())
    }

    /// AWS's STS as it would be asked, before anybody knows who asks.
    ///
    /// # Errors
    /// A usage error in the profile, or where its host cannot be formed.
    pub async fn sts_endpoint(&self, http: &Http) -> Result<Endpoint> {
        self.profile.replace(self.workload.settings().await);
        let imds = self.choice.imds(&self.profile.borrow())?;
        let region = self.region(http, &imds).await;
        let choice = self.choice.sts(&self.profile.borrow())?;
        choice.in_region(&region)
    }

    /// Whether others act with the role of this one's machine.
    fn is_container(&self) -> bool {
        ["ECS_CONTAINER_METADATA_URI_V4", "ECS_CONTAINER_METADATA_URI", "KUBERNETES_SERVICE_HOST"]
            .iter()
            .any(|name| self.world.variable(name).is_some())
    }

    /// AWS's STS in `region`.
    ///
    /// # Errors
    /// A usage error where its host cannot be formed.
    pub fn sts(&self, region: &str) -> Result<Sts> {
        let choice = self.choice.sts(&self.profile.borrow())?;
        Ok(Sts::new(self.world.clone(), choice.in_region(region)?))
    }

    /// The same for roles, and the region that signs there: the STS for all regions gives none of its own tokens.
    fn sts_for_roles(&self, region: &str) -> Result<(Sts, String)> {
        let profile = self.profile.borrow();
        let is_plain = self.choice.sts(&profile)? == StsConfig::Regional { fips: false, dual_stack: false };
        if is_plain && hosts::has_global(region) && self.choice.prefers_global_sts(&profile)? {
            let endpoint = Endpoint::parse(hosts::GLOBAL, false)?;
            return Ok((Sts::new(self.world.clone(), endpoint), ANY_REGION.into()));
        }
        Ok((self.sts(region)?, region.into()))
    }

    /// The URL of `query` at the STS that was named; none where it is the region's.
    pub fn named_sts(&self, query: &str) -> Option<String> {
        match self.choice.sts(&self.profile.borrow()).ok()? {
            StsConfig::Endpoint(endpoint) => Some(endpoint.url(&format!("/{query}"))),
            StsConfig::Regional { .. } => None,
        }
    }

    async fn region(&self, http: &Http, imds: &Endpoint) -> String {
        if let Some(known) = self.region.get() {
            return known.clone();
        }
        let in_profile = || self.profile.borrow().region().map(|name| partition::region_of(name).0.to_owned());
        let found = match self.choice.region.clone().or_else(in_profile) {
            Some(region) => Some(region),
            None => self.workload.instance_region(http, imds).await,
        };
        match found {
            Some(region) => self.region.get_or_init(|| region).clone(),
            // It may be known the next time.
            None => ANY_REGION.into(),
        }
    }

    /// Adds to an error who asked; and where that is what is wrong, says so: keys that somebody copied have ended, or a task or
    /// pod has no role of its own.
    pub fn explain(&self, error: Error) -> Error {
        let error = error.acting_as(&self.identity());
        let refuses_who = [
            &reasons::ATTRIBUTE_CONDITION,
            &reasons::OTHER_ACCOUNT,
            &reasons::NOT_IMPERSONATABLE,
            &reasons::ROLE_REFUSES_TOKEN,
            &reasons::SECOND_ROLE,
            &reasons::TOKEN_REFUSED,
        ];
        if self.acts_as_node() && refuses_who.iter().any(|reason| error.is(reason)) {
            return Error { paste: None, ..error }.reason(&reasons::NODE_ROLE).advice(OWN_ROLE);
        }
        let whose = match self.source.get() {
            "environment" => "in AWS_ACCESS_KEY_ID and its like",
            "profile" => "of the profile",
            _ => return error,
        };
        if ![&error.problem, &error.answer].iter().any(|text| text.contains("ExpiredToken")) {
            return error;
        }
        error.reason(&reasons::DEAD_KEYS).advice(format!(
            "the keys {whose} have ended, and nobody renews them: take them away, so that the role of the task, the pod or \
             the instance is used"
        ))
    }
}

/// What is missing where a task or pod acts as its machine.
const OWN_ROLE: &str = "give the task or pod its own role (ECS: a task role; EKS: a Pod Identity association or \
                        eks.amazonaws.com/role-arn), or say --identity imds if the node's is meant";

fn named(name: Option<&str>, source: &str) -> String {
    name.map_or_else(|| format!("the keys of {source}"), |name| format!("{name} (by {source})"))
}

fn session_keys(issued: &Credentials) -> Result<AwsKeys> {
    let keys = issued.keys().map(AwsKeys::from);
    keys.ok_or_else(|| Error::new(Kind::Fatal, "assume a role", "", "no keys came of it"))
}
