//! Who the workload is on AWS, on its way to Google: the part of the configuration that AWS's own variables have a say in.

use std::ffi::OsStr;

use crate::config::external_account::{CredentialSource, ExternalAccount};
use crate::config::options::Options;
use crate::config::roles::{check_session_name, terms};
use crate::config::sts::StsConfig;
use crate::config::values::{chosen, switch};
use crate::error::{Error, Result};
use crate::exchange::sts::assume_role::AssumeRoleTerms;
use crate::identity::aws::{Settings, Source};
use crate::model::partition;
use crate::model::role::{self, clean_session_name};
use crate::system::http::Endpoint;
use crate::system::input::InputValue;
use crate::system::world::World;

/// Who the workload is on AWS.
#[derive(Clone, Debug)]
pub struct AwsIdentityConfig {
    /// The one source that may be asked.
    pub only: Option<Source>,
    /// The profile, if one was named.
    pub profile: Option<InputValue>,
    imds: Imds,
    /// Whether its first version may be asked.
    pub imdsv1: bool,
    /// The region, if it was said.
    pub region: Option<String>,
    sts: StsNames,
    /// A role to assume first.
    pub role_arn: Option<String>,
    /// The name of its session.
    pub session_name: String,
    /// On which terms.
    pub terms: AssumeRoleTerms,
    /// What else tells one identity from another, for a cache.
    variables: Vec<Option<String>>,
}

/// What is said of the instance metadata service, apart from the profile.
#[derive(Clone, Debug)]
struct Imds {
    by_variable: Option<Endpoint>,
    mode: Option<InputValue>,
    in_file: Option<Endpoint>,
}

/// What is said of AWS's STS, apart from the profile.
#[derive(Clone, Debug)]
struct StsNames {
    named: StsConfig,
    /// The same where the variables for endpoints do not count.
    own: StsConfig,
    /// Whether they do not; none where only the profile says so.
    ignores: Option<bool>,
    /// Whether variables say which of the region's hosts are meant.
    says_fips: bool,
    says_dual_stack: bool,
    regional: Option<InputValue>,
    allow_http: bool,
}

/// Where the service is on every instance, as gcloud writes it into every file.
const IMDS: &str = "http://169.254.169.254";
const IMDS_IPV6: &str = "http://[fd00:ec2::254]";

impl AwsIdentityConfig {
    /// Where the instance metadata service is: by AWS's variable, else by the profile, else where the file says, else at
    /// the address that it always has.
    ///
    /// # Errors
    /// A usage error in the profile or the variable for the version of IP.
    pub fn imds(&self, profile: &Settings) -> Result<Endpoint> {
        let Imds { by_variable, mode, in_file } = &self.imds;
        if let Some(endpoint) = by_variable {
            return Ok(endpoint.clone());
        }
        if let Some(url) = profile.given("ec2_metadata_service_endpoint") {
            return imds_at(&url);
        }
        let is_ipv6 = match mode.clone().or_else(|| profile.given("ec2_metadata_service_endpoint_mode")) {
            Some(mode) => InputValue::new(mode.origin(), mode.text()?.to_lowercase())
                .one_of(&[("ipv4", false), ("ipv6", true)])?,
            None => profile.is_true("imds_use_ipv6"),
        };
        match in_file {
            Some(endpoint) if !(is_ipv6 && endpoint.url("") == IMDS) => Ok(endpoint.clone()),
            _ => imds_at(&InputValue::new("", if is_ipv6 { IMDS_IPV6 } else { IMDS })),
        }
    }

    /// Which of AWS's STS: by option or variable, else by the profile, else the region's.
    ///
    /// # Errors
    /// A usage error in the profile.
    pub fn sts(&self, profile: &Settings) -> Result<StsConfig> {
        let sts = &self.sts;
        let ignores = sts.ignores.unwrap_or_else(|| profile.is_true("ignore_configured_endpoint_urls"));
        let configured = if ignores { &sts.own } else { &sts.named };
        let StsConfig::Regional { fips, dual_stack } = *configured else { return Ok(configured.clone()) };
        if !ignores && let Some(url) = profile.sts()? {
            return url.endpoint(sts.allow_http).map(StsConfig::Endpoint);
        }
        let names_fips = self.region.is_none() && profile.region().is_some_and(|name| partition::region_of(name).1);
        Ok(StsConfig::Regional {
            fips: fips || names_fips || !sts.says_fips && profile.is_true("use_fips_endpoint"),
            dual_stack: dual_stack || !sts.says_dual_stack && profile.is_true("use_dualstack_endpoint"),
        })
    }

