//! What a program finds where it runs, in its environment and in files: on an instance on Google Cloud, or at a place on
//! AWS from which Google is asked.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use crate::aws::{container, session};
use crate::google::iam_credentials;
use crate::jwt::issuers;
use crate::settings::names::{AwsPlace, Port};
use crate::settings::provider::Provider;
use crate::state::State;
use crate::state::issued::Issued;

/// The profile of [`AwsPlace::Profile`].
const PROFILE: &str = "workload";
/// Variables that would lead a child past the sandbox.
const UNSET: &str = "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_SECURITY_TOKEN \
    AWS_CREDENTIAL_EXPIRATION AWS_PROFILE AWS_DEFAULT_PROFILE AWS_ROLE_ARN AWS_ROLE_SESSION_NAME \
    AWS_WEB_IDENTITY_TOKEN_FILE AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_CONTAINER_CREDENTIALS_FULL_URI \
    AWS_CONTAINER_AUTHORIZATION_TOKEN AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE AWS_SHARED_CREDENTIALS_FILE \
    AWS_CONFIG_FILE AWS_ENDPOINT_URL AWS_IGNORE_CONFIGURED_ENDPOINT_URLS AWS_USE_FIPS_ENDPOINT \
    AWS_USE_DUALSTACK_ENDPOINT GOOGLE_APPLICATION_CREDENTIALS NO_GCE_CHECK";
/// Those that would lead it past a place on AWS.
const UNSET_ON_AWS: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE \
    AWS_EC2_METADATA_DISABLED FEDBOOT_ROLE_ARN GCE_METADATA_HOST GCE_METADATA_IP GCE_METADATA_ROOT AWS_REGION \
    AWS_DEFAULT_REGION";

type Variables = Vec<(&'static str, String)>;

/// The environment of the place on AWS, or of an instance on Google Cloud.
pub(crate) fn env(state: &State, place: Option<AwsPlace>) -> Vec<(String, String)> {
    let variables = place.map_or_else(|| on_google(state), |place| on_aws(state, place));
    variables.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

/// What must not be there, beside what [`env`] sets.
pub(crate) fn env_remove(state: &State, place: Option<AwsPlace>) -> Vec<&'static str> {
    let Some(place) = place else {
        return UNSET.split_whitespace().collect();
    };
    let set = on_aws(state, place);
    let all = UNSET.split_whitespace().chain(UNSET_ON_AWS.split_whitespace());
    all.filter(|name| set.iter().all(|(other, _)| other != name)).collect()
}

fn on_google(state: &State) -> Variables {
    let settings = state.settings();
    let metadata = state.addresses.of(Port::Metadata).to_string();
    let mut env = vec![
        ("GCE_METADATA_HOST", metadata.clone()),
        ("GCE_METADATA_IP", metadata.clone()),
        ("GCE_METADATA_ROOT", metadata),
        ("AWS_ENDPOINT_URL_STS", state.addresses.url(Port::StsTls)),
        ("AWS_CA_BUNDLE", text(ca_file(state))),
        ("AWS_REGION", settings.region.clone()),
        ("AWS_DEFAULT_REGION", settings.region),
        ("FEDBOOT_IAM_CREDENTIALS_ENDPOINT", state.addresses.url(Port::GoogleTls)),
        ("FEDBOOT_SANDBOX", state.addresses.url(Port::Control)),
    ];
    env.extend(settings.roles.first().map(|role| ("FEDBOOT_ROLE_ARN", role.arn.clone())));
    env
}

fn on_aws(state: &State, place: AwsPlace) -> Variables {
    let settings = state.settings();
    let mut env = vec![
        ("AWS_CA_BUNDLE", text(ca_file(state))),
        ("AWS_CONFIG_FILE", text(shared_file(state, "config"))),
        ("AWS_ENDPOINT_URL_STS", state.addresses.url(Port::StsTls)),
        ("AWS_SHARED_CREDENTIALS_FILE", text(shared_file(state, "credentials"))),
        ("FEDBOOT_SANDBOX", state.addresses.url(Port::Control)),
        ("GOOGLE_APPLICATION_CREDENTIALS", text(external_account_file(state))),
    ];
    let on_loopback = |port| state.addresses.of(port).ip().is_loopback();
    if on_loopback(Port::Imds) {
        env.push(("AWS_EC2_METADATA_SERVICE_ENDPOINT", state.addresses.url(Port::Imds)));
    }
    if place != AwsPlace::Imds {
        env.push(("AWS_REGION", settings.region.clone()));
    }
    let container = |path: &str| format!("{}{path}", state.addresses.url(Port::Container));
    match place {
        AwsPlace::Environment => {
            let keys = keys(state, "environment");
            env.extend([
                ("AWS_ACCESS_KEY_ID", keys.access_key_id),
                ("AWS_SECRET_ACCESS_KEY", keys.secret_access_key),
                ("AWS_SESSION_TOKEN", keys.session_token),
            ]);
        }
        AwsPlace::Profile => env.push(("AWS_PROFILE", PROFILE.into())),
        AwsPlace::WebIdentity => env.extend([
            ("AWS_ROLE_ARN", settings.workload_role),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", text(state.pod.sts_token_file())),
        ]),
        AwsPlace::Ecs => {
            let path = container::task_path(&state.task_id);
            env.push(if on_loopback(Port::Container) {
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container(&path))
            } else {
                ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", path)
            });
        }
        AwsPlace::PodIdentity => env.extend([
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container(container::PODS)),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", text(state.pod.identity_token_file())),
        ]),
        AwsPlace::Imds => {}
    }
    env
}

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

