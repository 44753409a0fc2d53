//! AWS's Signature Version 4 for POST requests to STS, by aws-sigv4.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::time::SystemTime;

use aws_credential_types::Credentials as AwsKeys;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign as sign_request};
use aws_sigv4::sign::v4;
use hyper::header::HeaderName;

/// The headers that a POST of `body` to `url`, which is in `region`, needs beside `headers`, which are signed too.
///
/// # Errors
/// What cannot be signed.
pub fn sign(
    keys: &AwsKeys,
    region: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
    now: SystemTime,
) -> Result<Vec<(String, String)>, String> {
    let tried = || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
        let identity = keys.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("sts")
            .time(now)
            .settings(SigningSettings::default())
            .build()?
            .into();
        let body = SignableBody::Bytes(body.as_bytes());
        let request = SignableRequest::new("POST", url, headers.iter().copied(), body)?;
        let (instructions, _) = sign_request(request, &parameters)?.into_parts();
        Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    };
    // What the library says may hold what it was given.
    tried()
        .map_err(|_| "cannot be signed: is there a control character in the keys, or something odd in the URL?".into())
}

/// Signed headers as the client sends them.
pub fn headers(signed: &[(String, String)]) -> Vec<(HeaderName, &str)> {
    signed.iter().filter_map(|(name, value)| Some((HeaderName::try_from(name).ok()?, value.as_str()))).collect()
}
