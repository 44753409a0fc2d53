//! Who am I on AWS? One file a source, asked in the order of the SDKs:
//! <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html#credentialProviderChain>.
//!
//! 1. `environment`: keys in variables.
//! 2. `profile`: what the configuration files say.
//! 3. `web-identity`: a token file (EKS's IAM roles for service accounts).
//! 4. `container`: ECS, Fargate, MWAA, EKS Pod Identity.
//! 5. `imds`: the instance's role.
//!
//! A source that is not configured gives way to the next one; one that is and fails stops all, with its own error: the
//! next one would be somebody else.

mod container;
mod environment;
mod imds;
mod profile;
mod settings;
mod source;
mod web_identity;
mod workload;

pub use settings::Settings;
pub use source::Source;
pub use workload::AwsWorkload;
