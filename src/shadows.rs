//! What would keep the command's clients from what was delivered, as they look there first.

use std::path::{Path, PathBuf};

use crate::shown;
use crate::world::{self, World};

/// What AWS's clients look at before a profile, a file or an endpoint.
pub const AWS: &[&str] = &[
    // <https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html>
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    // Other names of the first three: <https://github.com/aws/aws-sdk-go-v2/blob/main/config/env_config.go>,
    // <https://github.com/aws/aws-sdk-java/blob/master/aws-java-sdk-core/src/main/java/com/amazonaws/SDKGlobalConfiguration.java>.
    "AWS_ACCESS_KEY",
    "AWS_SECRET_KEY",
    // A token before the usual one, an end of keys that are others now, and the files of older programs:
    // <https://github.com/boto/botocore/blob/develop/botocore/credentials.py>.
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CREDENTIAL_FILE",
    "BOTO_CONFIG",
];

/// What Google's clients look at before they ask the metadata server, or what keeps them from it.
pub const GOOGLE: &[&str] = &[
    // <https://github.com/googleapis/google-auth-library-python/blob/main/google/auth/environment_vars.py>; Node knows the
    // first in small letters, too: <https://github.com/googleapis/google-auth-library-nodejs/blob/main/src/auth/googleauth.ts>.
    "GOOGLE_APPLICATION_CREDENTIALS",
    "google_application_credentials",
    "NO_GCE_CHECK",
    // <https://github.com/googleapis/gcp-metadata/blob/main/src/index.ts>
    "METADATA_SERVER_DETECTION",
    // gcloud's properties: <https://cloud.google.com/sdk/gcloud/reference/config/set>.
    "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
    "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
    "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT",
    "CLOUDSDK_AUTH_DISABLE_CREDENTIALS",
    "CLOUDSDK_CORE_CHECK_GCE_METADATA",
    // Terraform, Pulumi: <https://registry.terraform.io/providers/hashicorp/google/latest/docs/guides/provider_reference>,
    // <https://developer.hashicorp.com/terraform/language/backend/gcs>.
    "GOOGLE_CREDENTIALS",
    "GOOGLE_CLOUD_KEYFILE_JSON",
    "GCLOUD_KEYFILE_JSON",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT",
    "GOOGLE_BACKEND_CREDENTIALS",
    "GOOGLE_BACKEND_IMPERSONATE_SERVICE_ACCOUNT",
    // <https://docs.rs/object_store/latest/object_store/gcp/enum.GoogleConfigKey.html>
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
];

/// Warnings about boto's own files with keys, which botocore reads before it asks an endpoint:
/// <https://github.com/boto/botocore/blob/develop/botocore/credentials.py>.
pub fn boto_files(world: &World) -> Vec<String> {
    let own = world.home.as_ref().map(|home| home.join(".boto"));
    let has_keys = |file: &Path| {
        let content = world::read_file(file).unwrap_or_default();
        String::from_utf8_lossy(&content).lines().any(|line| line.trim_start().starts_with("aws_access_key_id"))
    };
    let files = [Some(PathBuf::from("/etc/boto.cfg")), own].into_iter().flatten().filter(|file| has_keys(file));
    files
        .map(|file| format!("{} holds AWS keys, and boto3 finds them first: remove them", shown::path(&file)))
        .collect()
}
