//! What was typed + environment + external-account file → what is meant for AWS → Google.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::config::aws_identity::AwsIdentityConfig;
use crate::config::delivery::GoogleDeliveryConfig;
use crate::config::external_account::{self, CredentialSource, ExternalAccount};
use crate::config::options::Options;
use crate::config::values::{self, switch};
use crate::config::{scopes, to_aws};
use crate::delivery::metadata_server::About;
use crate::error::{Error, Result, reasons};
use crate::exchange::sts::caller_identity;
use crate::format::subject_token_format::SubjectTokenFormat;
use crate::model::provider;
use crate::model::request::scopes_in_order;
use crate::system::http::{Endpoint, percent_decoded};
use crate::system::input::{InputFile, InputValue};
use crate::system::world::World;

/// What the agent needs to know, and whoever exchanges without one.
#[derive(Debug)]
pub struct ToGoogleConfig {
    /// What is asked of Google, and with which proof.
    pub exchange: TokenExchange,
    /// What the metadata server says of the project.
    pub project: Project,
    /// Where tokens are delivered.
    pub delivery: GoogleDeliveryConfig,
    /// Whether to refresh.
    pub refresh: bool,
}

/// What is asked of Google, and with which proof: whoever asks the same may have the same token.
#[derive(Clone, Debug)]
pub struct TokenExchange {
    /// The provider, as `//iam.googleapis.com/…`.
    pub audience: String,
    /// Where the proof comes from.
    pub proof: ProofChoice,
    /// The AWS identity behind it.
    pub aws: AwsIdentityConfig,
    /// Google's STS: its endpoint and path.
    pub sts: (Endpoint, String),
    /// By which OAuth client the pool knows its caller, and the project that is charged.
    pub client: (Option<(String, SecretString)>, Option<String>),
    /// The service account to be, and where; none where the pool's own principal has the rights.
    pub service_account: Option<(Endpoint, String)>,
    /// Scopes of the usual access token.
    pub scopes: Vec<String>,
    /// How long access tokens shall live.
    pub lifetime: Duration,
}

/// Where the proof comes from.
#[derive(Clone, Debug)]
pub enum ProofChoice {
    /// A signed `GetCallerIdentity`, to this URL with `{region}` in it.
    SignedRequest(String),
    /// A token of AWS's `GetWebIdentityToken` for this audience.
    WebIdentityToken(String),
    /// Somebody else's token in a file, in this format, of this type.
    File(InputFile, SubjectTokenFormat, String),
    /// Somebody else's token from a URL, with these headers, in this format, of this type.
    Url(String, Vec<(String, SecretString)>, SubjectTokenFormat, String),
}

/// What the metadata server says of the project.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its id.
    pub id: Option<String>,
    /// The number of the pool's project.
    pub number: Option<u64>,
    /// Whose Google this is.
    pub universe: String,
}

/// The scope of all that Google Cloud has.
pub const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
const LONGEST: Duration = Duration::from_secs(43_200);

