//! What was typed + environment + metadata attributes → what is meant on the way from Google to AWS.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::delivery::{AwsDelivery, DeliveryConfig, delivery};
use crate::config::option_table::{self, OF_A_SECOND_ROLE};
use crate::config::options::Options;
use crate::config::roles::{RoleConfig, check_session_name, roles, session_policy, terms};
use crate::config::sts::StsConfig;
use crate::config::template::{Template, placeholder};
use crate::config::values::{parse_duration, switch};
use crate::error::{Error, Result};
use crate::exchange::sts::assume_role::AssumeRoleTerms;
use crate::exchange::sts::client::SessionPolicies;
use crate::model::partition;
use crate::system::http::Endpoint;
use crate::system::input::{InputFile, InputValue};
use crate::system::shown;
use crate::system::world::World;

/// What the agent needs to know.
pub struct ToAwsConfig {
    /// Where Google's metadata server is.
    pub metadata: Endpoint,
    /// Who to be.
    pub source: Source,
    /// Audience of the ID token.
    pub audience: String,
    /// The roles to assume, at least one; clients get the first one's credentials unless they ask for a profile.
    pub roles: Vec<RoleConfig>,
    /// The session name, before cleaning.
    pub role_session_name: Template,
    /// How long credentials shall live.
    pub duration: Duration,
    /// What limits the sessions.
    pub limits: SessionPolicies,
    /// What is said when a second role is assumed.
    pub terms: AssumeRoleTerms,
    /// Whose region, if it was said.
    pub region: Option<String>,
    /// Which STS.
    pub sts: StsConfig,
    /// Where credentials are delivered.
    pub delivery: DeliveryConfig,
    /// Whether to refresh.
    pub refresh: bool,
    /// Further options, as another fedboot needs them to ask for the same.
    passed: Vec<(&'static str, String)>,
}

/// Where the ID token comes from.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// The metadata server.
    Metadata,
    /// A file.
    TokenFile(InputFile),
    /// IAM Credentials at this endpoint, for this service account.
    Impersonate(Endpoint, String),
}

/// The audience that is asked for where none is named.
pub const STS_AUDIENCE: &str = "sts.amazonaws.com";

impl Source {
    /// The one that is named, else the metadata server.
    ///
    /// # Errors
    /// A usage error where two are named, or one that cannot be.
    pub fn resolve(options: &Options, world: &World) -> Result<Self> {
        let file = options.value(world, "google-token-file").map(|given| given.file(world));
        match (file, options.text(world, "impersonate-service-account")?) {
            (Some(_), Some(_)) => {
                Err(Error::usage("--google-token-file and --impersonate-service-account exclude each other"))
            }
            (Some(file), None) => Ok(Self::TokenFile(file)),
            (None, Some(email)) => {
                let email = check_service_account(&email)?;
                let name = "iam-credentials-endpoint";
                let usual = || InputValue::new(format!("--{name}"), "https://iamcredentials.googleapis.com");
                let endpoint = options.text(world, name)?.unwrap_or_else(usual);
                Ok(Self::Impersonate(endpoint.endpoint(switch(options, world, "allow-http")?)?, email))
            }
            (None, None) => Ok(Self::Metadata),
        }
    }
}

/// Where Google's metadata server is: `GCE_METADATA_HOST`, else its address, without DNS, never through a proxy.
///
/// # Errors
/// A usage error where the variable names no host or one that is neither on loopback nor link-local.
pub fn metadata_endpoint(options: &Options, world: &World) -> Result<Endpoint> {
    let name = "GCE_METADATA_HOST";
    let given = InputValue::variable(world, name).unwrap_or_else(|| InputValue::new(name, "169.254.169.254"));
    // The name always means this address; a look-up could only say something else.
    let host = given.text()?.replace("metadata.google.internal", "169.254.169.254");
    let url = format!("http://{}", host.trim_start_matches("http://"));
    Ok(InputValue::new(name, url).endpoint(switch(options, world, "allow-http")?)?.direct())
}

/// Whether a role is named by a flag or a variable, so that no attribute need be asked.
pub fn names_a_role(options: &Options, world: &World) -> bool {
    options.value(world, "role-arn").is_some() || options.value(world, "google-token-file").is_some()
}

