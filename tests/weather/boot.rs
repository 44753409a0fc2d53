//! How long the command waits, and what becomes of it without credentials.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fedboot_sandbox::{Fault, Sandbox, Service};

use crate::common::{Outcome, Stage, eventually, write};
use crate::{NOBODY, refused, side_by_side};

/// Asks the credentials endpoint; status line, headers and body as they come.
fn get(url: &str, token: &str) -> String {
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a URL");
    let mut stream = TcpStream::connect(host).expect("an endpoint");
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n")
        .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn the_timeout_is_kept() {
    let rows = [(Service::Sts, "cannot assume role"), (Service::Metadata, "cannot mint a Google ID token")];
    side_by_side(rows, |(service, at)| {
        let stage = Stage::with(Sandbox::builder().fault(service, Fault::hang().always()));
        let start = Instant::now();
        refused(&stage, &["--timeout", "2"], &[at, "gave no answer within "]);
        let elapsed = start.elapsed().as_secs_f64();
        assert!((1.9..6.0).contains(&elapsed), "{elapsed} s");
    });
}

#[test]
fn the_timeout_is_kept_while_no_role_is_known() {
    let hang = Fault::hang().always();
    let mut stage = Stage::with(Sandbox::builder().fault(Service::Metadata, hang));
    stage.unset("FEDBOOT_ROLE_ARN");
    let start = Instant::now();
    refused(&stage, &["--timeout", "1"], &["no role to assume"]);
    let elapsed = start.elapsed().as_secs_f64();
    assert!(elapsed < 3.0, "{elapsed} s");
}

/// What the deadline cut short has nothing to say; what came back before has.
#[test]
fn a_try_that_is_cut_short() {
    let late = Fault::status(503, "overloaded").after(Duration::from_millis(700)).always();
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, late));
    refused(&stage, &["--timeout", "1"], &["answered 503", "overloaded", "(tried 2 times in 1."]);
}

/// Who waits for two seconds has had tries until then, not until a throw of the dice.
#[test]
fn the_timeout_is_used() {
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::status(503, "").always()));
    let start = || stage.command(["--timeout", "2", "--", "true"]).spawn().expect("fedboot");
    let children: Vec<_> = (0..4).map(|_| start()).collect();
    for child in children {
        let error = stage.finish(child).error();
        let elapsed: u32 = error.field("elapsed_ms").parse().expect("a number");
        assert!(elapsed > 1500, "{elapsed} of 2000 ms");
    }
}

/// The command starts without credentials, and finds them as soon as there are some.
#[test]
fn on_failure_run() {
    let mut stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::error("AccessDenied").always()));
    stage.set("AWS_ACCESS_KEY_ID", "AKIAOLD").set("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/old");
    // It ends by itself, should this test not come to its end.
    let script = "env > env.new; mv env.new env; i=0; while [ ! -e stop ] && [ $i -lt 600 ]; \
                  do i=$((i+1)); sleep 0.05; done";
    let child = stage.command(["--on-failure", "run", "--", "sh", "-c", script]).spawn().expect("fedboot");
    let at = |name: &str| stage.directory.path().join(name);
    eventually("the command starts", || at("env").exists());
    let environment = fs::read_to_string(at("env")).expect("an environment");
    let variable = |name: &str| environment.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    assert_eq!(variable("AWS_PROFILE"), Some("fedboot"));
    assert_eq!(variable("AWS_SHARED_CREDENTIALS_FILE"), stage.credentials_file().to_str());
    assert_eq!(variable("AWS_REGION"), Some("us-east-1"));
    assert_eq!((variable("AWS_ACCESS_KEY_ID"), variable("AWS_ROLE_ARN")), (None, None));
    let url = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").expect("an endpoint");
    let answer = get(url, "");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("NoCredentials"), "{answer}");
    assert_eq!(stage.credentials_text(), "[fedboot]\nregion = us-east-1\n");
    stage.sandbox.clear_faults();
    eventually("the endpoint has credentials", || get(url, "").starts_with("HTTP/1.1 200 "));
    eventually("the file has credentials", || stage.credentials_text().contains("[default]"));
    let issued = stage.sandbox.issued().pop().expect("credentials");
    assert!(get(url, "").contains(&issued.session_token));
    assert!(stage.credentials_text().contains(&issued.session_token));
    // What is told of them comes after they are delivered.
    eventually("the agent has told of them", || stage.run(["status"]).code() == Some(0));
    write(&at("stop"), "");
    let outcome = stage.finish(child);
    outcome.assert_succeeded();
    let events = outcome.events();
    let errors: Vec<_> = events.iter().filter(|event| event.severity() == "ERROR").collect();
    assert!(!errors.is_empty(), "{}", outcome.stderr);
    assert!(errors[0].sentence().contains("AccessDenied"));
    assert_eq!(errors[0].field("consequence"), "the command starts without credentials");
    assert!(events.iter().any(|event| event.severity() == "INFO"), "{}", outcome.stderr);
}

/// One ERROR, and the command's own exit code.
#[test]
fn on_failure_run_whatever_fails() {
    let sts = |fault: Fault| Stage::with(Sandbox::builder().fault(Service::Sts, fault.always()));
    let with = |name: &str, value: &str| {
        let mut stage = Stage::new();
        stage.set(name, value);
        stage
    };
    let rows = [
        (sts(Fault::hang()), "gave no answer within"),
        (sts(Fault::status(503, "")), " times in "),
        (with("GCE_METADATA_HOST", NOBODY), "connection refused"),
        (with("FEDBOOT_GOOGLE_TOKEN_FILE", "absent"), "no such file"),
        (with("FEDBOOT_ROLE_ARN", "nonsense"), "is no role ARN"),
    ];
    side_by_side(rows, |(stage, part)| {
        let outcome: Outcome = stage.run_shell(&["--on-failure", "run", "--timeout", "1"], "exit 7");
        assert_eq!(outcome.code(), Some(7), "{part}: {}", outcome.stderr);
        let error = outcome.error();
        assert!(error.sentence().contains(part), "{part}: {}", error.message());
        assert_eq!(error.field("consequence"), "the command starts without credentials");
    });
}

/// What cannot be read yet may be there later, a role in an attribute too.
#[test]
fn on_failure_run_with_a_role_from_an_attribute() {
    let role = "arn:aws:iam::123456789012:role/fedboot-demo";
    let late = Fault::status(503, "starting").always();
    let mut stage = Stage::with(Sandbox::builder().attribute("fedboot-role-arn", role).fault(Service::Metadata, late));
    stage.unset("FEDBOOT_ROLE_ARN");
    let script = "touch started; i=0; while [ ! -e stop ] && [ $i -lt 600 ]; do i=$((i+1)); sleep 0.05; done";
    let options = ["--on-failure", "run", "--timeout", "1"];
    let child = stage.command(options.into_iter().chain(["--", "sh", "-c", script])).spawn().expect("fedboot");
    eventually("the command starts", || stage.directory.path().join("started").exists());
    stage.sandbox.clear_faults();
    eventually("the file has credentials", || fs::read(stage.credentials_file()).is_ok_and(|text| !text.is_empty()));
    write(&stage.directory.path().join("stop"), "");
    stage.finish(child).assert_succeeded();
}
