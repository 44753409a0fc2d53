//! What COMMAND will meet although a boot goes well: warnings, each with its remedy.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fedboot_sandbox::{AwsPlace, Sandbox};
use serde_json::json;

use crate::common::Stage;
use crate::{Report, file, on_aws, on_google};

/// There is such a warning, and with `--strict` that is enough to fail.
#[track_caller]
fn warns(stage: &Stage, words: &str, names: &[&str], remedy: &str) -> Report {
    let report = Report::of(stage, words);
    assert_eq!(report.with("failure").count(), 0, "{}", report.outcome.stdout);
    assert_eq!(report.outcome.code(), Some(0), "{}", report.outcome.stdout);
    let text = |finding: &serde_json::Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let found = report.with("warning").any(|warning| {
        names.iter().all(|part| text(warning, "message").contains(part)) && text(warning, "remedy").contains(remedy)
    });
    assert!(found, "no warning with {names:?} and {remedy:?}: {}", report.outcome.stdout);
    let (options, command) = words.split_once("--").map_or((words, ""), |(before, _)| (before, &words[before.len()..]));
    let strict = Report::of(stage, &format!("{options} --strict {command}"));
    assert_eq!(strict.outcome.code(), Some(1), "{}", strict.outcome.stdout);
    report
}

#[test]
fn keys_that_would_be_found_first() {
    let mut stage = on_google(Sandbox::builder());
    stage.set("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE").set("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG");
    let report =
        warns(&stage, "", &["AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY are set"], "unset AWS_ACCESS_KEY_ID AWS_SECRET");
    assert!(!report.outcome.stdout.contains("AKIAIOS") && !report.outcome.stdout.contains("wJalr"));
    let mut stage = on_aws(AwsPlace::Environment, Sandbox::builder());
    stage.set("GOOGLE_CREDENTIALS", "{}");
    warns(&stage, "", &["GOOGLE_CREDENTIALS is set"], "unset GOOGLE_CREDENTIALS");
}

#[test]
fn files_that_would_be_found_first() {
    let stage = on_google(Sandbox::builder());
    file(&stage, "home/.boto", "[Credentials]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n");
    warns(&stage, "", &[".boto holds AWS keys", "boto3 finds them first"], "remove them");
    let stage = on_google(Sandbox::builder());
    let old = "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalr\n";
    let path = file(&stage, "home/.aws/credentials", old);
    warns(&stage, "", &["long-term keys in a profile that fedboot fills"], "");
    assert_eq!(fs::read_to_string(path).expect("a file"), old);
    let stage = on_google(Sandbox::builder());
    file(&stage, "home/.aws/config", "[profile fedboot]\nrole_arn = arn:aws:iam::1:role/x\n");
    warns(&stage, "", &[".aws/config has role_arn in the profile fedboot"], "");
}

#[test]
fn leftovers_for_the_other_cloud() {
    let mut stage = on_google(Sandbox::builder());
    let key = file(&stage, "key.json", json!({"type": "service_account"}).to_string());
    stage.set("GOOGLE_APPLICATION_CREDENTIALS", key);
    warns(
        &stage,
        "",
        &["GOOGLE_APPLICATION_CREDENTIALS names a service account's key"],
        "unset GOOGLE_APPLICATION_CREDENTIALS",
    );
}

#[test]
fn proxies_that_catch_loopback() {
    let mut stage = on_google(Sandbox::builder());
    stage.set("http_proxy", "http://proxy.invalid:3128").set("NO_PROXY", "internal");
    warns(&stage, "", &["NO_PROXY does not name 127.0.0.1"], "export NO_PROXY=");
    let mut stage = on_aws(AwsPlace::Environment, Sandbox::builder());
    stage.set("JAVA_TOOL_OPTIONS", "-Dhttp.proxyHost=proxy -Dhttp.nonProxyHosts=internal");
    warns(&stage, "", &["JAVA_TOOL_OPTIONS names a proxy"], "nonProxyHosts=\"localhost|127.*");
}