impl ToGoogleConfig {
    /// Reads everything. `may_be_executable`: this fedboot may be the program that the file's `executable` names.
    ///
    /// # Errors
    /// A usage error that names the option or the file's field, and what is wrong with it.
    pub fn resolve(options: &Options, world: &World, may_be_executable: bool) -> Result<Self> {
        let text = |name: &str| options.text(world, name);
        let allow_http = switch(options, world, "allow-http")?;
        let typed = text("workload-identity-provider")?.map(|name| provider(&name)).transpose()?;
        // google-auth tells its executable whom the token is for.
        let told = world.text_variable("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE").filter(|_| may_be_executable);
        let named = typed.or(told);
        let (audience, file) = match (named, options.value(world, "external-account")) {
            (Some(_), _) if options.value_said_to_fedboot(world, "external-account").is_some() => {
                return Err(Error::usage("--workload-identity-provider and --external-account exclude each other"));
            }
            (Some(name), _) => (name, None),
            (None, Some(file)) => {
                let file = external_account::read(&file.file(world))?;
                (file.audience.clone(), Some(file))
            }
            (None, None) => {
                return Err(Error::usage("").because(&reasons::NO_PROVIDER, &[]));
            }
        };
        let file_says = |field: fn(&ExternalAccount) -> Option<&String>| file.as_ref().and_then(field).cloned();
        let universe = file_says(|file| file.universe_domain.as_ref()).unwrap_or_else(|| "googleapis.com".into());
        let url = |option: &str, field: &str, said: Option<String>, usual: String| {
            let said = said.map(|said| InputValue::new(format!("\"{field}\""), said));
            let url = text(option)?.or(said).unwrap_or_else(|| InputValue::new(format!("--{option}"), usual));
            url.endpoint_with_path(allow_http)
        };
        let (sts, path) = url(
            "google-sts-endpoint",
            "token_url",
            // As Python's client has it in its own default.
            file_says(|file| file.token_url.as_ref()).map(|url| url.replace("{universe_domain}", &universe)),
            format!("https://sts.{universe}"),
        )?;
        let path = if path.trim_matches('/').is_empty() { "/v1/token".into() } else { path };
        let impersonation = file_says(|file| file.impersonation_url.as_ref());
        let in_file = impersonation.as_deref().map(account_of).transpose()?;
        let typed = text("impersonate-service-account")?;
        let typed = typed.map(|name| check_account(&name)).transpose()?;
        let service_account = match typed.or(in_file.as_ref().map(|(email, _)| email.clone())) {
            None => None,
            Some(email) => {
                let said = in_file.map(|(_, origin)| origin);
                let usual = format!("https://iamcredentials.{universe}");
                let (endpoint, rest) =
                    url("iam-credentials-endpoint", "service_account_impersonation_url", said, usual)?;
                if !rest.trim_matches('/').is_empty() {
                    return Err(Error::usage("--iam-credentials-endpoint must have no path"));
                }
                Some((endpoint, email))
            }
        };
        let aws = AwsIdentityConfig::resolve(options, world, file.as_ref())?;
        let quota_project = file_says(|file| file.quota_project.as_ref());
        let lifetime = match values::duration(options, world, "duration")? {
            Some(lifetime) if lifetime > LONGEST => {
                return Err(Error::usage("--duration is more than the 12 h that Google may give an access token"));
            }
            Some(lifetime) => lifetime,
            None => file.as_ref().and_then(|file| file.lifetime).unwrap_or(Duration::from_secs(3600)),
        };
        let mut wanted = Vec::new();
        for given in options.texts(world, "scope")? {
            wanted.push(scopes::check(&given)?);
        }
        if wanted.is_empty() {
            wanted.push(CLOUD_PLATFORM.into());
        }
        let email = service_account.as_ref().map(|(_, email)| email.as_str());
        let number = audience.split("projects/").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
        let id = options
            .free_text(world, "project")?
            .or(quota_project)
            .or_else(|| project_of(email?))
            .or(number.map(|n: u64| n.to_string()));
        let client = file.as_ref().map(|file| (file.client.clone(), file.user_project.clone())).unwrap_or_default();
        let proof = proof(options, world, file, &audience, may_be_executable)?;
        Ok(Self {
            exchange: TokenExchange {
                proof,
                aws,
                sts: (sts, path),
                client,
                service_account,
                scopes: scopes_in_order(wanted),
                lifetime,
                audience,
            },
            project: Project { id, number, universe },
            delivery: GoogleDeliveryConfig::resolve(options, world)?,
            refresh: !switch(options, world, "no-refresh")?,
        })
    }

    /// What the metadata server says.
    pub fn about(&self, world: &World) -> About {
        About {
            email: match &self.exchange.service_account {
                Some((_, email)) => email.clone(),
                None => self.trust_domain(),
            },
            scopes: self.exchange.scopes.clone(),
            project_id: self.project.id.clone(),
            project_number: self.project.number,
            universe: self.project.universe.clone(),
            hostname: world.hostname.clone(),
        }
    }

    /// The pool as Google names it where an address is wanted:
    /// <https://cloud.google.com/iam/docs/managed-workload-identity>.
    fn trust_domain(&self) -> String {
        let pool = self.exchange.pool().rsplit('/').next().unwrap_or_default();
        match self.project.number {
            Some(number) => format!("{pool}.global.{number}.workload.id.goog"),
            None => pool.into(),
        }
    }
}

impl TokenExchange {
    /// A text that no other question has. It stands in files, and what was asked with may be secret, so it is a hash of
    /// all that tells one from another.
    pub fn request(&self) -> String {
        let headers = match &self.proof {
            ProofChoice::Url(_, headers, ..) => headers.as_slice(),
            _ => &[],
        };
        let secrets = headers.iter().chain(&self.client.0).map(|(_, secret)| secret.expose_secret());
        let named = match &self.proof {
            ProofChoice::File(file, ..) => Some(file.path()),
            _ => None,
        };
        let all = (format!("{self:?}"), self.aws.distinguishing(), named, secrets.collect::<Vec<_>>());
        // Two of 64 bits each, as one might be found twice.
        let hash = |salt: u8| {
            let mut hash = DefaultHasher::new();
            (salt, &all).hash(&mut hash);
            hash.finish()
        };
        format!("{} {:016x}{:016x}", self.principal(), hash(0), hash(1))
    }

    /// Who acts with the tokens: the service account, else the pool.
    pub fn principal(&self) -> String {
        match &self.service_account {
            Some((_, email)) => email.clone(),
            None => self.pool().into(),
        }
    }

    /// The pool, from `projects/` or `locations/` on.
    pub fn pool(&self) -> &str {
        self.provider().and_then(|provider| provider.split("/providers/").next()).unwrap_or("pool")
    }

    /// The provider, from `projects/` or `locations/` on, where the audience is one.
    fn provider(&self) -> Option<&str> {
        provider::provider_in(&self.audience)
    }
}

