//! The file that `gcloud iam workload-identity-pools create-cred-config` writes: which provider to ask, with which proof,
//! for whom.
//!
//! ```json
//! {"type": "external_account", "audience": "//iam.googleapis.com/projects/N/locations/global/…/providers/Q",
//!  "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request", "token_url": "https://sts.googleapis.com/v1/token",
//!  "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/…/EMAIL:generateAccessToken",
//!  "credential_source": {"environment_id": "aws1", "region_url": …, "url": …, "regional_cred_verification_url": …}}
//! ```
//!
//! <https://google.aip.dev/auth/4117>. Fields that are not named here mean nothing to a program without a person before it.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use crate::error::{Error, Result, reasons};
use crate::exchange::sts::caller_identity;
use crate::format::subject_token_format::SubjectTokenFormat;
use crate::model::proof::{AWS_REQUEST, JWT};
use crate::system::input::InputFile;
use crate::system::world;

/// What the file says.
#[derive(Debug)]
pub struct ExternalAccount {
    /// The provider, as `//iam.googleapis.com/…`.
    pub audience: String,
    /// What kind of proof it is shown.
    pub subject_token_type: String,
    /// Google's STS.
    pub token_url: Option<String>,
    /// IAM Credentials, with the service account to be.
    pub impersonation_url: Option<String>,
    /// How long its access tokens shall live.
    pub lifetime: Option<Duration>,
    /// Whose Google this is.
    pub universe_domain: Option<String>,
    /// Who pays, and where clients look for things.
    pub quota_project: Option<String>,
    /// An OAuth client, by which some pools know their callers.
    pub client: Option<(String, SecretString)>,
    /// The same for workforce pools.
    pub user_project: Option<String>,
    /// Where the proof comes from.
    pub source: CredentialSource,
}

/// Where the proof comes from.
#[derive(Clone, Debug)]
pub enum CredentialSource {
    /// A signed AWS request.
    Aws {
        /// The request to sign, with `{region}` in it or not.
        verification_url: String,
        /// URLs of the instance metadata service.
        metadata: Vec<String>,
    },
    /// A token that somebody keeps fresh in a file.
    File(PathBuf, SubjectTokenFormat),
    /// A token that a server on this machine hands out.
    Url(String, Vec<(String, SecretString)>, SubjectTokenFormat),
    /// A program's answer; fedboot may be that program.
    Executable,
}

/// Reads the file.
///
/// # Errors
/// A usage error that names the field and says what it should hold.
pub fn read(file: &InputFile) -> Result<ExternalAccount> {
    let shown = file.shown();
    let bytes = file.read().map_err(|why| {
        Error::usage(format!("{shown} {why}"))
            .reason(&reasons::EXTERNAL_ACCOUNT)
            .advice("name the file that gcloud iam workload-identity-pools create-cred-config wrote")
    })?;
    parse(&bytes).map_err(|error| {
        let error =
            Error { problem: format!("{shown}: {}", error.problem), ..error }.reason(&reasons::EXTERNAL_ACCOUNT);
        error.or_advice("write it with gcloud iam workload-identity-pools create-cred-config, and use it as it is")
    })
}

/// The `type` of the file at `path`; `None` where it is no such file.
pub fn type_of(path: &std::path::Path) -> Option<String> {
    let json: Value = serde_json::from_slice(without_mark(&world::read_file(path).ok()?)).ok()?;
    text(&json, "type").ok()?
}

/// Editors on Windows write a byte order mark.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Reads what such a file holds.
///
/// # Errors
/// A usage error that names the field and says what it should hold.
pub fn parse(bytes: &[u8]) -> Result<ExternalAccount> {
    let json: Value = serde_json::from_slice(without_mark(bytes)).map_err(|error| {
        let what = if error.is_eof() { "is cut short" } else { "is no JSON" };
        Error::usage(format!("the file {what} (line {}, column {})", error.line(), error.column()))
    })?;
    match text(&json, "type")?.as_deref() {
        Some("external_account") => {}
        None => return Err(missing("type")),
        Some(other) => {
            let advice = match other {
                "service_account" => {
                    "that is a key: delete it, and name the external-account file of a workload identity pool"
                }
                "authorized_user" => {
                    "that is a person's sign-in, which a workload should not have: name the external-account file of a \
                     workload identity pool"
                }
                "external_account_authorized_user" | "gdch_service_account" | "impersonated_service_account" => {
                    "name the external-account file that it was made from"
                }
                _ => return Err(wrong("type", "\"external_account\"")),
            };
            return Err(Error::usage(format!("\"type\" is {other:?}, not \"external_account\"")).advice(advice));
        }
    }
    let audience = required(&json, "audience")?;
    let subject_token_type = required(&json, "subject_token_type")?;
    let impersonation = object(&json, "service_account_impersonation", "service_account_impersonation")?;
    let client = text(&json, "client_id")?.zip(text(&json, "client_secret")?.map(SecretString::from));
    Ok(ExternalAccount {
        source: source(&json, &subject_token_type)?,
        audience,
        subject_token_type,
        token_url: text(&json, "token_url")?,
        impersonation_url: text(&json, "service_account_impersonation_url")?,
        lifetime: lifetime(impersonation)?,
        universe_domain: text(&json, "universe_domain")?,
        quota_project: text(&json, "quota_project_id")?,
        client,
        user_project: text(&json, "workforce_pool_user_project")?,
    })
}