/// A proxy that reads along, whose authority was named.
#[test]
fn an_authority_of_the_house() {
    let mut stage = on_google(Sandbox::builder());
    let proxy = stage.sandbox.resolving_proxy(None).expect("a proxy");
    stage.set("HTTPS_PROXY", proxy.url()).set("NO_PROXY", "127.0.0.1").unset("AWS_ENDPOINT_URL_STS");
    let report = warns(
        &stage,
        "",
        &["AWS STS shows a certificate by fedboot sandbox", "only AWS_CA_BUNDLE"],
        "REQUESTS_CA_BUNDLE",
    );
    assert!(report.ok("network").contains("through the proxy "), "{}", report.outcome.stdout);
}

/// A command that becomes somebody else, for whom root's files are closed.
#[test]
fn an_entrypoint_that_drops_root() {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !is_root || !Path::new("/usr/bin/setpriv").exists() {
        crate::common::launch::skip("an_entrypoint_that_drops_root", "not root, or no setpriv");
        return;
    }
    let stage = on_google(Sandbox::builder());
    warns(&stage, "-- setpriv --reuid 1000 --clear-groups sh", &["makes COMMAND user 1000"], "say --owner 1000");
}

/// Commands that are there and cannot run.
#[test]
fn what_the_kernel_would_refuse() {
    let stage = on_google(Sandbox::builder());
    let program = |name: &str, content: &[u8]| {
        let path = file(&stage, name, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        path.display().to_string()
    };
    let mut foreign = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x16\0".to_vec();
    foreign.resize(120, 0);
    for (path, part, remedy) in [
        (
            program("script", b"#!/opt/python/bin/python\n"),
            "is a script of /opt/python/bin/python, which is not there",
            "install",
        ),
        (
            program("env-script", b"#!/usr/bin/env no-such-python\n"),
            "is a script of no-such-python, which is not there",
            "install no-such-python",
        ),
        (program("dos", b"#!/bin/sh\r\necho\r\n"), "carriage return", "sed -i"),
        (program("text", b"echo hello\n"), "neither a program for Linux nor a script", "#!/bin/sh"),
        (program("foreign", &foreign), "another kind of machine", "--platform"),
        (file(&stage, "closed", "#!/bin/sh\n").display().to_string(), "has no execute permission", "chmod +x"),
    ] {
        let report = Report::of(&stage, &format!("--offline -- {path}"));
        let (message, said) = report.first("failure");
        assert!(message.contains(part) && said.contains(remedy), "{message}: {said}");
        assert_eq!(report.outcome.code(), Some(2));
    }
}

/// SDKs by the names that package managers give them, and the modules of a program of Go.
#[test]
fn sdks_on_this_machine() {
    let mut stage = on_google(Sandbox::builder());
    let at = |name: &str| stage.directory.path().join(name);
    for name in [
        "python/boto3-1.20.0.dist-info/METADATA",
        "python/google_auth-2.62.0.dist-info/METADATA",
        "jars/sdk-core-2.31.78.jar",
    ] {
        file(&stage, name, "");
    }
    file(&stage, "node_modules/aws-sdk/package.json", json!({"version": "2.1692.0"}).to_string());
    let program =
        b"\x7fELF\xff Go buildinf:\x08\x02path\tx\ndep\tgithub.com/aws/aws-sdk-go-v2/config\tv1.18.0\th1:x=\n";
    let program = file(&stage, "program", program);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    let (python, jars) = (at("python"), at("jars/*"));
    stage.set("PYTHONPATH", python).set("CLASSPATH", jars);
    let report = Report::of(&stage, &format!("--offline --clients -- {}", program.display()));
    let old: Vec<_> = report.with("warning").filter(|it| it["check"] == "clients").collect();
    for (client, remedy) in
        [("boto3", "pip install 'boto3>=1.34.41'"), ("github.com/aws/aws-sdk-go-v2/config", "@v1.25.0")]
    {
        let found = old.iter().find(|it| it["client"] == client).unwrap_or_else(|| panic!("{}", report.outcome.stdout));
        assert!(found["remedy"].as_str().expect("a remedy").contains(remedy), "{found}");
    }
    let fine = report.ok("clients");
    assert!(fine.contains("sdk-core 2.31.78") && fine.contains("aws-sdk 2.1692.0"), "{fine}");
    assert!(!report.outcome.stdout.contains("google-auth"), "it is for the other way: {}", report.outcome.stdout);
}
