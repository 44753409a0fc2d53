//! The types that flow from stage to stage, and the three traits a stage implements.
//!
//! `identity → Proof → exchange → Credentials → delivery → Environment`; no stage knows another.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials as AwsKeys;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::Instant;

use crate::error::Result;
use crate::model::client::Client;
use crate::system::http::Http;
use crate::system::shown;

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

/// What was issued, for a while.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// What clients use.
    pub content: Content,
    /// When it is no longer accepted.
    pub expiration: SystemTime,
    /// Who acts with it.
    pub principal: Principal,
}

/// Who acts with credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// An AWS role, the last one of a chain, in a session of this name, both as they were asked for.
    Role {
        /// Its ARN.
        arn: String,
        /// The name under which CloudTrail shows what is done with it.
        session_name: String,
    },
    /// A Google service account's address, or the workload identity pool where there is none.
    Google(String),
}

impl Principal {
    /// As logs and probes name it.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Role { arn, session_name } => vec![("role", arn.clone()), ("session", session_name.clone())],
            Self::Google(name) if name.contains('@') => vec![("service_account", name.clone())],
            Self::Google(name) => vec![("principal", name.clone())],
        }
    }
}

/// What clients use.
#[derive(Clone, Debug)]
pub enum Content {
    /// AWS keys.
    Keys(Keys),
    /// A web identity token, which the client exchanges for keys itself.
    WebIdentityToken(SecretString),
    /// A Google token: an access token or an ID token, or one that is exchanged for such.
    GoogleToken(SecretString),
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

impl Keys {
    /// The key's id, where it is like one: a service that is none may have sent anything.
    pub fn shown_id(&self) -> String {
        let id = &self.access_key_id;
        let is_letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if (1..=32).contains(&id.len()) && id.bytes().all(is_letter) { id.clone() } else { shown::CUT.into() }
    }
}

impl Credentials {
    /// The keys, where it is not a token.
    pub fn keys(&self) -> Option<&Keys> {
        match &self.content {
            Content::Keys(keys) => Some(keys),
            Content::WebIdentityToken(_) | Content::GoogleToken(_) => None,
        }
    }

    /// The token, where it is not keys.
    pub fn token(&self) -> Option<&SecretString> {
        match &self.content {
            Content::WebIdentityToken(token) | Content::GoogleToken(token) => Some(token),
            Content::Keys(_) => None,
        }
    }
}

impl From<&Keys> for AwsKeys {
    fn from(keys: &Keys) -> Self {
        let (secret, token) = (keys.secret_access_key.expose_secret(), keys.session_token.expose_secret());
        Self::new(&keys.access_key_id, secret, Some(token.into()), None, "fedboot")
    }
}

/// What a workload on AWS has to begin with, and which roles lead from there to who it wants to be.
pub struct AwsIdentity {
    /// Where that was found, in the words of `--identity`.
    pub source: &'static str,
    /// The beginning.
    pub start: AwsStart,
    /// Roles to assume, one with the credentials of the one before.
    pub roles: Vec<AwsRole>,
}

/// See [`AwsIdentity`].
pub enum AwsStart {
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

/// What Google's token exchange is shown.
pub struct SubjectToken {
    /// The token itself, or a signed request in its place.
    pub token: SecretString,
    /// What kind it is: a URN.
    pub token_type: String,
    /// What it says, where it is a JWT.
    pub claims: Option<Claims>,
}

/// What a Google client may ask for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// An access token of these scopes.
    AccessToken(Vec<String>),
    /// An ID token for this audience.
    IdToken(String),
    /// What the exchange is shown, for whoever does that itself.
    SubjectToken,
}

impl Wanted {
    /// In words, for a log: anybody on this machine may ask for anything.
    pub fn describe(&self) -> String {
        match self {
            Self::AccessToken(scopes) => {
                let scopes: Vec<_> = scopes.iter().map(|scope| shown::name(scope)).collect();
                format!("an access token for {}", scopes.join(" "))
            }
            Self::IdToken(audience) => format!("an ID token for {}", shown::name(audience)),
            Self::SubjectToken => "a subject token".into(),
        }
    }

    /// In words that no other has, for a cache.
    pub fn exactly(&self) -> String {
        match self {
            Self::AccessToken(scopes) => format!("an access token for {}", scopes.join(" ")),
            Self::IdToken(audience) => format!("an ID token for {audience}"),
            Self::SubjectToken => "a subject token".into(),
        }
    }
}

/// Scopes in one order, none twice: what is the same is asked for once.
pub fn scopes_in_order(scopes: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut scopes: Vec<String> = scopes.into_iter().filter(|scope| !scope.is_empty()).collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

/// Who makes tokens for Google.
pub trait Mint {
    /// Makes one.
    fn mint<'a>(&'a self, http: &'a Http, wanted: &'a Wanted) -> BoxFuture<'a, Result<Credentials>>;
}

/// Where tokens for Google come from: made, or kept.
pub trait TokenSource {
    /// One that will be good for a while. Requests for the same at the same time are one exchange; one that nobody has
    /// asked for before is made when the client's turn comes.
    fn token<'a>(&'a self, wanted: &'a Wanted, client: &'a Rc<Client>) -> BoxFuture<'a, Result<Rc<Credentials>>>;

    /// The same, if it need not be waited for.
    fn ready(&self, wanted: &Wanted) -> Option<Rc<Credentials>>;

    /// Says why there is no new one of those that are kept by the agent's loop, and when it tries again.
    fn fail(&self, trouble: &Trouble);
}

/// Issues what is kept fresh.
pub trait Issuer {
    /// One try, which asks nothing any more after `deadline`.
    fn issue(&self, deadline: Option<Instant>) -> BoxFuture<'_, Result<Credentials>>;
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
    fn is_intact(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { true })
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