/// Python's client sends on whatever stands there, be it a text, and takes zero for none.
fn lifetime(impersonation: &Value) -> Result<Option<Duration>> {
    let value = field(impersonation, "token_lifetime_seconds");
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        value => value.to_string(),
    };
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let seconds = whole.parse().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()));
    if is_nothing(value) || seconds == Some(0) && part.trim_matches('0').is_empty() {
        return Ok(None);
    }
    let seconds = seconds.filter(|seconds| (1..=43_200).contains(seconds));
    let name = "service_account_impersonation.token_lifetime_seconds";
    Ok(Some(Duration::from_secs(seconds.ok_or_else(|| wrong(name, "a number up to 43200"))?)))
}

fn source(json: &Value, subject_token_type: &str) -> Result<CredentialSource> {
    let source = field(json, "credential_source");
    if !source.is_object() {
        return Err(if source.is_null() {
            missing("credential_source")
        } else {
            wrong("credential_source", "an object")
        });
    }
    let text = |name: &str| text_of(source, name, &format!("credential_source.{name}"));
    let kinds = ["environment_id", "file", "executable", "certificate"].map(|kind| !is_nothing(field(source, kind)));
    let expects = |kind: &str| {
        if subject_token_type == kind || (kind == JWT && subject_token_type != AWS_REQUEST) {
            return Ok(());
        }
        Err(wrong("subject_token_type", &format!("{kind:?}, as its credential_source asks for")))
    };
    match kinds {
        // Beside it the others mean nothing to Google's clients.
        [true, file, executable, certificate]
            if subject_token_type == AWS_REQUEST || !(file || executable || certificate) =>
        {
            let id = text("environment_id")?.unwrap_or_default();
            if id.strip_prefix("aws").and_then(|version| version.parse().ok()) != Some(1) {
                return Err(wrong("credential_source.environment_id", "\"aws1\"")
                    .advice("a newer version of the format needs a newer fedboot; another cloud is not supported"));
            }
            expects(AWS_REQUEST)?;
            let verification_url = text("regional_cred_verification_url")?;
            let mut metadata = Vec::new();
            for name in ["url", "region_url", "imdsv2_session_token_url"] {
                metadata.extend(text(name)?);
            }
            Ok(CredentialSource::Aws {
                // As Go's client has it.
                verification_url: verification_url
                    .unwrap_or_else(|| format!("https://sts.{{region}}.amazonaws.com{}", caller_identity::QUERY)),
                metadata,
            })
        }
        [false, true, false, false] => {
            expects(JWT)?;
            Ok(CredentialSource::File(text("file")?.unwrap_or_default().into(), format(source)?))
        }
        [false, false, true, false] => {
            expects(JWT)?;
            Ok(CredentialSource::Executable)
        }
        [false, false, false, true] => Err(Error::usage("\"credential_source.certificate\" is not supported")
            .advice("use an AWS, a file-sourced or a URL-sourced provider")),
        [false, false, false, false] => {
            let Some(url) = text("url")? else {
                return Err(Error::usage("\"credential_source\" has none of environment_id, file, url, executable"));
            };
            expects(JWT)?;
            let mut headers = Vec::new();
            let given = object(source, "headers", "credential_source.headers")?;
            for (name, value) in given.as_object().into_iter().flatten() {
                let value = value.as_str().ok_or_else(|| wrong("credential_source.headers", "an object of strings"))?;
                headers.push((name.clone(), SecretString::from(value)));
            }
            Ok(CredentialSource::Url(url, headers, format(source)?))
        }
        _ => Err(Error::usage(
            "\"credential_source\" has more than one of environment_id, file, executable, certificate",
        )),
    }
}

fn format(source: &Value) -> Result<SubjectTokenFormat> {
    let format = object(source, "format", "credential_source.format")?;
    let text = |name: &str| text_of(format, name, &format!("credential_source.format.{name}"));
    match text("type")?.as_deref() {
        None | Some("text") => Ok(SubjectTokenFormat::Text),
        Some("json") => text("subject_token_field_name")?
            .map(SubjectTokenFormat::Json)
            .ok_or_else(|| missing("credential_source.format.subject_token_field_name")),
        Some(_) => Err(wrong("credential_source.format.type", "\"text\" or \"json\"")),
    }
}

/// The object called `name`, if there is one.
fn object<'a>(json: &'a Value, name: &str, field: &str) -> Result<&'a Value> {
    match self::field(json, name) {
        value if value.is_object() || is_nothing(value) => Ok(value),
        _ => Err(wrong(field, "an object")),
    }
}

fn field<'a>(json: &'a Value, name: &str) -> &'a Value {
    json.get(name).unwrap_or(&Value::Null)
}

/// What somebody's template leaves of a field that it has no value for.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn text(json: &Value, name: &str) -> Result<Option<String>> {
    text_of(json, name, name)
}

/// A text without the white space around it, which what is pasted or written by a template has.
fn text_of(json: &Value, name: &str, field: &str) -> Result<Option<String>> {
    match self::field(json, name) {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) if text.trim().contains(char::is_control) => Err(wrong(field, "one line of text")),
        Value::String(text) => Ok(Some(text.trim().to_owned())),
        _ => Err(wrong(field, "a string")),
    }
}

fn required(json: &Value, name: &str) -> Result<String> {
    text(json, name)?.ok_or_else(|| missing(name))
}

fn missing(field: &str) -> Error {
    Error::usage(format!("\"{field}\" is missing"))
}

fn wrong(field: &str, should: &str) -> Error {
    Error::usage(format!("\"{field}\" must be {should}"))
}
