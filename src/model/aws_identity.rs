//! Who a workload on AWS is.

use aws_credential_types::Credentials as AwsKeys;

use crate::model::proof::Proof;

/// What a workload on AWS has to begin with, and which roles lead from there to who it wants to be.
pub struct AwsIdentity {
    /// Where that was found, in the words of `--identity`.
    pub source: &'static str,
    /// Who that is, as far as the source says so: an ARN, or the name of a role.
    pub name: Option<String>,
    /// The beginning.
    pub start: AwsBaseIdentity,
    /// Roles to assume, one with the credentials of the one before.
    pub roles: Vec<AwsRole>,
}

/// See [`AwsIdentity`].
pub enum AwsBaseIdentity {
    /// Keys that sign.
    Keys(AwsKeys),
    /// A token that is exchanged for a role's keys.
    WebIdentity(Box<Proof>, AwsRole),
}

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsRole {
    /// Its ARN.
    pub arn: String,
    /// The session name, if it was said.
    pub session_name: Option<String>,
    /// What its trust policy asks for.
    pub external_id: Option<String>,
}
