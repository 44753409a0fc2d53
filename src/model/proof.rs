//! What an identity proves itself with.

use secrecy::SecretString;
use serde::Deserialize;

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

/// What Google's token exchange is shown.
pub struct SubjectToken {
    /// The token itself, or a signed request in its place.
    pub token: SecretString,
    /// What kind it is: a URN.
    pub token_type: String,
    /// What it says, where it is a JWT.
    pub claims: Option<Claims>,
}

/// The subject token type of a signed AWS request.
pub const AWS_REQUEST: &str = "urn:ietf:params:aws:token-type:aws4_request";
/// The subject token type of a JWT.
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
