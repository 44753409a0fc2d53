//! A proxy in the environment: for STS and IAM Credentials, never for the metadata server.

use fedboot_sandbox::{Proxied, Role, Sandbox};

use crate::common::Stage;
use crate::{ASSUME_ROLE, IDENTITY, NOBODY, asked, delivers, refused, side_by_side};

fn sts_address(stage: &Stage) -> String {
    stage.sandbox.sts_url().replace("https://", "")
}

#[test]
fn nobody_at_the_proxy() {
    side_by_side(["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"], |name| {
        let mut stage = Stage::new();
        stage.set(name, format!("http://{NOBODY}"));
        let through = format!("{}/ through the proxy {NOBODY}: ", stage.sandbox.sts_url());
        refused(&stage, &["--timeout", "1"], &["cannot assume role", &through, "connection refused", " times in "]);
        assert_eq!(asked(&stage, IDENTITY), 1, "{name}: the metadata server is asked without it");
    });
}

#[test]
fn the_metadata_server_is_asked_without_it() {
    for name in ["HTTP_PROXY", "http_proxy"] {
        let mut stage = Stage::new();
        let proxy = stage.sandbox.connect_proxy(None).expect("a proxy");
        stage.set(name, proxy.url());
        delivers(&stage, &[]);
        let plain = stage.sandbox.sts_http_url();
        delivers(&stage, &["--sts-endpoint", &plain]);
        assert_eq!(proxy.requests(), [], "{name}");
    }
}

#[test]
fn a_proxy() {
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let mut stage = Stage::new();
        let proxy = stage.sandbox.connect_proxy(None).expect("a proxy");
        stage.set(name, proxy.url());
        delivers(&stage, &[]);
        assert_eq!(
            proxy.requests(),
            [Proxied { method: "CONNECT".into(), target: sts_address(&stage), status: 200 }],
            "{name}"
        );
        // Without a scheme, as curl takes it too.
        stage.set(name, proxy.address().to_string());
        delivers(&stage, &[]);
        assert_eq!(proxy.requests().len(), 2, "{name}");
    }
}

#[test]
fn the_lower_case_variable_wins() {
    let mut stage = Stage::new();
    let proxy = stage.sandbox.connect_proxy(None).expect("a proxy");
    stage.set("HTTPS_PROXY", format!("http://{NOBODY}")).set("https_proxy", proxy.url());
    delivers(&stage, &[]);
}

#[test]
fn a_proxy_with_a_password() {
    let mut stage = Stage::new();
    let proxy = stage.sandbox.connect_proxy(Some(("user", "p@ss/w:rd%"))).expect("a proxy");
    let url = |userinfo: &str| format!("http://{userinfo}{}", proxy.address());
    stage.set("HTTPS_PROXY", url("user:p%40ss%2Fw%3Ard%25@"));
    delivers(&stage, &[]);
    let through = format!("through the proxy {}: answered 407", proxy.address());
    for userinfo in ["", "user@", "user:hunter2@"] {
        stage.set("HTTPS_PROXY", url(userinfo));
        let outcome = refused(&stage, &[], &[&through, &sts_address(&stage)]);
        assert!(!outcome.stderr.contains("hunter2"), "a password was printed: {}", outcome.stderr);
        assert_eq!(outcome.error().field("attempts"), "1");
    }
    assert_eq!(asked(&stage, ASSUME_ROLE), 1);
}

#[test]
fn exceptions() {
    for (exception, proxied) in [
        ("127.0.0.1", false),
        ("127.0.0.0/8", false),
        ("sts.invalid, 127.0.0.1", false),
        ("sts.invalid", true),
        ("", true),
    ] {
        for name in ["NO_PROXY", "no_proxy"] {
            let mut stage = Stage::new();
            let proxy = stage.sandbox.connect_proxy(None).expect("a proxy");
            stage.set("HTTPS_PROXY", proxy.url()).set(name, exception);
            delivers(&stage, &[]);
            assert_eq!(!proxy.requests().is_empty(), proxied, "{name}={exception}");
        }
    }
}

