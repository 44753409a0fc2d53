//! What servers answer, and what fedboot's own servers then say of it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use fedboot_sandbox::AwsPlace;
use serde_json::json;

use crate::common::launch::Held;
use crate::common::{Stage, eventually, web, write};
use crate::{Case, LOOK, found, none_is_shown, to_aws, to_google};

/// An ID token of Google in its shape, with the marker in its signature.
const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2FjY291bnRzLmdvb2dsZS5jb20iLCJzdWIiOiIxIiwiYXVkIjoiYSIsImV4cCI6NDEwMjQ0NDgwMH0.hunter2c2ln";

type Reply = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// A server that reads a whole request and answers as told; it stands until the test ends.
fn serve(reply: Reply) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let reply = reply.clone();
            thread::spawn(move || converse(stream, &*reply));
        }
    });
    address
}

fn converse(mut stream: std::net::TcpStream, reply: &dyn Fn(&str) -> String) {
    let mut request = Vec::new();
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        request.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            let _ = stream.write_all(reply(&text).as_bytes());
            return;
        }
    }
}

fn response(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} x\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// Bodies that hold what nobody may see, or quote the request.
fn bodies() -> Vec<(&'static str, Reply)> {
    fn fixed(body: &'static str) -> Reply {
        Arc::new(move |_| body.to_owned())
    }
    vec![
        ("a token", fixed("{\"access_token\": \"ya29.hunter2hunter2\", \"expires_in\": \"hunter2\"}")),
        ("a bare token", fixed(TOKEN)),
        ("keys", fixed("{\"AccessKeyId\": \"ASIAIOSFODNN7EXAMPLE\", \"SecretAccessKey\": \"hunter2\", \"Code\": 7}")),
        (
            "a key",
            fixed("{\"error\": {\"message\": \"-----BEGIN PRIVATE KEY-----\\nhunter2\", \"status\": \"INVALID\"}}"),
        ),
        ("a password", fixed("see https://user:hunter2@host.invalid/?token=hunter2 or password=hunter2")),
        ("a secret key", fixed("bad key wJalrXUtnFEMI/K7MDENG/hunter2YEXAMPLEKEY")),
        ("what was asked", Arc::new(str::to_owned)),
        ("the same in JSON", Arc::new(|request| json!({"code": "X", "message": request}).to_string())),
        ("the same as Google's", Arc::new(|request| json!({"error": {"status": "X", "message": request}}).to_string())),
        ("the same as OAuth's", Arc::new(|request| json!({"error": "x", "error_description": request}).to_string())),
        (
            "the same in XML",
            Arc::new(|request| {
                let text = request.replace('&', "&amp;").replace('<', "&lt;");
                format!("<E><Error><Code>X</Code><Message>{text}</Message></Error></E>")
            }),
        ),
        (
            "credentials that are none",
            fixed(
                "<R><Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>hunter2</SecretAccessKey>\
                 <SessionToken>hunter2</SessionToken></Credentials></R>",
            ),
        ),
    ]
}

/// Each of them with each status, and with headers that hold it too.
fn replies() -> Vec<(String, Reply)> {
    let mut replies = Vec::new();
    let odd = "<R><AccessKeyId>hunter2</AccessKeyId><SecretAccessKey>hunter2</SecretAccessKey>\
               <SessionToken>hunter2</SessionToken><Arn>hunter2</Arn></R>";
    replies.push(("keys of a strange kind".to_owned(), Arc::new(|_: &str| response(200, "", odd)) as Reply));
    for status in [200, 302, 401, 403, 500] {
        for (number, (name, body)) in bodies().into_iter().enumerate() {
            // What may pass is tried for a second.
            if status == 500 && number % 4 != 0 {
                continue;
            }
            for headers in [
                "Metadata-Flavor: Google\r\n",
                "Content-Type: text/html\r\nx-amzn-requestid: hunter2\r\n",
                "Metadata-Flavor: Google\r\nLocation: https://user:hunter2@host.invalid/a?token=hunter2#hunter2\r\n",
                "Content-Type: hunter2\r\nLocation: /a?token=hunter2\r\nDate: hunter2\r\n",
            ] {
                if status == 302 || !headers.contains("Location") {
                    let body = body.clone();
                    let reply: Reply = Arc::new(move |request| response(status, headers, &body(request)));
                    replies.push((format!("{status}, {name}, {headers:?}"), reply));
                }
            }
        }
    }
    replies
}

