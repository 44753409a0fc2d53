//! The types that flow from stage to stage, and the three traits a stage implements.
//!
//! `identity → Proof → exchange → Credentials → delivery → Environment`; no stage knows another.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use serde::Deserialize;

use crate::error::Result;
use crate::http::Http;

/// A boxed future, so that stages can be chosen at run time.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// An OpenID Connect ID token with what it says.
pub struct Proof {
    /// The signed token itself.
    pub token: SecretString,
    /// Its claims, decoded but not verified: verifying is the business of whom it is shown to.
    pub claims: Claims,
}

/// The claims of an ID token that decide or explain what it is exchanged for.
///
/// Specification: <https://openid.net/specs/openid-connect-core-1_0.html#IDToken>, Google's own:
/// <https://cloud.google.com/compute/docs/instances/verifying-instance-identity#payload>.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// Subject: for a service account its numeric unique id.
    pub sub: String,
    /// Authorized party; what AWS matches as `aud` when it is there.
    pub azp: Option<String>,
    /// Audience, a string or a list of them.
    #[serde(deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// The service account's address.
    pub email: Option<String>,
    /// Expiry in seconds since 1970.
    pub exp: u64,
    /// What Compute Engine says of the instance.
    pub google: GoogleClaims,
}

/// The `google` claim of a token in `format=full`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GoogleClaims {
    /// The instance's own claims.
    pub compute_engine: ComputeEngineClaims,
}

/// The `google.compute_engine` claim.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ComputeEngineClaims {
    /// Project id.
    pub project_id: Option<String>,
    /// Instance name.
    pub instance_name: Option<String>,
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Session {
    /// The role.
    pub role_arn: String,
    /// The name under which CloudTrail shows what is done with it.
    pub role_session_name: String,
    /// How long it shall last, in whole seconds.
    pub duration: Duration,
}

/// What was issued for a role, for a while.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// What clients use.
    pub content: Content,
    /// When it is no longer accepted.
    pub expiration: SystemTime,
    /// The role as it was asked for, the last one of a chain.
    pub role_arn: String,
    /// The session name as it was asked for.
    pub role_session_name: String,
}

/// What clients use.
#[derive(Clone, Debug)]
pub enum Content {
    /// AWS keys.
    Keys(Keys),
    /// A web identity token, which the client exchanges for keys itself.
    Token(SecretString),
}

/// AWS keys of a session.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Not a secret: it stands in logs and in CloudTrail.
    pub access_key_id: String,
    /// The key that signs.
    pub secret_access_key: SecretString,
    /// Goes with every signed request.
    pub session_token: SecretString,
}

impl Credentials {
    /// The keys, where it is not a token.
    pub fn keys(&self) -> Option<&Keys> {
        match &self.content {
            Content::Keys(keys) => Some(keys),
            Content::Token(_) => None,
        }
    }
}

/// Why the last try failed.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// When.
    pub at: SystemTime,
    /// When it will be tried again.
    pub next_try: SystemTime,
    /// How often in a row.
    pub failures: u32,
    /// The error as a sentence.
    pub error: String,
}

/// A fact about the workload that a template may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The service account's address up to the `@`.
    ServiceAccount,
    /// The service account's address.
    ServiceAccountEmail,
    /// The project id.
    Project,
    /// The host name, as the kernel says it.
    Hostname,
    /// The instance's name.
    InstanceName,
    /// An instance attribute, else a project attribute.
    Attribute(String),
}

/// Who am I here?
pub trait Identity {
    /// Mints or reads an ID token.
    fn prove<'a>(&'a self, http: &'a Http) -> BoxFuture<'a, Result<Proof>>;

    /// Looks a fact up that the claims do not hold. `None`: there is no such thing here.
    fn fact<'a>(&'a self, http: &'a Http, fact: &'a Fact) -> BoxFuture<'a, Result<Option<String>>>;
}

/// What do I get for it?
pub trait Exchange {
    /// What [`Exchange::prepare`] leaves for [`Exchange::exchange`].
    type Prepared;

    /// Does what needs no proof yet, so that it happens while the proof is made.
    fn prepare<'a>(&'a self, http: &'a Http) -> BoxFuture<'a, Self::Prepared>;

    /// Turns the proof into credentials for `session`.
    fn exchange<'a>(
        &'a self,
        http: &'a Http,
        prepared: Self::Prepared,
        proof: &'a Proof,
        session: &'a Session,
    ) -> BoxFuture<'a, Result<Credentials>>;
}

/// Where do clients look?
pub trait Delivery {
    /// Puts the credentials where clients find them, all or nothing. `None`: there are none yet, but clients that
    /// start now shall find them later.
    fn deliver<'a>(&'a self, credentials: Option<&'a Credentials>) -> BoxFuture<'a, Result<()>>;

    /// Leaves word for clients why there is nothing newer.
    fn fail<'a>(&'a self, _: &'a Trouble) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// Whether what was delivered is still there; others may have removed or replaced it.
    fn is_intact(&self) -> bool {
        true
    }

    /// What the command's environment must say for its clients to look there.
    fn environment(&self) -> Environment;
}

/// Changes to the command's environment. What is both set and unset is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Names and values to set.
    pub set: Vec<(OsString, OsString)>,
    /// Names to remove.
    pub unset: Vec<OsString>,
}

impl Environment {
    /// Adds `name=value`.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.set.push((name.into(), value.into()));
    }

    /// Adds the removal of `name`.
    pub fn unset(&mut self, name: &str) {
        self.unset.push(name.into());
    }

    /// The changes as a shell's commands.
    pub fn exports(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.set {
            let value = value.to_string_lossy().replace('\'', "'\\''");
            let _ = writeln!(text, "export {}='{value}';", name.to_string_lossy());
        }
        for name in self.unset.iter().filter(|name| !self.set.iter().any(|(set, _)| set == *name)) {
            let _ = writeln!(text, "unset {};", name.to_string_lossy());
        }
        text
    }

    /// Adds all changes of `other`.
    pub fn merge(&mut self, other: Self) {
        self.set.extend(other.set);
        self.unset.extend(other.unset);
    }
}
