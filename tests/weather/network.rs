//! What lies between: TLS, names, addresses, servers that are something else.

use std::net::TcpListener;

use fedboot_sandbox::{Fault, Sandbox, Service};

use crate::common::agents::within_patience;
use crate::common::launch::may_unshare;
use crate::common::{Stage, binary, write};
use crate::{ASSUME_ROLE, IDENTITY, NOBODY, asked, delivers, refused};

#[test]
fn wrong_certificate() {
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::wrong_certificate().always()));
    let outcome = refused(&stage, &[], &["certificate", "not to be trusted for 127.0.0.1", "AWS_CA_BUNDLE"]);
    assert_eq!(outcome.error().field("attempts"), "1", "it does not go away by itself");
    assert_eq!(outcome.stderr.lines().count(), 1);
    let stage = {
        let mut stage = Stage::new();
        stage.unset("AWS_CA_BUNDLE");
        stage
    };
    refused(&stage, &[], &["not to be trusted for 127.0.0.1 (UnknownIssuer)", "AWS_CA_BUNDLE"]);
    assert_eq!(asked(&stage, ASSUME_ROLE), 0);
}

#[test]
fn a_certificate_for_another_name() {
    let mut stage = Stage::new();
    // It leads any name to STS, whose certificate is for loopback.
    let proxy = stage.sandbox.resolving_proxy(None).expect("a proxy");
    stage.set("HTTPS_PROXY", proxy.url());
    let url = "https://other.invalid";
    let outcome = refused(&stage, &["--sts-endpoint", url], &["certificate", "not to be trusted for other.invalid"]);
    assert_eq!(outcome.error().field("attempts"), "1");
    assert_eq!(asked(&stage, ASSUME_ROLE), 0);
}

#[test]
fn authority_files() {
    let mut stage = Stage::new();
    let file = stage.directory.path().join("ca.pem");
    let path = file.display().to_string();
    let begin = "-----BEGIN CERTIFICATE-----";
    let end = "-----END CERTIFICATE-----";
    for (content, problem) in [
        (None, "no such file or directory"),
        (Some(String::new()), "no CA certificate"),
        (Some("nothing of the kind\n".into()), "no CA certificate"),
        (Some(format!("{begin}\nAAAA\n{end}\n")), "no CA certificate"),
        (Some(format!("{begin}\n!!!\n{end}\n")), "malformed PEM"),
        (Some(format!("{begin}\nAAAA\n")), "malformed PEM"),
    ] {
        if let Some(content) = content {
            write(&file, content);
        }
        for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
            stage.unset("AWS_CA_BUNDLE").unset("SSL_CERT_FILE").set(name, path.as_str());
            let outcome = refused(&stage, &[], &["cannot assume role", problem, &path, name]);
            assert_eq!(outcome.error().field("attempts"), "1", "{problem}");
        }
    }
    assert_eq!(asked(&stage, ASSUME_ROLE), 0);
    // Either names the authority, a broken certificate in a bundle of good ones does not matter, relative paths do.
    let bundle = std::fs::read_to_string(stage.sandbox.ca_file()).expect("the sandbox's authority");
    write(&file, format!("# authorities\n{begin}\nAAAA\n{end}\n{bundle}"));
    for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        stage.unset("AWS_CA_BUNDLE").unset("SSL_CERT_FILE").set(name, "ca.pem");
        delivers(&stage, &[]);
    }
}