/// Writes what is there in files: the external account, and the shared files of a profile.
pub(crate) fn furnish(state: &State) -> anyhow::Result<()> {
    let write = |file: PathBuf, content: String| std::fs::write(&file, content).with_context(|| text(file));
    write(external_account_file(state), format!("{:#}\n", external_account(state)))?;
    if state.place != Some(AwsPlace::Profile) {
        return Ok(());
    }
    let Issued { access_key_id: id, secret_access_key: secret, session_token: token, .. } = keys(state, "profile");
    std::fs::create_dir_all(shared_file(state, "")).context("shared files")?;
    write(
        shared_file(state, "credentials"),
        format!(
            "[{PROFILE}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\naws_session_token = {token}\n"
        ),
    )?;
    write(shared_file(state, "config"), format!("[profile {PROFILE}]\nregion = {}\n", state.settings().region))
}

/// The authority that signs the certificates.
pub(crate) fn ca_file(state: &State) -> PathBuf {
    state.directory.path().join("ca.pem")
}

fn shared_file(state: &State, name: &str) -> PathBuf {
    state.directory.path().join("aws").join(name)
}

/// The keys that nobody renews: those of the environment and of a profile.
fn keys(state: &State, session: &str) -> Issued {
    let settings = state.settings();
    session::at_place(state, &settings, &settings.workload_role, session)
}

/// Where the external account is written.
pub(crate) fn external_account_file(state: &State) -> PathBuf {
    state.directory.path().join("external-account.json")
}

/// The file that `gcloud iam workload-identity-pools create-cred-config` writes for AWS, led to the sandbox where
/// Google is asked.
pub(crate) fn external_account(state: &State) -> Value {
    let settings = state.settings();
    let imds = "http://169.254.169.254/latest";
    let mut account = for_provider(state, settings.providers.iter().find(|provider| provider.account().is_some()));
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
pub(crate) fn external_account_of_pod(state: &State) -> Value {
    let settings = state.settings();
    let eks = settings.providers.iter().find(|provider| provider.issuer() == Some(issuers::EKS));
    let mut account = for_provider(state, eks);
    account["subject_token_type"] = json!("urn:ietf:params:oauth:token-type:jwt");
    account["credential_source"] = json!({"file": state.pod.google_token_file(), "format": {"type": "text"}});
    account
}

fn for_provider(state: &State, provider: Option<&Provider>) -> Value {
    let mut account = json!({
        "universe_domain": "googleapis.com",
        "type": "external_account",
        "audience": provider.map(Provider::audience),
        "token_url": format!("{}/v1/token", state.addresses.url(Port::GoogleSts)),
    });
    if let Some(target) = state.settings().service_account {
        let method = format!("{}:generateAccessToken", target.email);
        let url = format!("{}{}{method}", state.addresses.url(Port::Google), iam_credentials::ACCOUNTS);
        account["service_account_impersonation_url"] = json!(url);
    }
    account
}
