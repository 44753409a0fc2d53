//! Who the workload is on AWS, on its way to Google: the part of the configuration that AWS's own variables have a say in.

use std::ffi::OsStr;

use crate::cli::Options;
use crate::config::{StsChoice, chosen, switch};
use crate::error::{Error, Result};
use crate::exchange::assume_role::Terms;
use crate::exchange::sts_hosts;
use crate::external_account::{CredentialSource, ExternalAccount};
use crate::given::Given;
use crate::http::Endpoint;
use crate::identity::aws::Source;
use crate::roles::{check_session_name, clean_session_name, terms};
use crate::world::World;

/// Who the workload is on AWS.
#[derive(Clone, Debug)]
pub struct AwsChoice {
    /// The one source that may be asked.
    pub only: Option<Source>,
    /// The profile, if one was named.
    pub profile: Option<Given>,
    /// Where the instance metadata service is.
    pub imds: Endpoint,
    /// Whether its first version may be asked.
    pub imdsv1: bool,
    /// The region, if it was said.
    pub region: Option<String>,
    /// Which of AWS's STS.
    pub sts: StsChoice,
    /// A role to assume first.
    pub role_arn: Option<String>,
    /// The name of its session.
    pub session_name: String,
    /// On which terms.
    pub terms: Terms,
    /// What else tells one identity from another, for a cache.
    variables: Vec<Option<String>>,
}

impl AwsChoice {
    /// Reads what is said by options, variables and the `file`.
    ///
    /// # Errors
    /// A usage error that names what is wrong.
    pub fn resolve(options: &Options, world: &World, file: Option<&ExternalAccount>) -> Result<Self> {
        let text = |name: &str| options.text(world, name);
        let only = chosen(options, world, "identity", &Source::ALL.map(|source| (source.name(), source)))?;
        let role_arn = match text("assume-role-arn")? {
            Some(given) => {
                sts_hosts::check_role_arn(given.by(), given.text()?)?;
                Some(given.text()?.to_owned())
            }
            None => None,
        };
        let terms = terms(options, world)?;
        if role_arn.is_none() && terms != Terms::default() {
            return Err(Error::usage(
                "--external-id, --source-identity and --session-tag are for a role that is assumed",
            )
            .advice("name it with --assume-role-arn"));
        }
        let mut sts = StsChoice::resolve(options, world)?;
        let region = text("region")?.map(|given| sts.region(&given)).transpose()?;
        // AWS's own variable, else where the file says, else the address that it always has.
        let variable = Given::variable(world, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let in_file = file.and_then(|file| match &file.source {
            CredentialSource::Aws { metadata, .. } => metadata.first().cloned(),
            _ => None,
        });
        let usual = match world.text_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE") {
            Some(mode) if mode.eq_ignore_ascii_case("ipv6") => "http://[fd00:ec2::254]",
            _ => "http://169.254.169.254",
        };
        let in_file = in_file.map(|url| Given::new("\"credential_source\", url or region_url,", url));
        let url = variable.or(in_file).unwrap_or_else(|| Given::new("", usual));
        let (imds, _) = url.endpoint_with_path(true)?;
        let session = match text("role-session-name")? {
            Some(given) => {
                check_session_name(&given)?;
                given.text()?.to_owned()
            }
            None => world.hostname.clone(),
        };
        let told_apart = [
            "AWS_ACCESS_KEY_ID",
            "AWS_PROFILE",
            "AWS_DEFAULT_PROFILE",
            "AWS_CONFIG_FILE",
            "AWS_SHARED_CREDENTIALS_FILE",
            "AWS_ROLE_ARN",
            "AWS_ROLE_SESSION_NAME",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            "AWS_EC2_METADATA_DISABLED",
        ];
        Ok(Self {
            only,
            profile: text("aws-profile")?,
            imds: imds.direct(),
            imdsv1: switch(options, world, "imdsv1")?,
            region,
            sts,
            role_arn,
            session_name: clean_session_name(&session),
            terms,
            variables: told_apart.iter().map(|name| world.text_variable(name)).collect(),
        })
    }

    /// What else tells one identity from another; some of it may be secret.
    pub fn told_apart(&self) -> (&[Option<String>], Option<&OsStr>) {
        (&self.variables, self.profile.as_ref().map(Given::raw))
    }
}
