//! Keys that were given out.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use crate::clock::as_rfc3339;

/// AWS credentials that were given out, by STS or at a place where programs run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Issued {
    /// `ASIA…`
    pub access_key_id: String,
    /// Secret half.
    pub secret_access_key: String,
    /// Session token.
    pub session_token: String,
    /// The role that was asked for.
    pub role_arn: String,
    /// The session name that was asked for.
    pub session_name: String,
    /// `arn:aws:sts::…:assumed-role/…`
    pub assumed_role_arn: String,
    /// `AROA…:SESSION`
    pub assumed_role_id: String,
    /// The role's account.
    pub account: String,
    /// `sub` of the token; empty after `AssumeRole`.
    pub subject: String,
    /// `aud` of the token; empty after `AssumeRole`.
    pub audience: String,
    /// Access key id of the session that asked for this one with `AssumeRole`: role chaining.
    pub chained_from: Option<String>,
    /// `SourceIdentity`, its own or that of the session before it in the chain.
    pub source_identity: Option<String>,
    /// `Tags`, with the transitive ones of the session before it.
    pub session_tags: BTreeMap<String, String>,
    /// Those of the tags that the next session in a chain inherits.
    pub transitive_tag_keys: Vec<String>,
    /// `DurationSeconds`, 3600 if there was none.
    pub duration_seconds: u64,
    /// `Policy`, the session policy.
    pub session_policy: Option<String>,
    /// `PolicyArns`.
    pub policy_arns: Vec<String>,
    /// When.
    #[serde(serialize_with = "as_rfc3339")]
    pub issued_at: SystemTime,
    /// From when on they are refused.
    #[serde(serialize_with = "as_rfc3339")]
    pub expires_at: SystemTime,
}

impl Issued {
    /// Still accepted now.
    pub fn is_live(&self) -> bool {
        SystemTime::now() < self.expires_at
    }
}
