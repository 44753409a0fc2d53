use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::client::get;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fedboot-sandbox"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_command_runs_between_the_clouds() {
    let script = "test -r \"$AWS_CA_BUNDLE\" && test -n \"$GCE_METADATA_HOST\" && echo $FEDBOOT_ROLE_ARN \
                  ${AWS_ACCESS_KEY_ID-unset} ${AWS_PROFILE-unset} $NO_PROXY $AWS_SHARED_CREDENTIALS_FILE";
    let output = program(&["--quiet", "--role", "arn:aws:iam::123456789012:role/r", "--", "sh", "-c", script])
        .env("AWS_ACCESS_KEY_ID", "leaked")
        .env("AWS_PROFILE", "leaked")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/leaked")
        .env("NO_PROXY", "a.b")
        .output()
        .unwrap();
    let text = said(&output.stdout);
    assert!(text.starts_with("arn:aws:iam::123456789012:role/r unset unset a.b,127.0.0.1,localhost /"), "{text}");
    assert!(!text.contains("leaked"));
    assert_eq!((output.status.code(), said(&output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn the_command_runs_on_aws() {
    let script = "test -r \"$GOOGLE_APPLICATION_CREDENTIALS\" && echo $AWS_REGION ${GCE_METADATA_HOST-unset} \
                  ${FEDBOOT_ROLE_ARN-unset} ${AWS_PROFILE-unset} $AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let output = program(&["--quiet", "--aws", "ecs", "--hop-limit", "1", "--", "sh", "-c", script])
        .env("GCE_METADATA_HOST", "leaked")
        .env("FEDBOOT_ROLE_ARN", "leaked")
        .env("AWS_PROFILE", "leaked")
        .output()
        .unwrap();
    let text = said(&output.stdout);
    assert!(text.starts_with("eu-west-1 unset unset unset http://127.0.0.1:"), "{text}");
    assert_eq!((output.status.code(), said(&output.stderr).as_str()), (Some(0), ""));
    let loud = said(&program(&["--aws", "imds", "--", "true"]).output().unwrap().stderr);
    assert!(loud.contains("place on AWS     imds"), "{loud}");
}

#[test]
fn settings_for_aws_are_options() {
    let member = "principalSet://iam.googleapis.com/p/*";
    let mut child = program(&["--aws", "imds", "--imdsv1", "--no-outbound-federation", "--signed-target-resource"])
        .args(["--provider-account", "210987654321", "--attribute-condition", "true", "--lifetime-extension"])
        .args(["--workload-identity-user", member, "--access-token-cap", "2.5", "--hop-limit", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let control = lines.find_map(|line| line.strip_prefix("export FEDBOOT_SANDBOX=").map(str::to_string));
    let settings = get(&format!("{}/settings", control.expect("its address").trim_matches('\''))).json();
    for (name, value) in [
        ("imdsv1", json!(true)),
        ("imds_hop_limit", json!(1)),
        ("outbound_federation", json!(false)),
        ("signed_target_resource", json!(true)),
        ("lifetime_extension", json!(true)),
        ("access_token_cap_seconds", json!(2.5)),
    ] {
        assert_eq!(settings[name], value, "{name}");
    }
    assert_eq!(settings["providers"][0]["aws"]["account_id"], "210987654321");
    assert_eq!(settings["providers"][1]["attribute_condition"], "true");
    let users = settings["workload_identity_users"].as_object().unwrap();
    assert!(users.values().all(|members| *members == json!([member])), "{users:?}");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn it_ends_as_the_command_does() {
    for (arguments, code) in [
        (&["--", "sh", "-c", "exit 7"][..], 7),
        (&["--", "sh", "-c", "kill -9 $$"], 137),
        (&["--", "/nonexistent"], 127),
        (&["--", "/"], 126),
    ] {
        assert_eq!(run(arguments).status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn bad_arguments_are_one_line() {
    for arguments in [
        &["--what"][..],
        &["-x"],
        &["stray"],
        &["--"],
        &["--role"],
        &["--trust-policy", "/dev/null"],
        &["--trusted-role", "arn:aws:iam::123456789012:role/r"],
        &["--role", "arn:aws:iam::123456789012:role/r", "--external-id", "x"],
        &["--role", "a", "--trusted-role", "b", "--trusted-role", "c", "--", "true"],
        &["--fault", "sts:what"],
        &["--port", "s3=1"],
        &["--port", "sts=x"],
        &["--credential-lifetime", "-1"],
        &["--attribute", "x"],
        &["--aws", "lambda"],
        &["--real-addresses", "--", "true"],
        &["--hop-limit", "x"],
        &["--access-token-cap", "-1"],
        &["--attribute-condition", "a ==", "--", "true"],
        &["--request-log", "/nonexistent/a"],
        &["--role", "arn:aws:iam::123456789012:role/r", "--trust-policy", "/dev/null", "--", "true"],
    ] {
        let output = run(arguments);
        let text = said(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{arguments:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
        assert!(text.starts_with("fedboot-sandbox: "), "{text}");
    }
    assert!(said(&run(&["--help"]).stdout).contains("--fault"));
    assert!(said(&run(&["--version"]).stdout).starts_with("fedboot-sandbox "));
}

#[test]
fn signals_reach_the_command() {
    let script = "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = program(&["--quiet", "--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "caught");
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn without_a_command_it_prints_what_a_shell_needs() {
    let (first, second) = ("arn:aws:iam::123456789012:role/a", "arn:aws:iam::123456789012:role/b");
    let chained = ["--role", first, "--role", second, "--trusted-role", first, "--external-id", "x"];
    let mut child = program(&["--region", "us-east-2", "--fault", "sts:hang,always"])
        .args(chained)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut exports = Vec::new();
    while !exports.iter().any(|line: &String| line.starts_with("export no_proxy=")) {
        exports.push(lines.next().expect("more lines"));
    }
    assert!(exports.contains(&"unset AWS_PROFILE".to_string()));
    assert!(exports.contains(&"export AWS_REGION='us-east-2'".to_string()));
    let control = exports.iter().find_map(|line| line.strip_prefix("export FEDBOOT_SANDBOX=")).expect("its address");
    let settings = get(&format!("{}/settings", control.trim_matches('\''))).json();
    let trust = &settings["roles"][1]["trust_policy"]["Statement"][0];
    assert_eq!(trust["Principal"]["AWS"], first);
    assert_eq!(trust["Condition"]["StringEquals"]["sts:ExternalId"], "x");
    std::thread::sleep(Duration::from_millis(50));
    assert!(child.try_wait().unwrap().is_none());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
