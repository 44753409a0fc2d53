//! A token that somebody else keeps fresh, for Google's token exchange: in a file (a projected Kubernetes
//! service-account token, say), or from a server that an external-account file names.
//! <https://google.aip.dev/auth/4117#determining-the-subject-token-in-file-sourced-credentials>
//!
//! Both are read anew for each exchange.

use std::path::Path;
use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderName;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Kind, Result};
use crate::external_account::Format;
use crate::flow::SubjectToken;
use crate::http::{Endpoint, Http};
use crate::jwt;
use crate::world;

const TIMEOUT: Duration = Duration::from_secs(5);

/// The token in the file at `path`, an absolute one.
///
/// # Errors
/// Why there is none.
pub fn in_file(path: &Path, format: &Format, token_type: &str) -> Result<SubjectToken> {
    let failed = |problem: String| {
        Error::new(Kind::Fatal, "read the subject token", path.display().to_string(), problem)
            .advice("\"credential_source\" must name a file that holds one, in its \"format\"")
    };
    let bytes = world::read_file(path).map_err(|error| failed(format!("cannot be read: {}", world::plain(&error))))?;
    format.token(&bytes).map(|token| subject(token, token_type)).map_err(failed)
}

/// The token that the server at `url` hands out.
///
/// # Errors
/// What came back instead.
pub async fn from_url(
    http: &Http,
    url: &str,
    headers: &[(String, SecretString)],
    format: &Format,
    token_type: &str,
) -> Result<SubjectToken> {
    let step = "get the subject token";
    // Whether it may be asked was seen to when the file was read.
    let (endpoint, path) = Endpoint::with_path(url, true)
        .map_err(|error| Error::usage(format!("\"credential_source.url\": {}", error.problem)))?;
    let address = url.split('?').next().unwrap_or_default();
    let mut sent = Vec::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(name)
            .map_err(|_| Error::usage(format!("\"credential_source.headers\": {name:?} is no header's name")))?;
        sent.push((name, value.expose_secret()));
    }
    let response =
        http.send(&endpoint, TIMEOUT, Method::GET, &path, &sent, String::new()).await.map_err(|failure| {
            failure.in_step(step, address).advice("is the server of \"credential_source.url\" running?")
        })?;
    if response.status != 200 {
        let kind = if response.is_transient() { Kind::Transient } else { Kind::Fatal };
        return Err(Error::new(kind, step, address, response.describe()));
    }
    format.token(&response.body).map(|token| subject(token, token_type)).map_err(|why| {
        Error::new(Kind::Transient, step, address, format!("answered 200, but the answer {why}"))
            .advice("check \"credential_source.format\"")
    })
}

fn subject(token: SecretString, token_type: &str) -> SubjectToken {
    // What is no JWT (a SAML response, say) is for Google to read.
    let claims = jwt::decode(token.expose_secret()).ok().map(|proof| proof.claims);
    SubjectToken { token, token_type: token_type.into(), claims, inside: Vec::new() }
}
