//! `--delivery token-file` and `--delivery env`: clients that exchange by themselves, and those that never will.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use fedboot_sandbox::{Fault, Sandbox, Service};

use crate::common::{Stage, agents_of, eventually, write};
use crate::{ASSUME_ROLE, URI, arn, asked, aws, filed, hold, mode, names_in, newest, refused, variable, wait_for};

const TOKEN_FILE: &str = "--delivery token-file";

fn is_whole(token: &str) -> bool {
    let url_safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    token.chars().all(url_safe) && token.split('.').filter(|part| part.len() > 20).count() == 3
}

#[test]
fn a_token_file() {
    let mut stage = Stage::new();
    stage.set("AWS_PROFILE", "inherited").set("AWS_ACCESS_KEY_ID", "inherited").set("AWS_ROLE_ARN", arn("inherited"));
    let held = hold(&stage, "--delivery token-file --role-session-name me");
    assert_eq!(held.variable("AWS_ROLE_ARN"), arn("fedboot-demo"));
    assert_eq!(held.variable("AWS_ROLE_SESSION_NAME"), "me");
    for name in ["AWS_PROFILE", "AWS_ACCESS_KEY_ID", URI] {
        assert_eq!(variable(&held, name), None, "{name}");
    }
    let file = held.variable("AWS_WEB_IDENTITY_TOKEN_FILE");
    assert!(file.starts_with('/') && mode(&file) == 0o600 && !stage.credentials_file().exists());
    // The very token that was tried before the command started, without a line end.
    let token = fs::read_to_string(&file).expect("a token");
    let tried = &stage.sandbox.requests_to(Service::Sts)[0];
    assert_eq!((tried.param("WebIdentityToken"), asked(&stage, ASSUME_ROLE)), (Some(token.as_str()), 1));
    assert!(is_whole(&token));
    let outcome = held.release(&stage);
    let event = &outcome.events()[0];
    assert_eq!((event.field("role"), event.field("access_key_id")), (arn("fedboot-demo").as_str(), ""));
    assert!(event.field("next_refresh") < event.field("expiration"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains(&token));
    assert_eq!(names_in(aws(&stage)), [""; 0], "something is left");
}

#[test]
fn a_token_file_that_was_named() {
    let stage = Stage::new();
    write(&stage.directory.path().join("token"), "old and longer than nothing\n");
    for (name, options, expected) in [("token", "", 0o600), ("new/token", "--file-mode 0640", 0o640)] {
        let path = stage.directory.path().join(name);
        let held = hold(&stage, &format!("{TOKEN_FILE} --web-identity-token-file {name} {options}"));
        assert_eq!(held.variable("AWS_WEB_IDENTITY_TOKEN_FILE"), path.display().to_string());
        held.release(&stage).assert_succeeded();
        assert!(is_whole(&fs::read_to_string(&path).expect("the token stays")));
        assert_eq!(mode(&path), expected, "{name}");
    }
    assert_eq!(mode(stage.directory.path().join("new")), 0o750);
}

/// By the half of its own lifetime, and STS is not asked again.
#[test]
fn a_token_file_is_kept_fresh() {
    let lifetime = Duration::from_secs(4);
    let stage = Stage::with(Sandbox::builder().settings(|settings| settings.id_token_lifetime = lifetime));
    let held = hold(&stage, TOKEN_FILE);
    let file = held.variable("AWS_WEB_IDENTITY_TOKEN_FILE");
    let read = || fs::read_to_string(&file).expect("a token at any time");
    let mut seen = BTreeSet::new();
    eventually("it is refreshed twice", || {
        let token = read();
        assert!(is_whole(&token), "{token}");
        seen.insert(token);
        seen.len() == 3
    });
    assert_eq!(asked(&stage, ASSUME_ROLE), 1);
    // A metadata server in trouble leaves the last one.
    stage.sandbox.fault(Service::Metadata, Fault::status(503, "").always());
    wait_for(&stage, asked(&stage, "identity") + 2, "identity");
    let last = read();
    assert!(is_whole(&last));
    stage.sandbox.clear_faults();
    eventually("it recovers", || read() != last);
    held.release(&stage).assert_succeeded();
}

#[test]
fn a_role_that_refuses_the_token() {
    let stage = Stage::new();
    let (nobody, parts) =
        (arn("nobody"), ["AccessDenied", "trust policy needs this statement", "accounts.google.com:sub"]);
    let outcome = stage.run(["--delivery", "token-file", "--role-arn", &nobody, "--", "touch", "ran"]);
    outcome.assert_failed(125, &[&parts[..], &[&nobody]].concat());
    assert!(!stage.directory.path().join("ran").exists());
    assert_eq!(names_in(aws(&stage)), [""; 0]);
    write(&stage.directory.path().join("policy"), r#"{"Statement":[]}"#);
    for options in [
        "--then-role-arn arn:aws:iam::123456789012:role/b",
        "--role-arn arn:aws:iam::123456789012:role/a --role-arn b=arn:aws:iam::123456789012:role/b",
        "--session-policy policy",
        "--policy-arn arn:aws:iam::aws:policy/ReadOnlyAccess",
    ] {
        let line = format!("{TOKEN_FILE} {options} -- touch ran");
        refused(&stage, 125, &line, &["leaves the exchange to the client"]);
    }
}

#[test]
fn variables() {
    for (delivery, has_file) in [("env", false), ("env,file", true)] {
        let mut stage = Stage::new();
        stage.set("AWS_PROFILE", "inherited").set("AWS_SESSION_TOKEN", "inherited");
        let held = hold(&stage, &format!("--delivery {delivery}"));
        let issued = newest(&stage);
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", &issued.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", &issued.secret_access_key),
            ("AWS_SESSION_TOKEN", &issued.session_token),
        ] {
            assert_eq!(&held.variable(name), value, "{delivery}");
        }
        for name in ["AWS_PROFILE", URI, "AWS_WEB_IDENTITY_TOKEN_FILE"] {
            assert_eq!(variable(&held, name), None, "{delivery} {name}");
        }
        assert_eq!(filed(&stage, "default"), has_file.then_some(issued.access_key_id));
        if !has_file {
            eventually("no agent is needed", || agents_of(held.pid).is_empty());
            assert_eq!(names_in(aws(&stage)), [""; 0]);
        }
        let outcome = held.release(&stage);
        let event = &outcome.events()[0];
        assert_eq!(event.message().contains("not refreshed"), !has_file, "{delivery}: {}", outcome.stderr);
        assert_eq!(event.field("next_refresh").is_empty(), !has_file, "{delivery}: {}", outcome.stderr);
    }
}
