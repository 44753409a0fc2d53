//! Who am I here? One file a source; each makes a proof of it: a [`Proof`](crate::flow::Proof) on Google, and an
//! [`AwsIdentity`](crate::flow::AwsIdentity) or a [`SubjectToken`](crate::flow::SubjectToken) on AWS.

pub mod aws;
pub mod impersonation;
pub mod metadata;
pub mod subject_token;
pub mod token_file;
