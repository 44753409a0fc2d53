//! A token that somebody else keeps fresh, for Google's token exchange: in a file (a projected Kubernetes
//! service-account token, say), or from a server that an external-account file names.
//! <https://google.aip.dev/auth/4117#determining-the-subject-token-in-file-sourced-credentials>
//!
//! Both are read anew for each exchange.

use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderName;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Kind, Result};
use crate::format::jwt;
use crate::format::subject_token_format::SubjectTokenFormat;
use crate::model::proof::SubjectToken;
use crate::system::http::Http;
use crate::system::input::{InputFile, InputValue};

const TIMEOUT: Duration = Duration::from_secs(5);

/// The token in the `file`.
///
/// # Errors
/// Why there is none.
pub async fn in_file(file: &InputFile, format: &SubjectTokenFormat, token_type: &str) -> Result<SubjectToken> {
    let failed = |problem: String| {
        Error::new(Kind::Fatal, "read the subject token", file.shown(), problem)
            .advice("\"credential_source\" must name a file that holds one, in its \"format\"")
    };
    let bytes = file.load().await.map_err(failed)?;
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
    format: &SubjectTokenFormat,
    token_type: &str,
) -> Result<SubjectToken> {
    let step = "get the subject token";
    // Whether it may be asked was seen to when the file was read.
    let (endpoint, path) = InputValue::new("\"credential_source.url\"", url).endpoint_with_path(true)?;
    let endpoint = endpoint.confidential();
    let address = endpoint.shown(&path);
    let mut sent = Vec::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(name)
            .map_err(|_| Error::usage("\"credential_source.headers\" holds a name that no header has"))?;
        sent.push((name, value.expose_secret()));
    }
    let response =
        http.send(&endpoint, TIMEOUT, Method::GET, &path, &sent, String::new()).await.map_err(|failure| {
            failure.in_step(step, &address).advice("is the server of \"credential_source.url\" running?")
        })?;
    if response.status != 200 {
        return Err(Error::new(response.kind(false), step, address, response.describe()));
    }
    format.token(&response.body).map(|token| subject(token, token_type)).map_err(|why| {
        Error::new(Kind::Transient, step, address, format!("answered 200, but the answer {why}"))
            .advice("check \"credential_source.format\"")
    })
}

fn subject(token: SecretString, token_type: &str) -> SubjectToken {
    // What is no JWT (a SAML response, say) is for Google to read.
    let claims = jwt::decode(token.expose_secret()).ok().map(|proof| proof.claims);
    SubjectToken { token, token_type: token_type.into(), claims }
}
