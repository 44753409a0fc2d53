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

use crate::error::{Error, Kind, Result, reasons};
use crate::identity::aws::source::{Answer, Source, keys_in, of_keys};
use crate::system::http::Http;
use crate::system::input::{InputFile, InputValue};
use crate::system::shown;
use crate::system::world::World;

const TIMEOUT: Duration = Duration::from_secs(5);
const ECS: &str = "http://169.254.170.2";
/// The services' own addresses: ECS, EKS Pod Identity.
const OWN: &[&str] = &["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

pub(super) async fn ask(world: &World, http: &Http) -> Result<Answer> {
    let (relative, full) = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let (given, is_pod) = match (InputValue::variable(world, relative), InputValue::variable(world, full)) {
        (Some(given), _) => {
            let path = given.text()?;
            if !path.starts_with('/') {
                return Err(given.bad("does not begin with a slash"));
            }
            (InputValue::new(relative, format!("{ECS}{path}")), false)
        }
        (None, Some(given)) => (given, true),
        (None, None) => return Ok(Answer::NotHere(format!("{relative} and _FULL_URI are not set"))),
    };
    let step = "get the container's AWS credentials";
    let (endpoint, path) = given.endpoint_with_path(true)?;
    // On ECS the path alone opens the door.
    let endpoint = endpoint.direct().confidential();
    let address = endpoint.shown(&path);
    if !endpoint.is_secure() && !endpoint.is_loopback() && !OWN.contains(&endpoint.host()) {
        return Err(given
            .bad(format!("is at {address}, which would carry a token in the clear"))
            .advice("use https:, or http: on loopback or at the address of ECS or EKS Pod Identity"));
    }
    let token = authorization(world).await?;
    let headers: Vec<_> = token.iter().map(|token| (AUTHORIZATION, token.expose_secret())).collect();
    let advice = if is_pod {
        "is the Pod Identity agent running on this node, and the pod's service account associated with a role?"
    } else {
        "has the task definition a task role, and does the ECS agent run?"
    };
    let response = http
        .send(&endpoint, TIMEOUT, Method::GET, &path, &headers, String::new())
        .await
        .map_err(|failure| failure.in_step(step, &address).reason(&reasons::CONTAINER_ROLE).advice(advice))?;
    let json: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    if response.status == 200 {
        let Some(keys) = keys_in(&json, "Token") else {
            let problem = "answered 200 without AccessKeyId and SecretAccessKey in it";
            return Err(Error::new(Kind::Transient, step, address, problem)
                .reason(&reasons::CONTAINER_ROLE)
                .advice(advice));
        };
        // ECS says whose they are.
        let role = json.get("RoleArn").and_then(Value::as_str).filter(|arn| shown::is_arn(arn)).map(str::to_owned);
        return Ok(Answer::Found(of_keys(Source::Container, keys, role)));
    }
    // A token that has just been replaced is read anew at the next try.
    let kind = response.kind(response.status == 401 && token.is_some());
    Err(Error::new(kind, step, address, response.describe()).reason(&reasons::CONTAINER_ROLE).advice(advice))
}

async fn authorization(world: &World) -> Result<Option<SecretString>> {
    let Some(file) = InputFile::of_variable(world, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") else {
        return Ok(world.text_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(SecretString::from));
    };
    let failed = |problem: String| {
        Error::new(Kind::Fatal, "read the container's authorization token", file.shown(), problem)
            .reason(&reasons::CONTAINER_ROLE)
            .advice("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE must name a file that holds it")
    };
    let bytes = file.load().await.map_err(failed)?;
    let token = String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned();
    if token.is_empty() || token.contains(char::is_control) {
        return Err(failed("is empty, or holds more than one line".into()));
    }
    Ok(Some(SecretString::from(token)))
}