fn path(stage: &Stage, name: &str, content: impl AsRef<[u8]>) -> String {
    let file = stage.directory.path().join(name);
    write(&file, content);
    file.to_str().expect("text").to_owned()
}

#[test]
fn of_google() {
    let stage = to_aws();
    let cases = replies().into_iter().flat_map(|(name, reply)| {
        let host = serve(reply);
        let account = Case::new(format!("IAM Credentials: {name}"), &LOOK)
            .with("FEDBOOT_IMPERSONATE_SERVICE_ACCOUNT", "a@b.iam.gserviceaccount.com")
            .with("FEDBOOT_IAM_CREDENTIALS_ENDPOINT", &format!("http://{host}"));
        [
            Case::new(format!("metadata: {name}"), &LOOK).with("GCE_METADATA_HOST", &host),
            Case::new(format!("attributes: {name}"), &LOOK)
                .with("GCE_METADATA_HOST", &host)
                .with("FEDBOOT_ROLE_ARN", ""),
            Case::new(format!("a fact: {name}"), &LOOK)
                .with("GCE_METADATA_HOST", &host)
                .with("FEDBOOT_GOOGLE_TOKEN_FILE", "")
                .with("FEDBOOT_ROLE_ARN", "arn:aws:iam::123456789012:role/{attribute:a}"),
            account,
        ]
    });
    none_is_shown(&stage, cases.collect());
}

#[test]
fn of_aws() {
    let stage = to_aws();
    let token = path(&stage, "token", TOKEN);
    let policy = path(&stage, "policy", "{\"Statement\": [\"hunter2 hunter2\"]}");
    let cases = replies().into_iter().map(|(name, reply)| {
        Case::new(format!("STS: {name}"), &LOOK)
            .with("FEDBOOT_GOOGLE_TOKEN_FILE", &token)
            .with("FEDBOOT_SESSION_POLICY", &policy)
            .with("AWS_ENDPOINT_URL_STS", &format!("http://{}", serve(reply)))
    });
    none_is_shown(&stage, cases.collect());
}

#[test]
fn of_those_who_know_who_we_are_on_aws() {
    let mut stage = to_google(AwsPlace::Environment);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        stage.unset(name);
    }
    let mut account = stage.sandbox.external_account();
    account["subject_token_type"] = "urn:ietf:params:oauth:token-type:jwt".into();
    let mut cases = Vec::new();
    for (number, (name, reply)) in replies().into_iter().enumerate() {
        let host = serve(reply.clone());
        let container = format!("http://{host}/v2/credentials/hunter2");
        cases.push(
            Case::new(format!("container: {name}"), &["token", "access"])
                .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container)
                .with("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Bearer hunter2hunter2"),
        );
        // The first request gets a token, which the others carry.
        let imds = serve(Arc::new(move |request: &str| {
            if request.starts_with("PUT ") { response(200, "", "hunter2hunter2") } else { reply(request) }
        }));
        cases.push(
            Case::new(format!("IMDS: {name}"), &["token", "access"])
                .with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &format!("http://{imds}")),
        );
        account["credential_source"] = json!({
            "url": format!("http://{host}/tokens/hunter2?token=hunter2"),
            "headers": {"X-Mine": "hunter2hunter2", "Authorization": "Basic dXNlcjpodW50ZXIyaHVudGVyMg=="},
            "format": {"type": "json", "subject_token_field_name": "hunter2"},
        });
        let file = path(&stage, &format!("account-{number}"), account.to_string());
        cases.push(
            Case::new(format!("a token's server: {name}"), &["token", "access"])
                .with("GOOGLE_APPLICATION_CREDENTIALS", &file),
        );
    }
    none_is_shown(&stage, cases);
}

