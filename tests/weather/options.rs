//! Fair weather: what is asked of whom, and where each option may come from.

use std::time::Duration;

use fedboot_sandbox::{Fault, Role, Sandbox, Service};

use crate::common::{Outcome, Stage};
use crate::{ASSUME_ROLE, IDENTITY, NOBODY, asked, delivers, refused, side_by_side, variable};

const EMAIL: &str = "worker@demo-project.iam.gserviceaccount.com";

fn role(name: &str) -> Role {
    Role::trusting(arn(name), [&EMAIL.into()], "sts.amazonaws.com")
}

fn arn(name: &str) -> String {
    format!("arn:aws:iam::123456789012:role/{name}")
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a host name").trim().to_owned()
}

/// A parameter of the last request to STS.
fn sent(stage: &Stage, name: &str) -> String {
    let last = stage.sandbox.requests_to(Service::Sts).pop().expect("a request");
    last.param(name).unwrap_or_default().to_owned()
}

#[test]
fn the_usual_path_is_two_requests() {
    let stage = Stage::with(Sandbox::builder().attribute("fedboot-role-session-name", "ignored"));
    delivers(&stage, &[]);
    let requests = stage.sandbox.requests();
    let [identity, assume] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(
        (identity.method.as_str(), identity.path.as_str(), identity.query.as_str()),
        (
            "GET",
            "/computeMetadata/v1/instance/service-accounts/default/identity",
            "audience=sts.amazonaws.com&format=full&licenses=TRUE"
        )
    );
    assert_eq!(identity.header("metadata-flavor"), Some("Google"));
    assert_eq!(identity.header("x-forwarded-for"), None);
    assert_eq!((assume.method.as_str(), assume.path.as_str(), assume.query.as_str()), ("POST", "/", ""));
    assert!(assume.tls);
    assert_eq!(assume.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(assume.header("authorization"), None);
    let host = stage.sandbox.sts_url().replace("https://", "");
    assert_eq!(assume.header("host"), Some(host.as_str()));
    let names: Vec<&str> = assume.params.keys().map(String::as_str).collect();
    let expected = ["Action", "DurationSeconds", "RoleArn", "RoleSessionName", "Version", "WebIdentityToken"];
    assert_eq!(names, expected);
    assert_eq!(assume.param("Action"), Some(ASSUME_ROLE));
    assert_eq!(assume.param("Version"), Some("2011-06-15"));
    assert_eq!(assume.param("DurationSeconds"), Some("3600"));
    assert_eq!(assume.param("RoleArn"), Some(arn("fedboot-demo").as_str()));
    let token = assume.param("WebIdentityToken").expect("a token");
    assert!(!requests.iter().any(|r| r.path.contains(token) || r.query.contains(token)));
    assert!(!requests.iter().flat_map(|r| &r.headers).any(|(_, value)| value.contains(token)));
}

#[test]
fn the_connection_to_sts_stands_before_the_token() {
    let late = Fault::delay(Duration::from_millis(300));
    let stage = Stage::with(Sandbox::builder().fault(Service::Metadata, late));
    delivers(&stage, &[]);
    let identity = &stage.sandbox.requests_to(Service::Metadata)[0];
    let connections = stage.sandbox.connections();
    let sts: Vec<_> = connections.iter().filter(|connection| connection.service == Service::Sts).collect();
    assert_eq!(sts.len(), 1);
    assert!(sts[0].since_start < identity.since_start + identity.took);
}

#[test]
fn lifetimes() {
    let stage = Stage::new();
    for (text, seconds) in [("900", 900), ("90m", 5400), ("12h", 43_200), ("1h 30m", 5400), ("1h30m", 5400)] {
        delivers(&stage, &["--duration", text]);
        assert_eq!(sent(&stage, "DurationSeconds"), seconds.to_string());
        assert_eq!(stage.sandbox.issued().pop().expect("credentials").duration_seconds, seconds);
    }
}

#[test]
fn session_names() {
    let mut stage = Stage::new();
    let long = "n".repeat(80);
    for (name, clean) in [
        ("worker-1.eu_x+y=z,a@b", "worker-1.eu_x+y=z,a@b"),
        ("a b/ü:\n", "a-b----"),
        ("x", "x-"),
        (&long, &long[..64]),
        ("{hostname}", &hostname()),
        ("{project}.{instance_name}", "demo-project.demo-worker-0"),
        ("{service_account_email}", EMAIL),
    ] {
        delivers(&stage, &["--role-session-name", name]);
        assert_eq!(sent(&stage, "RoleSessionName"), clean);
    }
    stage.set("AWS_ROLE_SESSION_NAME", "aws");
    delivers(&stage, &[]);
    assert_eq!(sent(&stage, "RoleSessionName"), "aws");
    stage.set("FEDBOOT_ROLE_SESSION_NAME", "own");
    delivers(&stage, &[]);
    assert_eq!(sent(&stage, "RoleSessionName"), "own");
}

/// All of these come with the token; nothing more is asked.
#[test]
fn templates_from_the_token() {
    let roles = ["worker", "demo-project", "demo-worker-0", "demo-project/worker"];
    let host = format!("host-{}", hostname());
    let builder = roles.iter().fold(Sandbox::builder(), |builder, name| builder.role(role(name)));
    let stage = Stage::with(builder.role(role(&host)));
    for (template, name) in [
        ("{service_account}", "worker"),
        ("{project}", "demo-project"),
        ("{instance_name}", "demo-worker-0"),
        ("{project}/{service_account}", "demo-project/worker"),
        ("host-{hostname}", &host),
    ] {
        stage.sandbox.forget_requests();
        let outcome = delivers(&stage, &["--role-arn", &arn(template)]);
        assert_eq!(sent(&stage, "RoleArn"), arn(name));
        assert_eq!(outcome.events()[0].field("role"), arn(name));
        assert_eq!(stage.sandbox.requests().len(), 2, "{template}");
    }
}

#[test]
fn templates_from_attributes() {
    let builder = Sandbox::builder().role(role("of-instance")).role(role("of-project"));
    let stage = Stage::with(builder.project_attribute("team", "of-project"));
    let template = arn("{attribute:team}");
    delivers(&stage, &["--role-arn", &template]);
    assert_eq!(sent(&stage, "RoleArn"), arn("of-project"));
    let paths: Vec<_> = stage.sandbox.requests_to(Service::Metadata).into_iter().skip(1).map(|r| r.path).collect();
    let path = |scope: &str| format!("/computeMetadata/v1/{scope}/attributes/team");
    assert_eq!(paths, [path("instance"), path("project")]);
    stage.sandbox.change(|s| drop(s.attributes.insert("team".into(), "of-instance".into()))).expect("an attribute");
    delivers(&stage, &["--role-arn", &template]);
    assert_eq!(sent(&stage, "RoleArn"), arn("of-instance"));
}

/// An attribute that cannot be read yet is waited for like everything else.
#[test]
fn templates_in_bad_weather() {
    let builder = Sandbox::builder().role(role("blue")).attribute("team", "blue");
    let stage = Stage::with(builder.fault(Service::Metadata, Fault::status(503, "").on("team").times(2)));
    let template = arn("{attribute:team}");
    delivers(&stage, &["--role-arn", &template]);
    stage.sandbox.fault(Service::Metadata, Fault::status(503, "starting").on("team").always());
    let url = format!("http://{}/computeMetadata/v1/instance/attributes/team", stage.sandbox.metadata_host());
    refused(&stage, &["--role-arn", &template, "--timeout", "1"], &["cannot read metadata", &url, "503", "starting"]);
}

#[test]
fn templates_under_impersonation() {
    let reader = "reader@other-project.iam.gserviceaccount.com";
    let trusting = |name: &str| Role::trusting(arn(name), [&reader.into()], "sts.amazonaws.com");
    let builder = Sandbox::builder().role(trusting("reader")).role(trusting("demo-project-demo-worker-0"));
    let stage = Stage::with(builder.impersonable(reader));
    for template in ["{service_account}", "{project}-{instance_name}"] {
        delivers(&stage, &["--impersonate-service-account", reader, "--role-arn", &arn(template)]);
    }
}

/// What a user sets for a project reaches workers whose environment nobody can set.
#[test]
fn options_from_attributes() {
    let builder =
        Sandbox::builder().role(role("worker")).project_attribute("fedboot-role-arn", arn("{service_account}"));
    let mut stage = Stage::with(
        builder
            .project_attribute("fedboot-role-session-name", "of-project")
            .attribute("fedboot-role-session-name", "of-instance")
            .project_attribute("fedboot-duration", "20m")
            .attribute("fedboot-region", "eu-west-1"),
    );
    stage.unset("FEDBOOT_ROLE_ARN");
    let outcome = delivers(&stage, &[]);
    assert_eq!(sent(&stage, "RoleArn"), arn("worker"));
    assert_eq!(sent(&stage, "RoleSessionName"), "of-instance");
    assert_eq!(sent(&stage, "DurationSeconds"), "1200");
    assert_eq!(variable(&outcome, "AWS_REGION"), Some("eu-west-1"));
    let asked: Vec<_> = stage.sandbox.requests().into_iter().map(|r| (r.path, r.query)).take(2).collect();
    let attributes = |scope: &str| (format!("/computeMetadata/v1/{scope}/attributes/"), "recursive=true".to_owned());
    assert_eq!(asked, [attributes("instance"), attributes("project")]);
    assert_eq!(stage.sandbox.requests().len(), 4);
    // Flags and variables stand before them.
    stage.set("AWS_REGION", "eu-west-2").set("AWS_ROLE_SESSION_NAME", "of-variable");
    let outcome = delivers(&stage, &["--duration", "30m"]);
    assert_eq!(sent(&stage, "RoleSessionName"), "of-variable");
    assert_eq!(sent(&stage, "DurationSeconds"), "1800");
    assert_eq!(variable(&outcome, "AWS_REGION"), Some("eu-west-2"));
}

#[test]
fn options_from_both_kinds_of_attributes() {
    let builder = Sandbox::builder().attribute("fedboot-role-arn", arn("fedboot-demo"));
    let mut stage = Stage::with(builder.project_attribute("fedboot-duration", "20m"));
    stage.unset("FEDBOOT_ROLE_ARN");
    delivers(&stage, &[]);
    assert_eq!(sent(&stage, "DurationSeconds"), "1200");
}

#[test]
fn an_audience_from_an_attribute() {
    let trusting = Role::trusting(arn("fedboot-demo"), [&EMAIL.into()], "https://audience.invalid");
    let builder = Sandbox::builder().role(trusting).attribute("fedboot-role-arn", arn("fedboot-demo"));
    let mut stage = Stage::with(builder.attribute("fedboot-audience", "https://audience.invalid"));
    stage.unset("FEDBOOT_ROLE_ARN");
    delivers(&stage, &[]);
}

#[test]
fn attributes_that_are_wrong() {
    let rows = [
        ("fedboot-role-arn", "fedboot", "the metadata attribute fedboot-role-arn is no role ARN"),
        ("fedboot-duration", "soon", "the metadata attribute fedboot-duration is no length of time"),
        (
            "fedboot-role-session-name",
            "{nope}",
            "the metadata attribute fedboot-role-session-name has an unknown placeholder",
        ),
    ];
    side_by_side(rows, |(name, value, part)| {
        let builder = Sandbox::builder().attribute("fedboot-role-arn", arn("fedboot-demo")).attribute(name, value);
        let mut stage = Stage::with(builder);
        stage.unset("FEDBOOT_ROLE_ARN");
        refused(&stage, &[], &[part]);
    });
}

/// Whoever may set attributes must not be able to send a token elsewhere.
#[test]
fn attributes_that_do_not_count() {
    let elsewhere = format!("https://{NOBODY}");
    let mut builder = Sandbox::builder().attribute("fedboot-role-arn", arn("fedboot-demo"));
    for name in
        ["sts-endpoint", "iam-credentials-endpoint", "google-token-file", "credentials-file", "delivery", "allow-http"]
    {
        builder = builder.attribute(format!("fedboot-{name}"), elsewhere.as_str());
    }
    let mut stage = Stage::with(builder);
    stage.unset("FEDBOOT_ROLE_ARN");
    delivers(&stage, &[]);
    assert_eq!((asked(&stage, IDENTITY), asked(&stage, ASSUME_ROLE)), (1, 1));
}

/// Attributes are asked for only where nothing else names a role.
#[test]
fn no_attribute_is_asked_for() {
    let builder = Sandbox::builder().attribute("fedboot-duration", "20m");
    let mut stage = Stage::with(builder);
    let demo = arn("fedboot-demo");
    stage.unset("FEDBOOT_ROLE_ARN");
    delivers(&stage, &["--role-arn", &demo]);
    stage.set("AWS_ROLE_ARN", demo);
    delivers(&stage, &[]);
    assert_eq!(stage.sandbox.requests().len(), 4);
    assert_eq!(sent(&stage, "DurationSeconds"), "3600");
}

/// The command's `AWS_REGION`, and the region of the profile.
#[test]
fn regions() {
    let rows = [
        (&[][..], &[][..], "us-east-1", "us-east-1"),
        (&[("AWS_REGION", "eu-west-1")], &[], "eu-west-1", "eu-west-1"),
        (&[("AWS_DEFAULT_REGION", "eu-west-2")], &[], "eu-west-2", "eu-west-2"),
        (&[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "eu-west-2")], &[], "eu-west-2", "eu-west-2"),
        (&[("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-west-2")], &[], "eu-west-1", "eu-west-1"),
        (&[("AWS_REGION", "eu-west-1"), ("FEDBOOT_REGION", "eu-west-3")], &[], "eu-west-1", "eu-west-3"),
        (&[("AWS_DEFAULT_REGION", "eu-west-2")], &["--region", "eu-west-3"], "eu-west-3", "eu-west-3"),
    ];
    side_by_side(rows, |(variables, options, of_command, of_profile)| {
        let mut stage = Stage::new();
        for (name, value) in variables {
            stage.set(name, value);
        }
        let outcome = delivers(&stage, options);
        let count = outcome.stdout.lines().filter(|line| line.starts_with("AWS_REGION=")).count();
        assert_eq!((variable(&outcome, "AWS_REGION"), count), (Some(of_command), 1), "{variables:?}");
        assert!(stage.credentials_text().contains(&format!("[fedboot]\nregion = {of_profile}\n")), "{variables:?}");
    });
}

#[test]
fn partitions_and_stores() {
    for (role, region) in [
        ("arn:aws-cn:iam::123456789012:role/fedboot", "cn-north-1"),
        ("arn:aws-us-gov:iam::123456789012:role/fedboot", "us-gov-west-1"),
        ("arn:minio:iam:::role/fedboot-demo", "us-east-1"),
    ] {
        let trusting = Role::trusting(role, [&EMAIL.into()], "sts.amazonaws.com");
        let stage = Stage::with(Sandbox::builder().role(trusting));
        let outcome: Outcome = delivers(&stage, &[]);
        assert_eq!(variable(&outcome, "AWS_REGION"), Some(region), "{role}");
    }
}
