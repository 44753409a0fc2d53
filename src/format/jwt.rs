//! Tokens as OpenID Connect has them: reads what one says.

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::errors::ErrorKind;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::proof::Proof;

/// Reads a JWT's claims without verifying it: that is the business of whom it is shown to.
///
/// Specification: <https://www.rfc-editor.org/rfc/rfc7519#section-7.2>.
///
/// # Errors
/// What is wrong with the token, without any part of it.
pub fn decode(token: &str) -> Result<Proof, &'static str> {
    let token = token.trim();
    if token.is_empty() {
        return Err("is empty");
    }
    // An encrypted one has five; the library counts none beyond three.
    if token.split('.').count() != 3 {
        return Err("is no JWT: it has not three parts");
    }
    // Some issuers pad their parts.
    Ok(Proof { token: SecretString::from(token), claims: read(token)? })
}

/// All that a JWT claims, which is no secret.
///
/// # Errors
/// What is wrong with the token, without any part of it.
pub fn claims(token: &str) -> Result<Value, &'static str> {
    read(token.trim())
}

fn read<T: DeserializeOwned>(token: &str) -> Result<T, &'static str> {
    insecure_decode_claims(token.replace('=', "")).map_err(|error| match error.kind() {
        ErrorKind::Base64(_) => "is no JWT: its claims are not base64",
        _ => "is no ID token: its claims are not the expected JSON",
    })
}