#[test]
fn of_those_who_exchange_for_google() {
    let stage = to_google(AwsPlace::Environment);
    let mut account = stage.sandbox.external_account();
    account["client_id"] = "client".into();
    account["client_secret"] = "hunter2hunter2".into();
    let file = path(&stage, "client", account.to_string());
    let cases = replies().into_iter().flat_map(|(name, reply)| {
        let url = format!("http://{}", serve(reply));
        let case = |what: &str| {
            Case::new(format!("{what}: {name}"), &["token", "access"])
                .with("AWS_SESSION_TOKEN", "hunter2/hunter2+session==")
                .with("GOOGLE_APPLICATION_CREDENTIALS", &file)
        };
        [
            case("Google's STS").with("FEDBOOT_GOOGLE_STS_ENDPOINT", &url),
            case("AWS STS").with("FEDBOOT_PROOF", "web-identity-token").with("AWS_ENDPOINT_URL_STS", &url),
            case("a role")
                .with("FEDBOOT_ASSUME_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
                .with("FEDBOOT_EXTERNAL_ID", "hunter2")
                .with("AWS_ENDPOINT_URL_STS", &url),
            // An agent, asked by one of its clients.
            Case::new(format!("an agent: {name}"), &["token", "access"])
                .with("GOOGLE_APPLICATION_CREDENTIALS", "")
                .with("FEDBOOT_METADATA_HOST", url.trim_start_matches("http://")),
        ]
    });
    none_is_shown(&stage, cases.collect());
}

/// IAM Credentials, shown a token that the other stub gave out.
#[test]
fn of_those_who_are_shown_a_token() {
    let stage = to_google(AwsPlace::Environment);
    let token =
        serve(Arc::new(|_| response(200, "", "{\"access_token\": \"ya29.hunter2hunter2\", \"expires_in\": 3600}")));
    let cases = replies().into_iter().map(|(name, reply)| {
        Case::new(format!("IAM Credentials: {name}"), &["token", "access"])
            .with("FEDBOOT_GOOGLE_STS_ENDPOINT", &format!("http://{token}"))
            .with("FEDBOOT_IAM_CREDENTIALS_ENDPOINT", &format!("http://{}", serve(reply)))
    });
    none_is_shown(&stage, cases.collect());
}

#[test]
fn of_proxies() {
    let mut stage = to_aws();
    stage.set("FEDBOOT_STS_ENDPOINT", "https://sts.invalid");
    let cases = replies().into_iter().map(|(name, reply)| {
        Case::new(format!("proxy: {name}"), &LOOK).with("HTTPS_PROXY", &format!("http://user:hunter2@{}", serve(reply)))
    });
    none_is_shown(&stage, cases.collect());
}

/// Any user of the machine may ask the servers that fedboot runs, and read why there is nothing.
#[test]
fn of_fedboots_own_servers() {
    let echo = serve(Arc::new(|request| response(403, "", &json!({"code": "X", "message": request}).to_string())));
    let mut stage = to_google(AwsPlace::Environment);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        stage.unset(name);
    }
    stage
        .set("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{echo}/v2/credentials/hunter2"))
        .set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hunter2hunter2");
    let held = stage.hold(&["--on-failure", "run", "--log-level", "debug"]);
    let address = held.variable("GCE_METADATA_HOST");
    let flavor = [("Metadata-Flavor", "Google")];
    for path in
        ["default/token", "default/token?scopes=hunter3", "default/identity?audience=hunter3", "?recursive=true"]
    {
        let reply = web::get(&address, &format!("/computeMetadata/v1/instance/service-accounts/{path}"), &flavor);
        assert_eq!(found(&reply.body), None, "{path}: {}", reply.body);
        assert!(reply.status != 200 || path.starts_with('?'), "{path}: {}", reply.body);
    }
    none_in(held, &stage);

    let mut stage = to_aws();
    let token = path(&stage, "token", TOKEN);
    stage.set("FEDBOOT_GOOGLE_TOKEN_FILE", token).set("AWS_ENDPOINT_URL_STS", format!("http://{echo}"));
    let held = stage.hold(&["--on-failure", "run", "--log-level", "debug", "--log-format", "text"]);
    let url = held.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let (address, _) = url.trim_start_matches("http://").split_once('/').expect("a path");
    let path = url.trim_start_matches("http://").trim_start_matches(address);
    for target in [path, "/status"] {
        let secret =
            held.environment.iter().find_map(|entry| entry.strip_prefix(b"AWS_CONTAINER_AUTHORIZATION_TOKEN="));
        let secret = String::from_utf8_lossy(secret.unwrap_or_default()).into_owned();
        let reply = web::get(address, target, &[("Authorization", &secret)]);
        assert_eq!(found(&reply.body), None, "{target}: {}", reply.body);
    }
    eventually("it is in the status", || stage.run(["status"]).stdout.contains("last_error"));
    for words in [&["status"][..], &["status", "--format", "json"]] {
        let outcome = stage.run(words);
        assert!(outcome.stdout.contains("403") && found(&outcome.stdout).is_none(), "{}", outcome.stdout);
    }
    none_in(held, &stage);
}

fn none_in(held: Held, stage: &Stage) {
    let outcome = held.release(stage);
    assert!(outcome.stderr.contains("403"), "{}", outcome.stderr);
    assert_eq!(found(&outcome.stderr), None, "{}", outcome.stderr);
}
