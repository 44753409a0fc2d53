//! What the shared configuration files say of a profile: `~/.aws/credentials` (`AWS_SHARED_CREDENTIALS_FILE`) and
//! `~/.aws/config` (`AWS_CONFIG_FILE`), for the profile of `AWS_PROFILE`, else `default`.
//!
//! - `role_arn` with `source_profile`, `credential_source` or `web_identity_token_file`; `external_id`,
//!   `role_session_name`;
//! - `aws_access_key_id`, `aws_secret_access_key`, `aws_session_token`;
//! - `credential_process`: a command line, run without a shell.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>,
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html>,
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>
//!
//! A profile without any of them gives way to the next source. What the files hold is read anew each time.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use aws_credential_types::Credentials as AwsKeys;
use serde_json::Value;

use crate::error::{Error, Kind, Result, reasons};
use crate::format::ini;
use crate::identity::aws::source::{Source, keys_in, of_keys};
use crate::identity::aws::web_identity;
use crate::model::aws_identity::{AwsIdentity, AwsRole};
use crate::model::role;
use crate::system::http::Http;
use crate::system::input::{InputFile, InputValue};
use crate::system::world::{self, World};
use crate::system::{process, shown};

/// How long a `credential_process` may take.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(30);

/// How many characters of what it says are shown.
const LONGEST_WORDS: usize = 200;

/// What is of no use without another: whoever wrote it did not mean the next source.
const HALVES: &[(&str, &str)] = &[
    ("aws_secret_access_key", "aws_access_key_id"),
    ("aws_session_token", "aws_access_key_id"),
    ("aws_security_token", "aws_access_key_id"),
    ("web_identity_token_file", "role_arn"),
    ("source_profile", "role_arn"),
    ("credential_source", "role_arn"),
    ("sso_account_id", "sso_session"),
    ("sso_role_name", "sso_session"),
];

pub(super) type Values = HashMap<String, String>;

/// What the profile says.
pub(super) enum Answer {
    /// This is who you are.
    Here(AwsIdentity),
    /// Whoever this source says, and then these roles.
    Elsewhere { source: Source, roles: Vec<AwsRole> },
    /// There are no credentials in it.
    NotHere(String),
}

pub(super) async fn ask(world: &World, http: &Http, named: Option<&InputValue>) -> Result<Answer> {
    let files = Files::load(world).await?;
    let named = chosen(world, named);
    let mut name = named.as_ref().map_or("default".into(), |named| named.raw().to_string_lossy().into_owned());
    let mut roles = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    loop {
        let Some(values) = files.profile(&name)? else {
            if seen.is_empty() && named.is_none() {
                return Ok(Answer::NotHere(format!("there is no profile in {}", files.names())));
            }
            // A name that no file holds may be no name.
            let problem = match (seen.last(), &named) {
                (None, Some(named)) => format!("{} names a profile that is not in {}", named.origin(), files.names()),
                (None, None) => format!("there is no profile default in {}", files.names()),
                (Some(last), _) => {
                    format!("the source_profile of {} is not in {}", shown::name(last), files.names())
                }
            };
            return Err(failed(problem).advice("check AWS_PROFILE and source_profile"));
        };
        let text = |key: &str| values.get(key).filter(|value| !value.is_empty());
        // On the way to another profile's role, keys count before a role (botocore, smithy); in Go too for its last one.
        let has_keys = || text("aws_access_key_id").or(text("aws_secret_access_key")).is_some();
        let is_source = seen.contains(&name) || !seen.is_empty() && has_keys();
        if let Some(arn) = text("role_arn").filter(|_| !is_source) {
            if text("mfa_serial").is_some() {
                return Err(
                    bad(&name, "has an mfa_serial, and nobody is here to type a code").advice("use another role")
                );
            }
            role::check_role_arn("role_arn", arn)
                .map_err(|error| bad(&name, format!("is wrong: {}", error.problem)))?;
            let session_name = text("role_session_name").cloned();
            if !session_name.iter().all(|name| role::is_session_name(name)) {
                return Err(
                    bad(&name, "has a role_session_name that is none").advice("use letters, digits and _+=,.@-")
                );
            }
            let role = AwsRole { arn: arn.clone(), session_name, external_id: text("external_id").cloned() };
            seen.push(name.clone());
            if let Some(file) = text("web_identity_token_file") {
                let file =
                    InputValue::new(format!("web_identity_token_file of {}", shown::name(&name)), file).file(world);
                let start = web_identity::start(&file, role).await?;
                roles.reverse();
                return Ok(Answer::Here(AwsIdentity { source: Source::Profile.name(), name: None, start, roles }));
            }
            roles.push(role);
            match (text("source_profile"), text("credential_source").map(String::as_str)) {
                // Itself is allowed: then its own keys count.
                (Some(next), None) if *next == name || !seen.contains(next) => {
                    name.clone_from(next);
                    continue;
                }
                (Some(next), None) => {
                    return Err(bad(&name, format!("leads back to the profile {}", shown::name(next))));
                }
                (None, Some(source)) => {
                    let source = match source {
                        "Environment" => Source::Environment,
                        "Ec2InstanceMetadata" => Source::Imds,
                        "EcsContainer" => Source::Container,
                        _ => {
                            return Err(bad(
                                &name,
                                "has a credential_source that is none of Environment, Ec2InstanceMetadata, EcsContainer",
                            ));
                        }
                    };
                    roles.reverse();
                    return Ok(Answer::Elsewhere { source, roles });
                }
                _ => {
                    return Err(bad(
                        &name,
                        "has a role_arn, but not one of source_profile, credential_source, \
                                           web_identity_token_file",
                    ));
                }
            }
        }
        let keys = match (text("aws_access_key_id"), text("aws_secret_access_key"), text("credential_process")) {
            (Some(id), Some(secret), _) => {
                let token = text("aws_session_token").or(text("aws_security_token"));
                AwsKeys::new(id, secret, token.cloned(), None, "fedboot")
            }
            (Some(_), None, _) => return Err(bad(&name, "has an aws_access_key_id, but no aws_secret_access_key")),
            (None, _, Some(line)) => run(http, &name, line).await?,
            (None, _, None) => return without_keys(&name, &values, seen.is_empty()),
        };
        roles.reverse();
        return Ok(Answer::Here(AwsIdentity { roles, ..of_keys(Source::Profile, keys, None) }));
    }
}

