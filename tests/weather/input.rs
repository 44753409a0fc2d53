//! What was typed or set wrongly: one line, before anything is asked of any cloud.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fedboot_sandbox::{Sandbox, Service};

use crate::common::{Stage, write};
use crate::{ASSUME_ROLE, NOBODY, asked, delivers, refused, refused_with};

#[test]
fn argv() {
    let stage = Stage::new();
    for (line, parts) in [
        ("", &["no -- before the command", "usage: fedboot [OPTIONS] -- COMMAND"][..]),
        ("--", &["no COMMAND after --", "usage:"]),
        ("touch ran", &["a word that belongs to no option stands before --", "fedboot [OPTIONS] -- COMMAND"]),
        ("--timeout 5 touch ran", &["a word that belongs to no option stands before --"]),
        ("--timeout=5 touch -- ran", &["a word that belongs to no option stands before --"]),
        ("--rol-arn x -- touch ran", &["unknown option --rol-arn", "did you mean --role-arn?"]),
        ("--session-name x -- touch ran", &["unknown option --session-name", "did you mean --role-session-name?"]),
        ("--timeot=5 -- touch ran", &["unknown option --timeot", "did you mean --timeout?"]),
        ("--zzzzzz -- touch ran", &["unknown option --zzzzzz", "fedboot --help"]),
        ("-v -- touch ran", &["unknown option -v"]),
        ("--role-arn -- touch ran", &["--role-arn has no value", "write --role-arn [PROFILE=]ARN"]),
        ("--timeout -- touch ran", &["--timeout has no value"]),
        ("--role-arn= -- touch ran", &["--role-arn has an empty value"]),
        ("--no-refresh=yes -- touch ran", &["--no-refresh takes no value"]),
        ("--timeout 1 --timeout 2 -- touch ran", &["--timeout is given twice"]),
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        refused_with(&stage, 125, &words, parts);
    }
    refused_with(&stage, 125, &["--role-arn", "", "--", "touch", "ran"], &["--role-arn has an empty value"]);
    assert!(stage.sandbox.requests().is_empty());
}

#[test]
fn values() {
    let stage = Stage::new();
    for (options, parts) in [
        (&["--timeout", "soon"][..], &["--timeout is no length", "write 3600, 90m or 12h"][..]),
        (&["--timeout", "0"], &["--timeout is not", "between"]),
        (&["--timeout", "-1"], &["--timeout is no length"]),
        (&["--timeout", "0.5"], &["--timeout is no length"]),
        (&["--duration", "5 parsecs"], &["--duration is no length"]),
        (&["--duration", "0"], &["--duration is not between"]),
        (&["--duration", "99999999999999999999"], &["--duration is no"]),
        (&["--duration", "10y"], &["--duration is not", "between"]),
        (&["--on-failure", "maybe"], &["--on-failure is none of exit, run"]),
        (&["--log-format", "xml"], &["--log-format is none of auto, text, json", "JSON"]),
        (&["--log-level", "loud"], &["--log-level is none of", "warning"]),
        (&["--delivery", "pigeon"], &["--delivery has a value that it cannot have", "endpoint"]),
        (&["--delivery", "file,"], &["--delivery has a value that it cannot have"]),
        (&["--sts-endpoint", "ftp://sts.invalid/"], &["--sts-endpoint is no endpoint", "https://"]),
        (&["--sts-endpoint", "sts.invalid"], &["--sts-endpoint is no endpoint"]),
        (&["--sts-endpoint", "https://me:secret@sts.invalid"], &["--sts-endpoint", "must not hold a user name"]),
        (&["--sts-endpoint", "http://sts.invalid/"], &["--sts-endpoint", "http://sts.invalid/", "--allow-http"]),
        (&["--impersonate-service-account", "me"], &["--impersonate-service-account is no service account's email"]),
        (&["--google-token-file", "t", "--impersonate-service-account", "a@b"], &["exclude each other"]),
    ] {
        let outcome = refused(&stage, options, parts);
        assert!(!outcome.stderr.contains("me:secret"), "a password was printed: {}", outcome.stderr);
    }
    assert!(stage.sandbox.requests().is_empty());
}