    /// Whether the one for all regions is to be asked where there is one.
    ///
    /// # Errors
    /// A usage error in the profile or the variable.
    pub fn prefers_global_sts(&self, profile: &Settings) -> Result<bool> {
        let mode = self.sts.regional.clone().or_else(|| profile.given("sts_regional_endpoints"));
        mode.map_or(Ok(false), |mode| mode.one_of(&[("regional", false), ("legacy", true)]))
    }

    /// Reads what is said by options, variables and the `file`.
    ///
    /// # Errors
    /// A usage error that names what is wrong.
    pub fn resolve(options: &Options, world: &World, file: Option<&ExternalAccount>) -> Result<Self> {
        let text = |name: &str| options.text(world, name);
        let only = chosen(options, world, "identity", &Source::ALL.map(|source| (source.name(), source)))?;
        let role_arn = match text("assume-role-arn")? {
            Some(given) => {
                role::check_role_arn(given.origin(), given.text()?)?;
                Some(given.text()?.to_owned())
            }
            None => None,
        };
        let terms = terms(options, world)?;
        if role_arn.is_none() && terms != AssumeRoleTerms::default() {
            return Err(Error::usage(
                "--external-id, --source-identity and --session-tag are for a role that is assumed",
            )
            .advice("name it with --assume-role-arn"));
        }
        let mut sts = StsNames {
            named: StsConfig::resolve(options, world, false)?,
            own: StsConfig::resolve(options, world, true)?,
            ignores: world.variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").map(|it| it.eq_ignore_ascii_case("true")),
            says_fips: world.variable("AWS_USE_FIPS_ENDPOINT").is_some(),
            says_dual_stack: world.variable("AWS_USE_DUALSTACK_ENDPOINT").is_some(),
            regional: InputValue::variable(world, "AWS_STS_REGIONAL_ENDPOINTS"),
            allow_http: switch(options, world, "allow-http")?,
        };
        let mut region = None;
        if let Some(given) = text("region")? {
            sts.own.region(&given)?;
            region = Some(sts.named.region(&given)?);
        }
        let in_file = file.and_then(|file| match &file.source {
            CredentialSource::Aws { metadata, .. } => metadata.first().cloned(),
            _ => None,
        });
        let in_file = in_file.map(|url| InputValue::new("\"credential_source\", url or region_url,", url));
        let imds = Imds {
            by_variable: InputValue::variable(world, "AWS_EC2_METADATA_SERVICE_ENDPOINT")
                .map(|url| imds_at(&url))
                .transpose()?,
            mode: InputValue::variable(world, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"),
            in_file: in_file.map(|url| imds_at(&url)).transpose()?,
        };
        let session = match text("role-session-name")? {
            Some(given) => {
                check_session_name(&given)?;
                given.text()?.to_owned()
            }
            None => world.hostname.clone(),
        };
        let distinguishing = [
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
            imds,
            imdsv1: switch(options, world, "imdsv1")?,
            region,
            sts,
            role_arn,
            session_name: clean_session_name(&session),
            terms,
            variables: distinguishing.iter().map(|name| world.text_variable(name)).collect(),
        })
    }

    /// What else tells one identity from another; some of it may be secret.
    pub fn distinguishing(&self) -> (&[Option<String>], Option<&OsStr>) {
        (&self.variables, self.profile.as_ref().map(InputValue::raw))
    }
}

/// The service at this URL, whatever its path; never through a proxy.
fn imds_at(url: &InputValue) -> Result<Endpoint> {
    Ok(url.endpoint_with_path(true)?.0.direct())
}
