//! Google's side: the metadata server of an instance, and for those who are elsewhere STS and IAM Credentials.

pub(crate) mod account;
pub(crate) mod attributes;
pub(crate) mod cel;
pub(crate) mod error;
pub(crate) mod iam_credentials;
pub(crate) mod keys;
pub(crate) mod metadata;
pub(crate) mod provider;
pub(crate) mod signed_request;
pub(crate) mod sts;
pub(crate) mod tokens;