#[test]
fn values_to_choose_from() {
    let stage = Stage::new();
    for (option, choice) in [("--on-failure", ["exit", "run"]), ("--log-format", ["text", "json"])] {
        refused(&stage, &[option, "maybe"], &choice);
    }
}

#[test]
fn values_of_variables() {
    for (variables, parts) in [
        (&[("FEDBOOT_TIMEOUT", "soon")][..], &["FEDBOOT_TIMEOUT is no length of time"][..]),
        (&[("FEDBOOT_NO_REFRESH", "maybe")], &["FEDBOOT_NO_REFRESH", "true or false"]),
        (&[("FEDBOOT_ON_FAILURE", "maybe")], &["FEDBOOT_ON_FAILURE is none of"]),
        (&[("FEDBOOT_ROLE_ARN", ""), ("AWS_ROLE_ARN", "fedboot")], &["AWS_ROLE_ARN is no role ARN"]),
        (&[("GCE_METADATA_HOST", "metadata.invalid")], &["GCE_METADATA_HOST", "metadata.invalid"]),
        (&[("AWS_ENDPOINT_URL_STS", "http://sts.invalid")], &["http://sts.invalid", "--allow-http"]),
        (&[("AWS_ENDPOINT_URL_STS", ""), ("AWS_REGION", "Dublin")], &["AWS_REGION is no AWS region", "eu-west-1"]),
    ] {
        let mut stage = Stage::new();
        for (name, value) in variables {
            stage.set(name, value);
        }
        refused(&stage, &[], parts);
        assert!(stage.sandbox.requests().is_empty(), "{variables:?}");
    }
}

/// A line end would be a key of its own in the credentials file.
#[test]
fn a_region_that_is_none() {
    let stage = Stage::new();
    for region in ["eu-west-1\naws_access_key_id = AKIA", "eu west 1", "eu-west-1]"] {
        refused(&stage, &["--region", region], &["is no region"]);
    }
    // Another cloud's STS may call its region as it likes.
    delivers(&stage, &["--region", "RegionOne"]);
}

#[test]
fn role_arns() {
    let stage = Stage::new();
    for arn in [
        "fedboot",
        "role/fedboot",
        "arn:aws:iam::123456789012:role/",
        "arn:aws:iam::123456789012:user/fedboot",
        "arn:aws:iam:123456789012:role/fedboot",
        "arn:aws:s3:::bucket",
        "arn:aws:sts::123456789012:assumed-role/fedboot/session",
        "arn:aws:iam::123456789012:role/fed boot",
        "urn:aws:iam::123456789012:role/fedboot",
    ] {
        refused(&stage, &["--role-arn", arn], &["--role-arn is no role ARN", "arn:aws:iam::123456789012:role/NAME"]);
    }
    assert!(stage.sandbox.requests().is_empty());
}

#[test]
fn templates() {
    let stage = Stage::new();
    for (option, value, part) in [
        ("--role-arn", "arn:aws:iam::123456789012:role/{nope}", "unknown placeholder"),
        ("--role-arn", "arn:aws:iam::123456789012:role/{}", "unknown placeholder"),
        ("--role-arn", "arn:aws:iam::123456789012:role/{attribute:}", "unknown placeholder"),
        ("--role-arn", "arn:aws:iam::123456789012:role/{project", "a brace without its twin"),
        ("--role-arn", "arn:aws:iam::123456789012:role/project}", "a brace without its twin"),
        ("--role-session-name", "{service_acount}", "did you mean {service_account}?"),
    ] {
        refused(&stage, &[option, value], &[option, part]);
    }
    assert!(stage.sandbox.requests().is_empty());
}

