//! The instance metadata service of EC2, version 2: a session token first, then everything with it.
//!
//! - `PUT /latest/api/token` with `X-aws-ec2-metadata-token-ttl-seconds`;
//! - `GET /latest/meta-data/iam/security-credentials/` → the role's name; `…/NAME` → `{"Code", "AccessKeyId",
//!   "SecretAccessKey", "Token", "Expiration"}`;
//! - `GET /latest/meta-data/placement/availability-zone` → the region and a letter.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>,
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-imds-credentials.html>. Never through a proxy.
//!
//! The answer to `PUT` may not travel farther than the hop limit, which is 1 unless somebody raised it: in a container with
//! a network of its own the connection stands and nothing ever comes back. Version 1 needs no token, and is why a
//! request that somebody else's server was talked into making could read credentials: only where it was asked for.

use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderName;
use serde_json::Value;

use crate::error::{Error, Kind, Result, reasons};
use crate::identity::aws::source::{Answer, Source, keys_in, of_keys};
use crate::system::http::{Endpoint, Http, Response};
use crate::system::world::World;

/// It answers in a millisecond, or not at all.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A region is no secret and can be done without: it is waited for less.
const REGION_TIMEOUT: Duration = Duration::from_secs(1);
const TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const CREDENTIALS: &str = "/latest/meta-data/iam/security-credentials/";
const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
const STEP: &str = "get the instance's AWS credentials";

pub(super) async fn keys(world: &World, http: &Http, endpoint: &Endpoint, v1: bool) -> Result<Answer> {
    if world.is_true(DISABLED) {
        return Ok(Answer::NotHere(format!("{DISABLED} is true")));
    }
    let connected = http.within(TIMEOUT, http.connect(endpoint)).await;
    if let Err(failure) = connected {
        return Ok(Answer::NotYet(failure.in_step("reach the instance metadata service", endpoint.shown("/"))));
    }
    let token = token(http, endpoint, v1).await?;
    let get = async |path: &str| {
        let response = get(http, endpoint, token.as_deref(), path).await;
        // Not the path that was asked: the role's name in it is a stranger's word.
        response.map_err(|failure| failure.in_step(STEP, endpoint.shown(CREDENTIALS)))
    };
    let roles = get(CREDENTIALS).await?;
    let name = String::from_utf8_lossy(&roles.body).lines().next().unwrap_or_default().trim().to_owned();
    if roles.status == 404 || (roles.status == 200 && name.is_empty()) {
        return Ok(Answer::NotHere("the instance has no role".into()));
    }
    expect_ok(&roles, endpoint, CREDENTIALS)?;
    // <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html>
    if !is_word(&name, b"_+=,.@-") {
        let problem = "answered 200 with no role's name in it";
        return Err(Error::new(Kind::Transient, STEP, endpoint.shown(CREDENTIALS), problem));
    }
    let response = get(&format!("{CREDENTIALS}{name}")).await?;
    expect_ok(&response, endpoint, CREDENTIALS)?;
    let json: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    match (json.get("Code").and_then(Value::as_str), keys_in(&json, "Token")) {
        (None | Some("Success"), Some(keys)) => {
            Ok(Answer::Found(of_keys(Source::Imds, keys, Some(format!("the instance's role {name}")))))
        }
        (code, _) => {
            let is_code = |code: &&str| code.len() <= 40 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
            let code = code.map_or("missing", |code| Some(code).filter(is_code).unwrap_or("not one of AWS's"));
            let problem = format!("answered 200 without keys (Code {code})");
            Err(Error::new(Kind::Transient, STEP, endpoint.shown(CREDENTIALS), problem)
                .reason(&reasons::IMDS_ROLE)
                .advice("is the instance profile's role still there, and does it trust ec2.amazonaws.com?"))
        }
    }
}

/// The region, where somebody says it.
pub(super) async fn region(world: &World, http: &Http, endpoint: &Endpoint, v1: bool) -> Option<String> {
    if world.is_true(DISABLED) {
        return None;
    }
    let asked = async {
        let token = token(http, endpoint, v1).await.ok()?;
        let response =
            get(http, endpoint, token.as_deref(), "/latest/meta-data/placement/availability-zone").await.ok()?;
        let zone = String::from_utf8_lossy(&response.body).trim().to_owned();
        let region = zone.strip_suffix(|letter: char| letter.is_ascii_lowercase())?;
        let sane = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        (response.status == 200 && !region.is_empty() && region.chars().all(sane)).then(|| region.to_owned())
    };
    http.within(REGION_TIMEOUT, async { Ok(asked.await) }).await.ok().flatten()
}

/// The session token; none where only version 1 is there, and allowed.
async fn token(http: &Http, endpoint: &Endpoint, v1: bool) -> Result<Option<String>> {
    let path = "/latest/api/token";
    let step = "get a token of the instance metadata service";
    // Six hours, as the SDKs ask; it is used at once.
    let answer = http.send(endpoint, TIMEOUT, Method::PUT, path, &[(TTL, "21600")], String::new()).await;
    let error = match answer {
        Ok(response) if response.status == 200 => {
            let token = String::from_utf8_lossy(&response.body).trim().to_owned();
            if is_word(&token, b"-_=+/.") {
                return Ok(Some(token));
            }
            Error::new(Kind::Transient, step, endpoint.shown(path), "answered 200 with no token in it")
        }
        Ok(response) => {
            let error = Error::new(response.kind(false), step, endpoint.shown(path), response.describe());
            match response.status.as_u16() {
                403 => error.reason(&reasons::IMDS_OFF).advice("the instance's metadata options have switched the service off, or a proxy is between"),
                _ => error.reason(&reasons::IMDS_OFF).advice("is that EC2's service? It may know version 1 only, which --imdsv1 allows"),
            }
        }
        Err(failure) if failure.problem.contains("no answer within") => {
            failure.in_step(step, endpoint.shown(path)).reason(&reasons::IMDS_HOPS).advice(
                "in a container its answer may not travel that far: raise the hop limit (aws ec2 \
                 modify-instance-metadata-options --http-put-response-hop-limit 2 --instance-id ID), or better give the task or pod a \
                 role of its own",
            )
        }
        Err(failure) => failure.in_step(step, endpoint.shown(path)),
    };
    if v1 { Ok(None) } else { Err(error) }
}

async fn get(
    http: &Http,
    endpoint: &Endpoint,
    token: Option<&str>,
    path: &str,
) -> std::result::Result<Response, crate::system::http::Failure> {
    let headers: Vec<_> = token.iter().map(|token| (TOKEN, *token)).collect();
    http.send(endpoint, TIMEOUT, Method::GET, path, &headers, String::new()).await
}

fn expect_ok(response: &Response, endpoint: &Endpoint, path: &str) -> Result<()> {
    if response.status == 200 {
        return Ok(());
    }
    // The token has ended, or the instance is another one since it was given: the next try has a new one.
    Err(Error::new(response.kind(response.status == 401), STEP, endpoint.shown(path), response.describe()))
}

/// Letters, digits and `others`, and something at all.
fn is_word(text: &str, others: &[u8]) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}
