//! A proof of AWS's: a `GetCallerIdentity` that the caller has signed and not sent. Google
//! [sends it](https://cloud.google.com/iam/docs/workload-identity-federation-with-other-clouds) itself and reads in
//! the answer who the caller is; here it is put before the sandbox's own STS.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::aws::sigv4;
use crate::google::attributes::Refusal;
use crate::settings::Settings;
use crate::settings::names::Port;
use crate::settings::provider::Provider;
use crate::state::State;
use crate::state::log::Request;

/// The header that says for whom the proof was made, so that nobody else can use it.
const TARGET: &str = "x-goog-cloud-target-resource";

#[derive(Deserialize)]
struct Signed {
    url: String,
    method: String,
    headers: Vec<Header>,
}

#[derive(Deserialize)]
struct Header {
    key: String,
    value: String,
}

/// The assertion in the token: `arn`, `userid` and `account`, as `GetCallerIdentity` tells them.
pub(crate) fn assertion(
    state: &State,
    settings: &Settings,
    provider: &Provider,
    asked: &Request,
    token: &str,
    skew: i64,
) -> Result<Value, Refusal> {
    let signed = read(token)?;
    let own = [Port::Sts, Port::StsTls].map(|port| state.addresses.of(port).to_string());
    let request = replay(&signed, &own, asked)?;
    let target = request.header(TARGET).unwrap_or("");
    if target.trim_start_matches("https:") != provider.audience() {
        return Err(malformed(&format!("{TARGET} is \"{target}\", not {}", provider.audience())));
    }
    let covered = request.header("authorization").and_then(|header| header.split_once("SignedHeaders="));
    let covered = covered.map_or("", |(_, rest)| rest.split(',').next().unwrap_or(""));
    if settings.signed_target_resource && !covered.split(';').any(|name| name.trim() == TARGET) {
        return Err(malformed(&format!("{TARGET} is not signed")));
    }
    let caller = sigv4::signer(state, &request, skew).map_err(|(code, message)| {
        let description = format!("Received invalid AWS response of type {code} with error message: {message}");
        ("invalid_grant", description)
    })?;
    if provider.account() != Some(caller.account.as_str()) {
        let message = "The AWS account of the given credential does not match the account of the provider.";
        return Err(("invalid_grant", format!("{message}\u{0}it is {}", caller.account)));
    }
    Ok(json!({
        "arn": caller.assumed_role_arn,
        "userid": caller.assumed_role_id,
        "account": caller.account,
    }))
}

/// What Google says of everything that is not as it should be.
fn malformed(why: &str) -> Refusal {
    ("invalid_grant", format!("AWS request has invalid format.\u{0}{why}"))
}

fn read(token: &str) -> Result<Signed, Refusal> {
    // Go's client writes a space as `+`, Python's as `%20`.
    let text = percent_decode_str(&token.replace('+', " ")).decode_utf8_lossy().into_owned();
    serde_json::from_str(&text).map_err(|why| ("invalid_grant", format!("Invalid format of AWS credentials: {why}")))
}

/// The request as it would arrive at AWS.
fn replay(signed: &Signed, own: &[String], asked: &Request) -> Result<Request, Refusal> {
    if signed.method != "POST" {
        return Err(malformed(&format!("the method is {}, not POST", signed.method)));
    }
    let Some((scheme, rest)) = signed.url.split_once("://") else {
        return Err(malformed("url is no URL"));
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, rest) = rest.split_at(end);
    let is_own = own.iter().any(|address| address == host);
    let is_sts = ["sts.", "sts-fips."].iter().any(|prefix| host.starts_with(prefix))
        && host.ends_with(".amazonaws.com")
        && scheme == "https";
    if !is_own && !is_sts {
        return Err(malformed(&format!("{scheme}://{host} is not AWS STS")));
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let says = |name: &str, value: &str| {
        form_urlencoded::parse(query.as_bytes()).any(|pair| pair == (name.into(), value.into()))
    };
    if !matches!(path, "" | "/") || !says("Action", "GetCallerIdentity") || !says("Version", "2011-06-15") {
        return Err(malformed("it is not Action=GetCallerIdentity&Version=2011-06-15"));
    }
    // It is sent to the URL's host, whatever the list says.
    let headers = signed.headers.iter().map(|header| (header.key.to_ascii_lowercase(), header.value.clone()));
    let headers = headers.filter(|(name, _)| name != "host").chain([("host".to_string(), host.to_string())]);
    Ok(Request {
        method: signed.method.clone(),
        path: "/".into(),
        query: query.into(),
        headers: headers.collect(),
        params: BTreeMap::new(),
        body: String::new(),
        ..asked.clone()
    })
}
