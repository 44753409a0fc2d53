//! The container's own endpoint: ECS and Fargate (and so MWAA) by `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` on
//! 169.254.170.2, EKS Pod Identity and others by `AWS_CONTAINER_CREDENTIALS_FULL_URI` with an authorization token in
//! `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE` (read anew each time: it is replaced) or `AWS_CONTAINER_AUTHORIZATION_TOKEN`.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
//!
//! Without TLS only loopback and the two services' own addresses are asked, as in the SDKs: a variable must not send the
//! token elsewhere. The answer: `{"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}`; an error:
//! `{"code", "message"}`. Never through a proxy.

use std::time::Duration;

use hyper::Method;
use hyper::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{Answer, Source, keys_in, of_keys};
use crate::error::{Error, Kind, Result};
use crate::http::{Endpoint, Http, excerpt};
use crate::world::{self, World};

const TIMEOUT: Duration = Duration::from_secs(5);
const ECS: &str = "http://169.254.170.2";
/// The services' own addresses: ECS, EKS Pod Identity.
const OWN: &[&str] = &["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

pub(super) async fn ask(world: &World, http: &Http) -> Result<Answer> {
    let read = |name: &str| world.text_variable(name);
    let (url, is_pod) =
        match (read("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), read("AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
            (Some(path), _) if path.starts_with('/') => (format!("{ECS}{path}"), false),
            (Some(path), _) => {
                let name = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
                return Err(Error::usage(format!("{name} is {path:?}, which does not begin with a slash")));
            }
            (None, Some(url)) => (url, true),
            (None, None) => {
                let names = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI";
                return Ok(Answer::NotHere(format!("{names} are not set")));
            }
        };
    let step = "get the container's AWS credentials";
    let (endpoint, path) = Endpoint::with_path(&url, true)
        .map_err(|error| Error::usage(format!("AWS_CONTAINER_CREDENTIALS_FULL_URI: {error}")))?;
    if !endpoint.is_secure() && !endpoint.is_loopback() && !OWN.contains(&endpoint.host()) {
        return Err(Error::usage(format!(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI: {url:?} would carry a token in the clear"
        ))
        .advice("use https:, or http: on loopback or at the address of ECS or EKS Pod Identity"));
    }
    let token = authorization(world)?;
    let headers: Vec<_> = token.iter().map(|token| (AUTHORIZATION, token.expose_secret())).collect();
    let advice = if is_pod {
        "is the Pod Identity agent running on this node, and the pod's service account associated with a role?"
    } else {
        "has the task definition a task role, and does the ECS agent run?"
    };
    let response = http
        .send(&endpoint.direct(), TIMEOUT, Method::GET, &path, &headers, String::new())
        .await
        .map_err(|failure| failure.in_step(step, &url).advice(advice))?;
    let response = match &token {
        Some(token) => response.without(token),
        None => response,
    };
    let json: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    if response.status == 200 {
        let Some(keys) = keys_in(&json, "Token") else {
            let problem = "answered 200 without AccessKeyId and SecretAccessKey in it";
            return Err(Error::new(Kind::Transient, step, url, problem).advice(advice));
        };
        return Ok(Answer::Found(of_keys(Source::Container, keys)));
    }
    let problem = match (json["code"].as_str(), json["message"].as_str()) {
        (Some(code), Some(message)) => {
            format!("answered {}: {}", response.status, excerpt(format!("{code}: {message}").as_bytes()))
        }
        _ => response.describe(),
    };
    // A token that has just been replaced is read anew at the next try.
    let transient = response.is_transient() || (response.status == 401 && token.is_some());
    let kind = if transient { Kind::Transient } else { Kind::Fatal };
    Err(Error::new(kind, step, url, problem).advice(advice))
}

fn authorization(world: &World) -> Result<Option<SecretString>> {
    let Some(file) = world.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") else {
        return Ok(world.text_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(SecretString::from));
    };
    let file = world.absolute(file);
    let failed = |problem: String| {
        Error::new(Kind::Fatal, "read the container's authorization token", file.display().to_string(), problem)
            .advice("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE must name a file that holds it")
    };
    let bytes = world::read_file(&file).map_err(|error| failed(format!("cannot be read: {}", world::plain(&error))))?;
    let token = String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned();
    if token.is_empty() || token.contains(char::is_control) {
        return Err(failed("is empty, or holds more than one line".into()));
    }
    Ok(Some(SecretString::from(token)))
}
