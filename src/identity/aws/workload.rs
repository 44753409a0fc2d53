//! Asks one source of AWS identity after the other.

use std::rc::Rc;

use crate::error::{Error, Kind, Result, reasons};
use crate::identity::aws::settings::Settings;
use crate::identity::aws::source::{Answer, Source};
use crate::identity::aws::{container, environment, imds, profile, web_identity};
use crate::model::aws_identity::AwsIdentity;
use crate::system::http::{Endpoint, Http};
use crate::system::input::InputValue;
use crate::system::world::World;

/// Finds out who the workload is.
pub struct AwsWorkload {
    /// Variables and files.
    pub world: Rc<World>,
    /// The one source that may be asked, if one was named.
    pub only: Option<Source>,
    /// The profile that was named, else that of `AWS_PROFILE`.
    pub profile: Option<InputValue>,
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
        let mut causes = Vec::new();
        for source in all {
            match self.ask(*source, http, imds).await? {
                Answer::Found(identity) => return Ok(identity),
                Answer::NotHere(reason) => causes.push(reason),
                Answer::NotYet(error) => {
                    causes.push(error.cause());
                    return Err(nowhere(Kind::Transient, &causes));
                }
            }
        }
        Err(nowhere(Kind::Fatal, &causes))
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

fn nowhere(kind: Kind, causes: &[String]) -> Error {
    Error::new(kind, "find out who this workload is on AWS", "", causes.join("; ")).reason(&reasons::NO_AWS_IDENTITY).advice(
        "give the task, pod or instance a role (or name a source with --identity, and what it needs in its variables)",
    )
}