/// What a profile means that has neither keys nor a role.
fn without_keys(name: &str, values: &Values, is_first: bool) -> Result<Answer> {
    let has = |key: &str| values.get(key).is_some_and(|value| !value.is_empty());
    if ["sso_session", "sso_start_url", "login_session"].into_iter().any(has) {
        return Err(bad(name, "signs in with a browser (sso), which fedboot does not")
            .advice("give it a credential_process: aws configure export-credentials --profile NAME"));
    }
    match HALVES.iter().find(|(half, _)| has(half)) {
        Some((half, other)) => Err(bad(name, format!("has a setting {half}, but no {other}"))),
        None if is_first => Ok(Answer::NotHere(format!("the profile {} has no credentials", shown::name(name)))),
        None => Err(bad(name, "has no credentials, and another profile needs them")),
    }
}

/// The profile that somebody chose.
pub(super) fn chosen(world: &World, named: Option<&InputValue>) -> Option<InputValue> {
    let variable = || ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"].iter().find_map(|name| InputValue::variable(world, name));
    named.cloned().or_else(variable)
}

fn bad(profile: &str, problem: impl AsRef<str>) -> Error {
    failed(format!("{} {}", shown::name(profile), problem.as_ref()))
}

fn failed(problem: String) -> Error {
    Error::new(Kind::Fatal, "take AWS credentials from a profile", "", problem).reason(&reasons::PROFILE)
}

/// Both files: the path as messages show it, and the content. One that is not there counts as empty.
pub(super) struct Files {
    credentials: (String, Vec<u8>),
    config: (String, Vec<u8>),
}

impl Files {
    pub(super) async fn load(world: &World) -> Result<Self> {
        let file = async |file: Option<InputFile>| {
            let Some(file) = file else { return Ok(("~/.aws".into(), Vec::new())) };
            match world::load_file(file.path()).await {
                Ok(content) => Ok((file.shown(), content)),
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    Err(failed(format!("{} may not be read", file.shown())))
                }
                Err(_) => Ok((file.shown(), Vec::new())),
            }
        };
        let [credentials, config] = InputFile::of_aws(world);
        Ok(Self { credentials: file(credentials).await?, config: file(config).await? })
    }

    /// What the config file says of one service in this section for services.
    pub(super) fn services(&self, name: &str, service: &str) -> Option<Values> {
        ini::block(&self.config.1, &|section| ini::is_services(section, name), service).ok().flatten()
    }

    fn names(&self) -> String {
        format!("{} or {}", self.credentials.0, self.config.0)
    }

    /// What both say of a profile; the credentials file counts first.
    pub(super) fn profile(&self, name: &str) -> Result<Option<Values>> {
        let read = |(shown, text): &(String, Vec<u8>), wanted: &dyn Fn(&str) -> bool| {
            ini::read(text, wanted).map_err(|malformed| {
                failed(format!("{shown} cannot be read: line {} is {}", malformed.line, malformed.problem))
            })
        };
        let mut config = read(&self.config, &|section| ini::is_profile(section, name))?;
        if config.is_none() && name == "default" {
            config = read(&self.config, &|section| section == name)?;
        }
        let credentials = read(&self.credentials, &|section| section == name)?;
        Ok(match (config, credentials) {
            (Some(mut values), Some(first)) => {
                values.extend(first);
                Some(values)
            }
            (one, other) => one.or(other),
        })
    }
}

/// The keys that a command prints as `{"Version": 1, "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}`.
async fn run(http: &Http, profile: &str, line: &str) -> Result<AwsKeys> {
    let failed = |problem: String| bad(profile, format!("has a credential_process that {problem}"));
    let words = shlex::split(line).filter(|words| !words.is_empty());
    let words = words.ok_or_else(|| failed("is no command line: check its quotes".into()))?;
    let program = words.first().map(|program| shown::path(Path::new(program))).unwrap_or_default();
    let output = process::output_of(&words, http.at_most(PROCESS_TIMEOUT))
        .await
        .map_err(|error| failed(format!("cannot be run: {} ({program})", world::plain(&error))))?;
    if !output.status.success() {
        // Its own words, which are for people, but not what it was called with; what it prints on stdout may hold keys.
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let arguments = words.iter().skip(1).flat_map(|word| word.split('=')).filter(|word| word.len() > 5);
        let said = arguments.fold(said, |said, word| said.replace(word, shown::CUT));
        let said = shown::one_line(&shown::words(&said), LONGEST_WORDS);
        return Err(Error { kind: Kind::Transient, ..failed(format!("failed ({}): {said}", output.status)) });
    }
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    if json.get("Version").is_none_or(|version| *version != 1) {
        return Err(failed("prints no JSON with \"Version\": 1".into()));
    }
    keys_in(&json, "SessionToken").ok_or_else(|| failed("prints no AccessKeyId and SecretAccessKey".into()))
}