impl ToAwsConfig {
    /// Reads everything; `attributes` stand behind flags and variables.
    ///
    /// # Errors
    /// A usage error that names the option and what is wrong with it.
    pub fn resolve(options: &Options, world: &World, attributes: &HashMap<String, String>) -> Result<Self> {
        let attribute = |name: &str| attribute(name, attributes);
        let text = |name: &str| Ok::<_, Error>(options.text(world, name)?.or_else(|| attribute(name)));
        let file = |name: &str| options.value(world, name).map(|given| given.file(world));
        let mut arns = options.texts(world, "role-arn")?;
        if arns.is_empty()
            && let Some(given) = attribute("role-arn")
        {
            arns = given.split(char::is_whitespace)?;
            arns.retain(|arn| !arn.raw().is_empty());
        }
        let mut delivery = delivery(options, world)?;
        let roles = roles(&arns, options, world, &mut delivery)?;
        // Whatever is no letter of a name is replaced later.
        let session = options.value(world, "role-session-name").or_else(|| attribute("role-session-name"));
        let session = session.unwrap_or_else(|| InputValue::new("--role-session-name", "{hostname}"));
        check_session_name(&session)?;
        let source = Source::resolve(options, world)?;
        let mut sts = StsConfig::resolve(options, world, false)?;
        let region = text("region")?.map(|given| sts.region(&given)).transpose()?;
        let duration = match text("duration")? {
            Some(given) => parse_duration(&given)?,
            None => Duration::from_secs(3600),
        };
        let limits = SessionPolicies {
            policy: file("session-policy").map(|file| session_policy(&file)).transpose()?,
            policy_arns: policy_arns(options, world)?,
        };
        let terms = terms(options, world)?;
        let chained = roles.iter().any(|role| role.then_role_arn.is_some());
        if !chained && terms != AssumeRoleTerms::default() {
            return Err(Error::usage("--external-id, --source-identity and --session-tag are for a second role")
                .advice("name it with --then-role-arn; in a web identity's session they come from the token"));
        }
        if delivery.has(AwsDelivery::TokenFile) && (chained || roles.len() > 1 || limits != SessionPolicies::default())
        {
            return Err(Error::usage("--delivery token-file leaves the exchange to the client").advice(
                "so there is no second role, no further one and no session policy: choose another --delivery",
            ));
        }
        Ok(Self {
            metadata: metadata_endpoint(options, world)?,
            source,
            audience: match text("audience")? {
                Some(given) => given.text()?.to_owned(),
                None => STS_AUDIENCE.into(),
            },
            roles,
            role_session_name: Template::parse(session.origin(), session.text()?)?,
            duration,
            limits,
            terms,
            region,
            sts,
            delivery,
            refresh: !switch(options, world, "no-refresh")?,
            passed: passed(options, world)?,
        })
    }

    /// The region of the STS that is asked, and of the clients' profile.
    pub fn region(&self) -> String {
        let arn = || self.roles.first().map(|role| role.role_arn.expand(placeholder)).unwrap_or_default();
        self.region.clone().unwrap_or_else(|| partition::default_region(&arn()).into())
    }

    /// The STS that is asked.
    ///
    /// # Errors
    /// A usage error where its host cannot be formed.
    pub fn sts_endpoint(&self) -> Result<Endpoint> {
        self.sts.in_region(&self.region())
    }

    /// The flags with which another fedboot asks for exactly the same as this one for `role`, whatever its
    /// environment says.
    ///
    /// # Errors
    /// A usage error where the STS host cannot be formed.
    pub fn flags(&self, role: &RoleConfig) -> Result<Vec<(&'static str, String)>> {
        let mut flags = vec![
            ("role-arn", role.role_arn.expand(placeholder)),
            ("role-session-name", self.role_session_name.expand(placeholder)),
            ("audience", self.audience.clone()),
            ("duration", self.duration.as_secs().to_string()),
            ("region", self.region()),
            ("sts-endpoint", self.sts_endpoint()?.url("/")),
        ];
        flags.extend(role.then_role_arn.iter().map(|arn| ("then-role-arn", arn.expand(placeholder))));
        let wanted = |name| role.then_role_arn.is_some() || !OF_A_SECOND_ROLE.contains(name);
        flags.extend(self.passed.iter().filter(|(name, _)| wanted(name)).cloned());
        Ok(flags)
    }
}

/// Options that mean the same to any fedboot, files by their absolute paths.
fn passed(options: &Options, world: &World) -> Result<Vec<(&'static str, String)>> {
    let mut passed = Vec::new();
    for name in ["google-token-file", "session-policy"] {
        let file = options.text(world, name)?.map(|given| given.file(world));
        passed.extend(file.map(|file| (name, file.path().display().to_string())));
    }
    for name in ["impersonate-service-account", "iam-credentials-endpoint", "external-id", "source-identity"] {
        passed.extend(options.free_text(world, name)?.map(|value| (name, value)));
    }
    for name in ["session-tag", "policy-arn"] {
        passed.extend(texts(options, world, name)?.into_iter().map(|value| (name, value)));
    }
    if switch(options, world, "allow-http")? {
        passed.push(("allow-http", String::new()));
    }
    Ok(passed)
}

fn texts(options: &Options, world: &World, name: &str) -> Result<Vec<String>> {
    options.texts(world, name)?.iter().map(|given| given.text().map(str::to_owned)).collect()
}

fn policy_arns(options: &Options, world: &World) -> Result<Vec<String>> {
    let arns = options.texts(world, "policy-arn")?;
    if let Some(wrong) = arns.iter().find(|given| !given.text().is_ok_and(shown::is_arn)) {
        return Err(wrong.bad("is no ARN of a policy; it looks like arn:aws:iam::aws:policy/ReadOnlyAccess"));
    }
    texts(options, world, "policy-arn")
}

/// The address of a service account.
///
/// # Errors
/// A usage error where it can be none.
pub fn check_service_account(email: &InputValue) -> Result<String> {
    let text = email.text()?;
    if shown::is_email(text) { Ok(text.to_owned()) } else { Err(email.bad("is no service account's email")) }
}

/// What a metadata attribute says for the option `name`, if one may.
pub(crate) fn attribute(name: &str, attributes: &HashMap<String, String>) -> Option<InputValue> {
    option_table::option(name).filter(|option| option.attribute)?;
    let attribute = format!("fedboot-{name}");
    let value = attributes.get(&attribute).map(|value| value.trim()).filter(|value| !value.is_empty())?;
    Some(InputValue::new(format!("the metadata attribute {attribute}"), value))
}

/// The region that is named, else the one that most clients would take: for when the role is not known yet.
pub fn region(options: &Options, world: &World) -> String {
    let named = options.free_text(world, "region").ok().flatten();
    let named = named.filter(|region| partition::check_region(region).is_ok());
    let named = named.map(|name| partition::region_of(&name).0.to_owned());
    named.unwrap_or_else(|| partition::default_region("").into())
}