/// `projects/N/locations/global/workloadIdentityPools/P/providers/Q`, with or without the service's name before it.
fn provider(given: &InputValue) -> Result<String> {
    let path =
        given.text()?.trim_start_matches("https:").trim_start_matches("//iam.googleapis.com/").trim_start_matches('/');
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["projects", number, "locations", _, "workloadIdentityPools", pool, "providers", provider]
            if provider::are_names(&[number, pool, provider]) =>
        {
            if number.bytes().all(|byte| byte.is_ascii_digit()) {
                return Ok(format!("//iam.googleapis.com/{path}"));
            }
            Err(given
                .bad("has no project number behind projects/")
                .advice("gcloud projects describe PROJECT --format 'value(projectNumber)' says it"))
        }
        _ => Err(given
            .bad("is no provider's name")
            .advice("write projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER")),
    }
}

/// The service account, and the URL without the path, of `…/v1/projects/-/serviceAccounts/EMAIL:generateAccessToken`.
fn account_of(url: &str) -> Result<(String, String)> {
    let field = "\"service_account_impersonation_url\"";
    let parsed = url.split('?').next().unwrap_or_default().split_once("/v1/projects/").and_then(|(origin, rest)| {
        let (_, action) = rest.split_once("/serviceAccounts/")?;
        Some((action.strip_suffix(":generateAccessToken")?, origin))
    });
    let Some((account, origin)) = parsed else {
        return Err(Error::usage(format!(
            "{field} must be https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/EMAIL:generateAccessToken"
        )));
    };
    let account = InputValue::new(format!("what stands behind serviceAccounts/ in {field}"), percent_decoded(account));
    Ok((check_account(&account)?, origin.to_owned()))
}

/// A service account's email or its unique id, which IAM Credentials takes as well.
fn check_account(name: &InputValue) -> Result<String> {
    let text = name.text()?;
    let is_id = (10..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_id { Ok(text.to_owned()) } else { to_aws::check_service_account(name) }
}

/// The project in which a service account was made.
fn project_of(email: &str) -> Option<String> {
    let (_, domain) = email.split_once('@')?;
    domain.strip_suffix(".iam.gserviceaccount.com").map(str::to_owned)
}

#[derive(Clone, Copy)]
enum Kind {
    SignedRequest,
    WebIdentityToken,
}

fn proof(
    options: &Options,
    world: &World,
    file: Option<ExternalAccount>,
    audience: &str,
    may_be_executable: bool,
) -> Result<ProofChoice> {
    let token_audience = options.free_text(world, "subject-token-audience")?;
    let kinds = [("signed-request", Kind::SignedRequest), ("web-identity-token", Kind::WebIdentityToken)];
    // What a provider expects where it names no audience of its own.
    let own = || token_audience.clone().unwrap_or_else(|| format!("https:{audience}"));
    let in_file = file.map(|file| (file.source, file.subject_token_type));
    let proof = match (values::chosen(options, world, "proof", &kinds)?, in_file) {
        (Some(Kind::WebIdentityToken), _) => ProofChoice::WebIdentityToken(own()),
        // A client that exchanges by itself takes no other.
        (None, None | Some((CredentialSource::Executable, _))) if may_be_executable => {
            ProofChoice::WebIdentityToken(own())
        }
        (None | Some(Kind::SignedRequest), Some((CredentialSource::Aws { verification_url, .. }, _))) => {
            ProofChoice::SignedRequest(verification_url)
        }
        (Some(Kind::SignedRequest), _) | (None, None) => {
            ProofChoice::SignedRequest(format!("https://sts.{{region}}.amazonaws.com{}", caller_identity::QUERY))
        }
        (None, Some((CredentialSource::Executable, _))) => {
            return Err(Error::usage("\"credential_source.executable\": fedboot runs no other program for a token")
                .advice("with --proof web-identity-token it asks AWS itself"));
        }
        (None, Some((CredentialSource::File(path, format), kind))) => {
            ProofChoice::File(InputValue::new("\"credential_source.file\"", path).file(world), format, kind)
        }
        (None, Some((CredentialSource::Url(url, headers, format), kind))) => {
            ProofChoice::Url(url, headers, format, kind)
        }
    };
    let url = match &proof {
        ProofChoice::SignedRequest(url) => {
            Some(("regional_cred_verification_url", url.replace("{region}", "us-east-1")))
        }
        ProofChoice::Url(url, ..) => Some(("url", url.clone())),
        _ => None,
    };
    if let Some((field, url)) = url {
        let given = InputValue::new(format!("\"credential_source.{field}\""), url);
        given.endpoint_with_path(switch(options, world, "allow-http")?)?;
    }
    if token_audience.is_some() && !matches!(proof, ProofChoice::WebIdentityToken(_)) {
        return Err(Error::usage("--subject-token-audience is for --proof web-identity-token"));
    }
    Ok(proof)
}
