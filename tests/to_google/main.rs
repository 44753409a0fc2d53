//! AWS → Google with the real binary: every identity, proof and delivery, the metadata server with clients of every
//! kind, bad input and bad weather.

#![allow(clippy::disallowed_methods, reason = "tests look at the real world")]

#[path = "../common/mod.rs"]
#[allow(unsafe_code, reason = "its launcher is for other tests")]
mod common;

#[allow(unsafe_code, reason = "a thread's namespace has no safe interface")]
mod addresses;
mod agent;
mod broken;
mod delivery;
mod fixed;
mod hostile;
mod identity;
mod input;
mod metadata;
mod proof;
mod shadows;
mod strangers;
mod token;
mod weather;
mod web;

use std::path::PathBuf;
use std::time::Duration;

use common::launch::Held;
use common::{Outcome, PATIENCE, Stage, asked, side_by_side, write};
use fedboot_sandbox::{AwsPlace, Builder, Request, Sandbox, Service};
use serde_json::Value;

const ACCOUNT: &str = "worker@demo-project.iam.gserviceaccount.com";
const POOL: &str = "projects/739419398126/locations/global/workloadIdentityPools/aws-pool";
const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
const STORAGE: &str = "https://www.googleapis.com/auth/devstorage.read_only";
/// The member that stands for the role of the workload, as the sandbox binds it.
const MEMBER: &str = "attribute.aws_role/arn:aws:sts::123456789012:assumed-role/fedboot-demo";

/// Actions, as the sandbox names them.
const EXCHANGE: &str = "exchange";
const ACCESS: &str = "generateAccessToken";
const ID: &str = "generateIdToken";

/// A place on AWS with all that a program finds there.
fn at(place: AwsPlace) -> Stage {
    at_with(place, Sandbox::builder())
}

fn at_with(place: AwsPlace, builder: Builder) -> Stage {
    let mut stage = Stage::with(builder.aws(place));
    for (name, value) in stage.sandbox.env() {
        stage.set(&name, value);
    }
    // Keys that are there already are not waited for: the requests are the program's own.
    stage.sandbox.forget_requests();
    stage
}

/// Keys in the environment: nothing else is asked on AWS.
fn simple() -> Stage {
    at(AwsPlace::Environment)
}

/// Access tokens that live for this many seconds.
fn short_lived(seconds: u64, builder: Builder) -> Stage {
    at_with(AwsPlace::Environment, builder.access_token_cap(Duration::from_secs(seconds)))
}

/// An external-account file like the sandbox's, after `change`; the stage's environment names it.
fn with_account(stage: &mut Stage, change: impl FnOnce(&mut Value)) -> PathBuf {
    let mut account = stage.sandbox.external_account();
    change(&mut account);
    let file = stage.directory.path().join("account.json");
    write(&file, account.to_string());
    stage.set("GOOGLE_APPLICATION_CREDENTIALS", &file);
    file
}

/// The same where no service account is impersonated: the pool's own principal has the rights.
fn without_account(stage: &mut Stage) {
    with_account(stage, |account| {
        account.as_object_mut().expect("an object").remove("service_account_impersonation_url");
    });
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn run(stage: &Stage, line: &str) -> Outcome {
    stage.run(words(line))
}

fn hold(stage: &Stage, line: &str) -> Held {
    stage.hold(&words(line))
}

/// What `fedboot token …` prints, with the line end taken off.
#[track_caller]
fn printed(stage: &Stage, line: &str) -> String {
    let outcome = run(stage, line);
    outcome.assert_succeeded();
    assert_eq!(outcome.stderr, "", "{line}");
    outcome.stdout.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {:?}", outcome.stdout)).to_owned()
}

/// What Google says of an access token; null where it is not a live one.
fn info(stage: &Stage, token: &str) -> Value {
    let host = stage.sandbox.iam_credentials_http_url().replace("http://", "");
    let reply = web::get(&host, &format!("/tokeninfo?access_token={token}"), &[]);
    if reply.status == 200 { reply.json() } else { Value::Null }
}

fn is_live(stage: &Stage, token: &str) -> bool {
    info(stage, token)["email"] == ACCOUNT
}

/// The actions that were asked for, in order of arrival, but for the tests' own.
fn actions(stage: &Stage) -> Vec<String> {
    let requests = stage.sandbox.requests().into_iter().map(|request| request.action);
    requests.filter(|action| action != "tokeninfo").collect()
}

/// The last request with this action.
#[track_caller]
fn last(stage: &Stage, action: &str) -> Request {
    let found = stage.sandbox.requests().into_iter().rfind(|request| request.action == action);
    found.unwrap_or_else(|| panic!("no {action} in {:?}", actions(stage)))
}

/// The session for which Google issued the last federated token: `ROLE/SESSION`.
#[track_caller]
fn proven(stage: &Stage) -> String {
    let verdict = last(stage, EXCHANGE).verdict;
    let session = verdict.split_once(":assumed-role/").and_then(|(_, rest)| rest.split_once(' '));
    session.unwrap_or_else(|| panic!("no role in {verdict}")).0.to_owned()
}

/// Waits until so many requests with this action have been answered.
#[track_caller]
fn wait_for(stage: &Stage, count: usize, action: &str) {
    stage.sandbox.wait_for(count, action, PATIENCE).expect("requests");
}

/// How many tokens of each kind were asked for so far.
fn cost(stage: &Stage) -> [usize; 3] {
    [EXCHANGE, ACCESS, ID].map(|action| asked(stage, action))
}

/// fedboot with the words of `line` fails with `code` before anything is asked of anybody, and its one line says each of
/// `parts`.
#[track_caller]
fn refused(stage: &Stage, code: i32, line: &str, parts: &[&str]) -> Outcome {
    let before = stage.sandbox.requests().len();
    let outcome = fails(stage, code, line, parts);
    assert_eq!(stage.sandbox.requests().len(), before, "{line}: something was asked");
    outcome
}

/// The same after something was asked.
#[track_caller]
fn fails(stage: &Stage, code: i32, line: &str, parts: &[&str]) -> Outcome {
    let outcome = run(stage, line);
    assert_eq!(outcome.code(), Some(code), "{line}: {}{}", outcome.stdout, outcome.stderr);
    let error = outcome.error();
    for part in parts {
        assert!(error.sentence().contains(part), "{line}: no {part:?} in {}", outcome.stderr);
    }
    assert_eq!(
        outcome.events().len(),
        outcome.stderr.lines().count(),
        "{line}: not all are events: {}",
        outcome.stderr
    );
    assert!(!stage.directory.path().join("ran").exists(), "{line}: the command ran");
    outcome
}

/// The requests to one service.
fn requests_to(stage: &Stage, service: Service) -> Vec<Request> {
    stage.sandbox.requests_to(service)
}

/// The value of a variable in the command's environment.
fn variable(held: &Held, name: &str) -> Option<String> {
    let prefix = format!("{name}=");
    let entry = held.environment.iter().find_map(|entry| entry.strip_prefix(prefix.as_bytes()));
    entry.map(|value| String::from_utf8(value.to_vec()).expect("text"))
}

/// The metadata server of a held command.
fn server(held: &Held) -> String {
    held.variable("GCE_METADATA_HOST")
}