/// A house with an authority of its own puts it into the system's store, where curl finds it without any variable.
#[test]
fn an_authority_in_the_systems_store() {
    if !may_unshare("an_authority_in_the_systems_store", &["--mount"]) {
        return;
    }
    let mut stage = Stage::new();
    let other = Sandbox::builder().start().expect("another authority");
    let bundle = std::fs::read_to_string(stage.sandbox.ca_file()).expect("the sandbox's authority");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let store = stage.directory.path().join("etc");
    // A variable that names another authority takes nothing away.
    for variable in ["SSL_CERT_FILE", "UNRELATED"] {
        stage.unset("AWS_CA_BUNDLE").unset("SSL_CERT_FILE").unset("UNRELATED");
        stage.set(variable, other.ca_file());
        for (name, content, trusted) in [
            ("certs/ca-certificates.crt", format!("{broken}{bundle}"), true),
            ("cert.pem", bundle.clone(), true),
            ("certs/ca-certificates.crt", broken.to_owned(), false),
            ("certs/ca-certificates.crt", String::new(), false),
            ("none", String::new(), false),
        ] {
            let _ = std::fs::remove_dir_all(&store);
            write(&store.join(name), &content);
            let mut unshare = stage.wrapper("unshare");
            let script = format!("mount --bind {} /etc/ssl && exec \"$@\"", store.display());
            unshare.args(["--mount", "sh", "-c", &script, "sh"]).arg(binary()).args(["--", "true"]);
            let outcome = within_patience(&mut unshare);
            if trusted {
                outcome.assert_succeeded();
            } else {
                outcome.assert_failed(125, &["not to be trusted for 127.0.0.1", "AWS_CA_BUNDLE"]);
            }
        }
    }
}

#[test]
fn names_that_do_not_resolve() {
    let stage = Stage::new();
    let options = ["--sts-endpoint", "https://sts.invalid/", "--timeout", "2"];
    let outcome = refused(&stage, &options, &["cannot assume role", "https://sts.invalid/ "]);
    // A resolver whose own server is away takes longer to say so than anybody waits.
    let message = outcome.error().message().to_owned();
    assert!(message.contains("no address for sts.invalid") || message.contains("gave no answer within"), "{message}");
}

#[test]
fn nobody_listens() {
    let stage = Stage::new();
    let url = format!("https://{NOBODY}");
    let parts = [&format!("{url}/ cannot be reached: connection refused ({NOBODY})")[..], " times in "];
    refused(&stage, &["--sts-endpoint", &url, "--timeout", "1"], &parts);
    assert_eq!(asked(&stage, IDENTITY), 1, "one token is enough");
}

#[test]
fn a_port_that_says_nothing() {
    let stage = Stage::new();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}", silent.local_addr().expect("an address"));
    refused(&stage, &["--sts-endpoint", &url, "--timeout", "1"], &[&url, "gave no answer within 1.0 s"]);
}

#[test]
fn another_protocol() {
    let stage = Stage::new();
    let plain_as_tls = stage.sandbox.sts_http_url().replace("http:", "https:");
    let tls_as_plain = stage.sandbox.sts_url().replace("https:", "http:");
    refused(&stage, &["--sts-endpoint", &plain_as_tls, "--timeout", "1"], &[&plain_as_tls, "TLS handshake"]);
    refused(&stage, &["--sts-endpoint", &tls_as_plain, "--timeout", "1"], &[&tls_as_plain, "/ "]);
    assert_eq!(asked(&stage, ASSUME_ROLE), 0);
    // A path under which there is no STS.
    let nowhere = format!("{}/nowhere", stage.sandbox.sts_url());
    refused(&stage, &["--sts-endpoint", &nowhere], &[&nowhere, "404"]);
}

/// In the clear only where nobody else can listen, unless the user says that nobody does.
#[test]
fn http() {
    let stage = Stage::new();
    let near = stage.sandbox.sts_http_url();
    delivers(&stage, &["--sts-endpoint", &near]);
    delivers(&stage, &["--sts-endpoint", &near.replace("127.0.0.1", "localhost")]);
    // Loopback too, but written so that only a resolver knows: it stands for any name.
    let far = near.replace("127.0.0.1", "127.1");
    stage.sandbox.forget_requests();
    refused(&stage, &["--sts-endpoint", &far], &["--sts-endpoint", &far, "in the clear", "--allow-http"]);
    assert!(stage.sandbox.requests().is_empty());
    delivers(&stage, &["--sts-endpoint", &far, "--allow-http"]);
}
