//! Google's side: the metadata server of an instance, and for those who are elsewhere STS and IAM Credentials.

mod attributes;
pub(crate) mod error;
pub(crate) mod iam_credentials;
pub(crate) mod keys;
pub(crate) mod metadata;
mod signed_request;
pub(crate) mod sts;
mod tokens;