#[test]
fn placeholders_without_a_value() {
    let mut stage = Stage::with(Sandbox::builder().attribute("empty", "").attribute("odd", "a b"));
    for (name, parts) in [
        ("{attribute:absent}", &["{attribute:absent}", "has no value here"][..]),
        ("{attribute:empty}", &["{attribute:empty}", "has no value here"]),
        ("{attribute:odd}", &["--role-arn", "is no role ARN: it has white space"]),
    ] {
        refused(&stage, &["--role-arn", &format!("arn:aws:iam::123456789012:role/{name}")], parts);
    }
    let token = stage.sandbox.id_token("sts.amazonaws.com");
    write(&stage.directory.path().join("token"), token);
    stage.set("FEDBOOT_GOOGLE_TOKEN_FILE", "token");
    for name in ["{project}", "{instance_name}", "{attribute:team}"] {
        refused(&stage, &["--role-session-name", name], &[name, "has no value here"]);
    }
    assert_eq!(asked(&stage, ASSUME_ROLE), 0);
}

#[test]
fn commands_that_are_not_there() {
    let stage = Stage::new();
    let at = |name: &str| stage.directory.path().join(name);
    write(&at("plain"), "#!/bin/sh\n");
    fs::create_dir(at("directory")).expect("a directory");
    for (command, code, problem) in [
        ("fedboot-no-such-command", 127, "is in no directory of PATH"),
        ("./no-such-command", 127, "./no-such-command does not exist"),
        ("/no-such-directory/command", 127, "does not exist"),
        ("plain/command", 127, "does not exist"),
        ("", 127, "is in no directory of PATH"),
        ("./plain", 126, "./plain has no execute permission"),
        ("./directory", 126, "./directory is a directory"),
    ] {
        refused_with(&stage, code, &["--", command, "x"], &["cannot run the command", problem]);
    }
    assert!(stage.sandbox.requests().is_empty());
}

/// Only the kernel can tell, when credentials stand already.
#[test]
fn commands_that_the_kernel_refuses() {
    let stage = Stage::new();
    for (name, content, problem) in [
        ("lost", "#!/no/such/interpreter\n", "interpreter"),
        ("foreign", "no program\n", "neither a program for this machine nor a script that begins with #!"),
        ("empty", "", "neither a program"),
    ] {
        let file = stage.directory.path().join(name);
        write(&file, content);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a mode");
        let path = file.display().to_string();
        let outcome = stage.run(["--", &path]);
        outcome.assert_failed(126, &["cannot run the command", &path, problem]);
    }
}

#[test]
fn help_and_version_need_no_cloud() {
    let mut stage = Stage::new();
    stage.set("GCE_METADATA_HOST", NOBODY).unset("FEDBOOT_ROLE_ARN");
    for (words, part) in [
        (&["--help"][..], "--role-arn [PROFILE=]ARN"),
        (&["-h"], "usage:"),
        (&["--version"], "fedboot 0."),
        (&["-V"], "fedboot "),
    ] {
        let outcome = stage.run(words);
        outcome.assert_succeeded();
        assert!(outcome.stdout.contains(part), "{words:?}: {}", outcome.stdout);
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn no_role() {
    let mut stage = Stage::new();
    stage.unset("FEDBOOT_ROLE_ARN");
    let parts = ["no role to assume", "--role-arn", "AWS_ROLE_ARN", "fedboot-role-arn"];
    let outcome = refused(&stage, &[], &parts);
    assert!(!outcome.error().sentence().contains("read metadata"), "{}", outcome.stderr);
    assert_eq!(stage.sandbox.requests_to(Service::Metadata).len(), 2, "one request for each kind of attributes");
    // With a token file there may be no metadata server at all.
    stage.sandbox.forget_requests();
    refused(&stage, &["--google-token-file", "token"], &parts);
    assert!(stage.sandbox.requests().is_empty());
}

#[test]
fn no_role_and_no_metadata_server() {
    let mut stage = Stage::new();
    stage.unset("FEDBOOT_ROLE_ARN").set("GCE_METADATA_HOST", NOBODY);
    let url = format!("http://{NOBODY}/computeMetadata/v1/instance/attributes/");
    let outcome = refused(&stage, &[], &["no role to assume", "--role-arn", &url, "connection refused"]);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
}
