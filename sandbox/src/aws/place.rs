//! The places on AWS from which Google is asked: what a program finds there, in its environment and in files.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::aws::{container, session};
use crate::clouds::{self, Clouds};
use crate::google::provider::Provider;
use crate::server::Port;
use crate::state::Issued;

/// A place where a program finds AWS credentials, in the order in which the SDKs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsPlace {
    /// Keys in the environment.
    Environment,
    /// Keys in a profile of the shared files.
    Profile,
    /// A pod with IAM roles for service accounts: a token file that STS takes.
    WebIdentity,
    /// A task on ECS or Fargate.
    Ecs,
    /// A pod with EKS Pod Identity.
    PodIdentity,
    /// An EC2 instance with a role.
    Imds,
}

/// The profile of [`AwsPlace::Profile`].
const PROFILE: &str = "workload";
/// Variables that would lead past the place.
const UNSET: [&str; 9] = [
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_EC2_METADATA_DISABLED",
    "FEDBOOT_ROLE_ARN",
    "GCE_METADATA_HOST",
    "GCE_METADATA_IP",
    "GCE_METADATA_ROOT",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
];

impl AwsPlace {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Environment, Self::Profile, Self::WebIdentity, Self::Ecs, Self::PodIdentity, Self::Imds];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Profile => "profile",
            Self::WebIdentity => "web-identity",
            Self::Ecs => "ecs",
            Self::PodIdentity => "pod-identity",
            Self::Imds => "imds",
        }
    }

    /// The port of its credentials with the address that it has on AWS.
    pub(crate) fn real_address(self) -> Option<(Port, SocketAddr)> {
        match self {
            Self::Environment | Self::Profile | Self::WebIdentity => None,
            Self::Ecs => Some((Port::Container, ([169, 254, 170, 2], 80).into())),
            Self::PodIdentity => Some((Port::Container, ([169, 254, 170, 23], 80).into())),
            Self::Imds => Some((Port::Imds, ([169, 254, 169, 254], 80).into())),
        }
    }
}

impl FromStr for AwsPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|place| place.name() == text.replace('_', "-"))
            .ok_or_else(|| format!("no source \"{text}\": {names}"))
    }
}

/// What a program finds in its environment at the place.
pub(crate) fn env(clouds: &Clouds, place: AwsPlace) -> Vec<(String, String)> {
    let settings = clouds.state.settings();
    let text = |path: PathBuf| path.display().to_string();
    let mut env = vec![
        ("AWS_CA_BUNDLE", text(clouds.ca_file())),
        ("AWS_CONFIG_FILE", text(shared_file(clouds, "config"))),
        ("AWS_ENDPOINT_URL_STS", clouds.url(Port::StsTls)),
        ("AWS_SHARED_CREDENTIALS_FILE", text(shared_file(clouds, "credentials"))),
        ("FEDBOOT_SANDBOX", clouds.url(Port::Control)),
        ("GOOGLE_APPLICATION_CREDENTIALS", text(external_account_file(clouds))),
    ];
    let on_loopback = |port| clouds.address(port).ip().is_loopback();
    if on_loopback(Port::Imds) {
        env.push(("AWS_EC2_METADATA_SERVICE_ENDPOINT", clouds.url(Port::Imds)));
    }
    if place != AwsPlace::Imds {
        env.push(("AWS_REGION", settings.region.clone()));
    }
    let container = |path: &str| format!("{}{path}", clouds.url(Port::Container));
    match place {
        AwsPlace::Environment => {
            let keys = keys(clouds, place);
            env.extend([
                ("AWS_ACCESS_KEY_ID", keys.access_key_id),
                ("AWS_SECRET_ACCESS_KEY", keys.secret_access_key),
                ("AWS_SESSION_TOKEN", keys.session_token),
            ]);
        }
        AwsPlace::Profile => env.push(("AWS_PROFILE", PROFILE.into())),
        AwsPlace::WebIdentity => env.extend([
            ("AWS_ROLE_ARN", settings.workload_role),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", text(clouds.state.pod.sts_token_file())),
        ]),
        AwsPlace::Ecs => {
            let path = container::task_path(&clouds.state.task_id);
            env.push(if on_loopback(Port::Container) {
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container(&path))
            } else {
                ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", path)
            });
        }
        AwsPlace::PodIdentity => env.extend([
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container(container::PODS)),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", text(clouds.state.pod.identity_token_file())),
        ]),
        AwsPlace::Imds => {}
    }
    env.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

