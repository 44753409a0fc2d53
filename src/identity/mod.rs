//! Who am I here? One file a source; each makes a proof of it: a [`Proof`](crate::model::flow::Proof) on Google, and an
//! [`AwsIdentity`](crate::model::flow::AwsIdentity) or a [`SubjectToken`](crate::model::flow::SubjectToken) on AWS.

pub mod aws;
pub mod google;
pub mod subject_token;
