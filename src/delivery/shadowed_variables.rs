//! What would keep the command's clients from what was delivered, as they look there first.
//!
//! Variables are taken from the command; what stands in files, or in variables that say more than this, is named in a
//! warning. Here stands what an SDK or a tool looks at *by itself* before it comes to what fedboot delivered, as its source
//! says. What only sets something (regions, endpoints, time limits, how often a server is asked) is the user's, and so is
//! what an application was told as its own: a remote of rclone for S3, which need not be AWS's, a connection of Airflow's,
//! a property of Spring's, keys for one table's locks.

/// What AWS's clients look at before a profile, a file or an endpoint.
pub const AWS: &[&str] = &[
    // <https://github.com/boto/botocore/blob/develop/botocore/credentials.py>,
    // <https://github.com/aws/aws-sdk-go-v2/blob/main/config/env_config.go>,
    // <https://github.com/awslabs/aws-sdk-rust/tree/main/sdk/aws-config/src>,
    // <https://github.com/aws/aws-sdk-cpp/blob/main/src/aws-cpp-sdk-core/source/auth/AWSCredentialsProviderChain.cpp>,
    // <https://github.com/aws/aws-sdk-php/blob/master/src/Credentials/CredentialProvider.php>,
    // <https://github.com/aws/aws-sdk-js-v3/blob/main/packages/credential-provider-node/src/defaultProvider.ts>,
    // <https://github.com/aws/aws-sdk-java-v2/blob/master/core/sdk-core/src/main/java/software/amazon/awssdk/core/SdkSystemSetting.java>
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    // Other names of the first two; to Java's first SDK the second is the one that counts:
    // <https://github.com/aws/aws-sdk-go/blob/main/aws/session/env_config.go>,
    // <https://github.com/aws/aws-sdk-java/blob/master/aws-java-sdk-core/src/main/java/com/amazonaws/SDKGlobalConfiguration.java>.
    "AWS_ACCESS_KEY",
    "AWS_SECRET_KEY",
    // A token before the usual one, an end of keys that are others now, and the files of older programs: botocore's
    // credentials.py, <https://github.com/s3tools/s3cmd/blob/master/S3/Config.py>.
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CREDENTIAL_FILE",
    "BOTO_CONFIG",
    // <https://github.com/aws/aws-sdk-js/blob/master/lib/node_loader.js>,
    // <https://github.com/aws/aws-sdk-ruby/blob/version-3/gems/aws-sdk-core/lib/aws-sdk-core/credential_provider_chain.rb>
    "AMAZON_ACCESS_KEY_ID",
    "AMAZON_SECRET_ACCESS_KEY",
    "AMAZON_SESSION_TOKEN",
    // <https://github.com/s3fs-fuse/s3fs-fuse/blob/master/src/s3fs_cred.cpp>
    "AWSACCESSKEYID",
    "AWSSECRETACCESSKEY",
    "AWSSESSIONTOKEN",
    // Another name of the token, of which the one that is read last counts:
    // <https://github.com/apache/arrow-rs-object-store/blob/main/src/aws/builder.rs>.
    "AWS_TOKEN",
    // Java's first SDK takes its credentials file from here alone:
    // <https://github.com/aws/aws-sdk-java/blob/master/aws-java-sdk-core/src/main/java/com/amazonaws/profile/path/cred/CredentialsEnvVarOverrideLocationProvider.java>.
    "AWS_CREDENTIAL_PROFILES_FILE",
];

