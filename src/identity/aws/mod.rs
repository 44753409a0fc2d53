//! Who am I on AWS? One file a source, asked in the order of the SDKs:
//! <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html#credentialProviderChain>.
//!
//! 1. `environment`: keys in variables.
//! 2. `profile`: what the configuration files say.
//! 3. `web-identity`: a token file (EKS's IAM roles for service accounts).
//! 4. `container`: ECS, Fargate, MWAA, EKS Pod Identity.
//! 5. `imds`: the instance's role.
//!
//! A source that is not configured gives way to the next one; one that is and fails stops all, with its own error: the
//! next one would be somebody else.

mod container;
mod environment;
mod imds;
mod profile;
mod settings;
mod web_identity;

use std::rc::Rc;

use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::model::flow::{AwsIdentity, AwsStart};
use crate::system::given::Given;
use crate::system::http::{Endpoint, Http};
use crate::system::world::World;
use aws_credential_types::Credentials as AwsKeys;

pub use settings::Settings;

/// A source of AWS identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// See the module.
    Environment,
    /// See the module.
    Profile,
    /// See the module.
    WebIdentity,
    /// See the module.
    Container,
    /// See the module.
    Imds,
}

impl Source {
    /// All, in the order in which they are asked.
    pub const ALL: [Self; 5] = [Self::Environment, Self::Profile, Self::WebIdentity, Self::Container, Self::Imds];

    /// Its name in `--identity`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Profile => "profile",
            Self::WebIdentity => "web-identity",
            Self::Container => "container",
            Self::Imds => "imds",
        }
    }
}

/// What a source says.
enum Answer {
    /// This is who you are.
    Found(AwsIdentity),
    /// It is not configured, for this reason.
    NotHere(String),
    /// Nobody answers, who may answer later.
    NotYet(Error),
}

/// Finds out who the workload is.
pub struct AwsWorkload {
    /// Variables and files.
    pub world: Rc<World>,
    /// The one source that may be asked, if one was named.
    pub only: Option<Source>,
    /// The profile that was named, else that of `AWS_PROFILE`.
    pub profile: Option<Given>,
    /// Whether its first version may be asked too.
    pub imdsv1: bool,
}

impl AwsWorkload {
    /// Asks the sources, and at `imds` the instance metadata service.
    ///
    /// # Errors
    /// Of the first source that is configured and fails; or that none is.
    pub async fn identify(&self, http: &Http, imds: &Endpoint) -> Result<AwsIdentity> {
        let all = match &self.only {
            Some(only) => std::slice::from_ref(only),
            None => &Source::ALL,
        };
        let mut reasons = Vec::new();
        for source in all {
            match self.ask(*source, http, imds).await? {
                Answer::Found(identity) => return Ok(identity),
                Answer::NotHere(reason) => reasons.push(reason),
                Answer::NotYet(error) => {
                    reasons.push(error.to_string());
                    return Err(nowhere(Kind::Transient, &reasons));
                }
            }
        }
        Err(nowhere(Kind::Fatal, &reasons))
    }

    async fn ask(&self, source: Source, http: &Http, imds: &Endpoint) -> Result<Answer> {
        match source {
            Source::Environment => environment::ask(&self.world),
            Source::Profile => match profile::ask(&self.world, http, self.profile.as_ref()).await? {
                profile::Answer::Here(identity) => Ok(Answer::Found(identity)),
                profile::Answer::NotHere(reason) => Ok(Answer::NotHere(reason)),
                // A profile may name another source for its first keys.
                profile::Answer::Elsewhere { source, roles } => match Box::pin(self.ask(source, http, imds)).await? {
                    Answer::Found(identity) => Ok(Answer::Found(AwsIdentity { roles, ..identity })),
                    Answer::NotHere(reason) => Err(nowhere(Kind::Fatal, &[reason])),
                    Answer::NotYet(error) => Err(error),
                },
            },
            Source::WebIdentity => web_identity::ask(&self.world).await,
            Source::Container => container::ask(&self.world, http).await,
            Source::Imds => imds::keys(&self.world, http, imds, self.imdsv1).await,
        }
    }

    /// What the profile says beside who it is.
    pub async fn settings(&self) -> Settings {
        Settings::load(&self.world, self.profile.as_ref()).await
    }

    /// The region in which the instance is, as its metadata service at `imds` says; `None` where there is none.
    pub async fn instance_region(&self, http: &Http, imds: &Endpoint) -> Option<String> {
        imds::region(&self.world, http, imds, self.imdsv1).await
    }
}

fn nowhere(kind: Kind, reasons: &[String]) -> Error {
    Error::new(kind, "find out who this workload is on AWS", "", reasons.join("; ")).advice(
        "give the task, pod or instance a role (or name a source with --identity, and what it needs in its variables)",
    )
}

/// The identity of keys that a source has.
fn of_keys(source: Source, keys: AwsKeys) -> AwsIdentity {
    AwsIdentity { source: source.name(), start: AwsStart::Keys(keys), roles: Vec::new() }
}

/// Keys in JSON as the metadata services and `credential_process` write them. `token` is how they call the session
/// token. `None`: there are none.
fn keys_in(json: &Value, token: &str) -> Option<AwsKeys> {
    let text = |name: &str| json[name].as_str().filter(|text| !text.is_empty());
    let expiration = text("Expiration").and_then(|time| humantime::parse_rfc3339_weak(time).ok());
    let session_token = text(token).map(str::to_owned);
    Some(AwsKeys::new(text("AccessKeyId")?, text("SecretAccessKey")?, session_token, expiration, "fedboot"))
}