#[test]
fn no_proxy_at_all() {
    let mut stage = Stage::new();
    stage.set("HTTPS_PROXY", format!("http://{NOBODY}")).set("NO_PROXY", "*");
    delivers(&stage, &["--timeout", "1"]);
}

#[test]
fn proxies_that_are_of_no_use() {
    let mut stage = Stage::new();
    stage.set("HTTPS_PROXY", format!("socks5://{NOBODY}"));
    refused(&stage, &[], &["through the proxy", "socks5 is no HTTP proxy"]);
    // It answers, but cannot reach STS.
    let proxy = stage.sandbox.connect_proxy(None).expect("a proxy");
    stage.set("HTTPS_PROXY", proxy.url());
    let nobody = format!("https://{NOBODY}");
    let answered = format!("answered 502 Bad Gateway to CONNECT {NOBODY}");
    refused(&stage, &["--sts-endpoint", &nobody, "--timeout", "1"], &[&answered, " times in "]);
    // It is a web server.
    stage.set("HTTPS_PROXY", format!("http://{}", stage.sandbox.metadata_host()));
    refused(&stage, &["--timeout", "1"], &["through the proxy", "to CONNECT"]);
    assert_eq!(asked(&stage, ASSUME_ROLE), 0);
}

/// Plain requests carry the whole URL; only `--allow-http` makes such an endpoint possible.
#[test]
fn http_through_a_proxy() {
    let mut stage = Stage::new();
    let proxy = stage.sandbox.connect_proxy(Some(("user", "password"))).expect("a proxy");
    stage.set("HTTP_PROXY", proxy.url());
    let far = stage.sandbox.sts_http_url().replace("127.0.0.1", "127.1");
    delivers(&stage, &["--sts-endpoint", &far, "--allow-http"]);
    assert_eq!(proxy.requests(), [Proxied { method: "POST".into(), target: format!("{far}/"), status: 200 }]);
}

/// A proxy that resolves names shows which hosts are asked by default.
#[test]
fn hosts_by_region_and_partition() {
    let china = "arn:aws-cn:iam::123456789012:role/fedboot";
    let usual = "arn:aws:iam::123456789012:role/fedboot-demo";
    let rows = [
        (usual, None, "sts.us-east-1.amazonaws.com:443"),
        (usual, Some("eu-west-1"), "sts.eu-west-1.amazonaws.com:443"),
        (china, None, "sts.cn-north-1.amazonaws.com.cn:443"),
        (china, Some("cn-northwest-1"), "sts.cn-northwest-1.amazonaws.com.cn:443"),
        (china, Some("eu-west-1"), "sts.eu-west-1.amazonaws.com:443"),
    ];
    side_by_side(rows, |(role, region, host)| {
        let account = "worker@demo-project.iam.gserviceaccount.com".into();
        let trusting = Role::trusting(role, [&account], "sts.amazonaws.com");
        let mut stage = Stage::with(Sandbox::builder().role(trusting));
        let proxy = stage.sandbox.resolving_proxy(None).expect("a proxy");
        stage.set("HTTPS_PROXY", proxy.url()).unset("AWS_ENDPOINT_URL_STS");
        if let Some(region) = region {
            stage.set("AWS_REGION", region);
        }
        let outcome = delivers(&stage, &[]);
        assert_eq!(proxy.targets(), [host]);
        let warned = outcome.events().iter().any(|event| event.message().contains("is in the partition aws,"));
        assert_eq!(warned, role == china && region == Some("eu-west-1"), "{}", outcome.stderr);
    });
}

#[test]
fn impersonation_through_a_proxy() {
    let email = "reader@other-project.iam.gserviceaccount.com";
    let mut stage = Stage::with(Sandbox::builder().impersonable(email));
    let proxy = stage.sandbox.resolving_proxy(None).expect("a proxy");
    stage.set("HTTPS_PROXY", proxy.url()).unset("AWS_ENDPOINT_URL_STS").unset("FEDBOOT_IAM_CREDENTIALS_ENDPOINT");
    delivers(&stage, &["--impersonate-service-account", email, "--region", "eu-west-1"]);
    let mut targets = proxy.targets();
    targets.sort();
    assert_eq!(targets, ["iamcredentials.googleapis.com:443", "sts.eu-west-1.amazonaws.com:443"]);
}