/// What Google's clients look at before they ask the metadata server, or what keeps them from it.
pub const GOOGLE: &[&str] = &[
    // <https://github.com/googleapis/google-auth-library-python/blob/main/google/auth/environment_vars.py>; Node knows the
    // first in small letters, too: <https://github.com/googleapis/google-auth-library-nodejs/blob/main/src/auth/googleauth.ts>.
    "GOOGLE_APPLICATION_CREDENTIALS",
    "google_application_credentials",
    "NO_GCE_CHECK",
    // Python asks no other server than Google's where this is `strict`:
    // <https://github.com/googleapis/google-auth-library-python/blob/main/google/auth/compute_engine/_mtls.py>.
    "GCE_METADATA_MTLS_MODE",
    // <https://github.com/googleapis/gcp-metadata/blob/main/src/index.ts>
    "METADATA_SERVER_DETECTION",
    // Cloud Shell's, which Java asks first:
    // <https://github.com/googleapis/google-auth-library-java/blob/main/oauth2_http/java/com/google/auth/oauth2/DefaultCredentialsProvider.java>.
    "DEVSHELL_CLIENT_PORT",
    // C++; the second in older versions:
    // <https://github.com/googleapis/google-cloud-cpp/blob/main/google/cloud/internal/oauth2_google_application_default_credentials_file.h>,
    // <https://github.com/googleapis/google-cloud-cpp/blob/v0.21.0/google/cloud/internal/compute_engine_util.h>.
    "GOOGLE_GCLOUD_ADC_PATH_OVERRIDE",
    "GOOGLE_RUNNING_ON_GCE_CHECK_OVERRIDE",
    // Without these Ruby has no key and no user; what belongs to them also names things of other programs:
    // <https://github.com/googleapis/google-auth-library-ruby/blob/main/lib/googleauth/credentials_loader.rb>.
    "GOOGLE_PRIVATE_KEY",
    "GOOGLE_REFRESH_TOKEN",
    // gcloud's properties, `lib/googlecloudsdk/core/credentials/store.py` in <https://cloud.google.com/sdk/docs/install>;
    // by what rule they become variables: <https://cloud.google.com/sdk/docs/properties>.
    "CLOUDSDK_AUTH_ACCESS_TOKEN",
    "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
    "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
    "CLOUDSDK_AUTH_DISABLE_CREDENTIALS",
    "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT",
    "CLOUDSDK_CORE_ACCOUNT",
    "CLOUDSDK_CORE_CHECK_GCE_METADATA",
    // Terraform, OpenTofu, Pulumi: <https://github.com/hashicorp/terraform-provider-google/blob/main/google/envvar/envvar_utils.go>,
    // <https://github.com/hashicorp/terraform-provider-google/blob/main/google/provider/provider.go>,
    // <https://github.com/hashicorp/terraform/blob/main/internal/backend/remote-state/gcs/backend.go>,
    // <https://github.com/pulumi/pulumi-gcp/blob/master/provider/resources.go>.
    "GOOGLE_CREDENTIALS",
    "GOOGLE_CLOUD_KEYFILE_JSON",
    "GCLOUD_KEYFILE_JSON",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT",
    "GOOGLE_BACKEND_CREDENTIALS",
    "GOOGLE_BACKEND_IMPERSONATE_SERVICE_ACCOUNT",
    // <https://github.com/apache/arrow-rs-object-store/blob/main/src/gcp/builder.rs>
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_BEARER_TOKEN",
    // <https://github.com/fluent/fluent-bit/blob/master/plugins/out_stackdriver/stackdriver_conf.c>
    "GOOGLE_SERVICE_CREDENTIALS",
    // <https://github.com/rclone/rclone/blob/master/backend/googlecloudstorage/googlecloudstorage.go>
    "RCLONE_GCS_SERVICE_ACCOUNT_FILE",
    "RCLONE_GCS_SERVICE_ACCOUNT_CREDENTIALS",
    "RCLONE_GCS_ACCESS_TOKEN",
    // <https://github.com/OSGeo/gdal/blob/master/port/cpl_google_cloud.cpp>
    "GS_SECRET_ACCESS_KEY",
    "GS_OAUTH2_REFRESH_TOKEN",
    "GS_OAUTH2_PRIVATE_KEY",
    "GS_OAUTH2_PRIVATE_KEY_FILE",
];

/// Those of [`GOOGLE`] that gcloud looks at before an access token file.
pub const GCLOUD: &[&str] =
    &["CLOUDSDK_AUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT"];