/// What must not be there, beside what [`env`] sets.
pub(crate) fn env_remove(clouds: &Clouds, place: AwsPlace) -> Vec<&'static str> {
    let set = env(clouds, place);
    let all = clouds::UNSET.into_iter().chain(UNSET);
    all.filter(|name| set.iter().all(|(other, _)| other != name)).collect()
}

/// Writes what the place has in files: the external account, and the shared files of a profile.
pub(crate) fn furnish(clouds: &Clouds, place: Option<AwsPlace>) -> Result<(), String> {
    let write =
        |file: PathBuf, text: String| std::fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()));
    write(external_account_file(clouds), format!("{:#}\n", external_account(clouds)))?;
    let Some(place @ AwsPlace::Profile) = place else {
        return Ok(());
    };
    let keys = keys(clouds, place);
    let directory = shared_file(clouds, "");
    std::fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let (id, secret, token) = (keys.access_key_id, keys.secret_access_key, keys.session_token);
    write(
        shared_file(clouds, "credentials"),
        format!(
            "[{PROFILE}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\naws_session_token = {token}\n"
        ),
    )?;
    write(shared_file(clouds, "config"), format!("[profile {PROFILE}]\nregion = {}\n", clouds.state.settings().region))
}

fn shared_file(clouds: &Clouds, name: &str) -> PathBuf {
    clouds.directory.path().join("aws").join(name)
}

/// The keys that nobody renews: those of the environment and of a profile.
fn keys(clouds: &Clouds, place: AwsPlace) -> Issued {
    let settings = clouds.state.settings();
    session::at_place(&clouds.state, &settings, &settings.workload_role, place.name())
}

/// Where the external account is written.
pub(crate) fn external_account_file(clouds: &Clouds) -> PathBuf {
    clouds.directory.path().join("external-account.json")
}

/// The file that `gcloud iam workload-identity-pools create-cred-config` writes for AWS, led to the sandbox where
/// Google is asked.
pub(crate) fn external_account(clouds: &Clouds) -> Value {
    let settings = clouds.state.settings();
    let imds = "http://169.254.169.254/latest";
    let mut account = for_provider(clouds, settings.providers.iter().find(|provider| provider.account().is_some()));
    account["subject_token_type"] = json!("urn:ietf:params:aws:token-type:aws4_request");
    account["credential_source"] = json!({
        "environment_id": "aws1",
        "region_url": format!("{imds}/meta-data/placement/availability-zone"),
        "url": format!("{imds}/meta-data/iam/security-credentials"),
        "regional_cred_verification_url":
            "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
        "imdsv2_session_token_url": format!("{imds}/api/token"),
    });
    account
}

/// The same for a pod whose projected token Google takes itself.
pub(crate) fn external_account_of_pod(clouds: &Clouds) -> Value {
    let settings = clouds.state.settings();
    let eks = settings.providers.iter().find(|provider| provider.issuer() == Some(crate::issuers::EKS));
    let mut account = for_provider(clouds, eks);
    account["subject_token_type"] = json!("urn:ietf:params:oauth:token-type:jwt");
    account["credential_source"] = json!({"file": clouds.state.pod.google_token_file(), "format": {"type": "text"}});
    account
}

fn for_provider(clouds: &Clouds, provider: Option<&Provider>) -> Value {
    let mut account = json!({
        "universe_domain": "googleapis.com",
        "type": "external_account",
        "audience": provider.map(Provider::audience),
        "token_url": format!("{}/v1/token", clouds.url(Port::GoogleSts)),
    });
    if let Some(target) = clouds.state.settings().service_account {
        let method = format!("{}:generateAccessToken", target.email);
        let url = format!("{}{}{method}", clouds.url(Port::Google), crate::google::iam_credentials::ACCOUNTS);
        account["service_account_impersonation_url"] = json!(url);
    }
    account
}
