//! Every proof, every way to exchange it: signed request, OIDC tokens from files and servers, AWS's own token; with and
//! without a service account, by a file or by options.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use fedboot_sandbox::{AwsPlace, Fault, Sandbox, Service};
use serde_json::{Value, json};

use crate::common::{NOBODY, Stage, asked, eventually, write};
use crate::{
    ACCESS, ACCOUNT, CLOUD_PLATFORM, EXCHANGE, POOL, STORAGE, actions, at, at_with, fails, hold, info, is_live, last,
    printed, refused, run, side_by_side, simple, with_account, without_account,
};

const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// A pod whose projected token Google takes itself; `change` sees the file before it is written.
fn pod(change: impl FnOnce(&Stage, &mut Value)) -> Stage {
    let mut stage = simple();
    let mut account = stage.sandbox.external_account_of_pod();
    change(&stage, &mut account);
    with_account(&mut stage, |file| *file = account);
    stage
}

fn pod_token(stage: &Stage) -> String {
    std::fs::read_to_string(stage.sandbox.directory().join("pod/google-token")).expect("a token")
}

/// A server that answers everything with `body` and says what it was asked.
fn serve(body: String) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (sender, receiver) = channel();
    // It ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut buffer = [0; 4096];
            while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(count) if count > 0 => head.extend_from_slice(&buffer[..count]),
                    _ => break,
                }
            }
            let _ = sender.send(String::from_utf8_lossy(&head).into_owned());
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    (address, receiver)
}

/// In a file, as text and in JSON, as either type of token.
#[test]
fn a_token_in_a_file() {
    let rows = [
        ("text", json!({"type": "text"}), JWT, "{token}\n"),
        ("no format", Value::Null, JWT, "{token}"),
        (
            "JSON",
            json!({"type": "json", "subject_token_field_name": "id_token"}),
            JWT,
            r#"{"other": 1, "id_token": "{token}"}"#,
        ),
        ("an ID token", json!({"type": "text"}), ID_TOKEN, "\n {token} \n"),
    ];
    for (name, format, kind, content) in rows {
        let stage = pod(|stage, account| {
            let file = stage.directory.path().join("token");
            write(&file, content.replace("{token}", &pod_token(stage)));
            account["credential_source"] = json!({"file": file, "format": format});
            account["subject_token_type"] = kind.into();
        });
        assert!(is_live(&stage, &printed(&stage, "token access")), "{name}");
        assert_eq!(actions(&stage), [EXCHANGE, ACCESS], "{name}");
        let request = last(&stage, EXCHANGE);
        assert_eq!(request.param("subject_token_type"), Some(kind), "{name}");
        assert_eq!(request.param("subject_token"), Some(pod_token(&stage).as_str()), "{name}");
        assert_eq!(request.param("audience"), Some(format!("//iam.googleapis.com/{POOL}/providers/eks").as_str()));
    }
    // By a relative path, from where the command starts.
    let stage = pod(|stage, account| {
        write(&stage.directory.path().join("token"), pod_token(stage));
        account["credential_source"]["file"] = "token".into();
    });
    let held = hold(&stage, "");
    assert!(is_live(&stage, &crate::web::access_token(&crate::server(&held)).0));
    held.release(&stage).assert_succeeded();
}

/// What is wrong with a file of that kind, each with its name, and nothing of what is in it.
#[test]
fn no_token_in_a_file() {
    let text = json!({"type": "text"});
    let field = json!({"type": "json", "subject_token_field_name": "id_token"});
    for (name, format, content, parts) in [
        ("absent", &text, None, &["no such file"][..]),
        ("empty", &text, Some(""), &["is empty"]),
        ("blank", &text, Some(" \n"), &["is empty"]),
        ("no JSON", &field, Some("hunter2-secret"), &["is no JSON", "\"format\""]),
        (
            "another field",
            &field,
            Some(r#"{"token": "hunter2-secret"}"#),
            &["has no string in the field that \"subject_token_field_name\" names"],
        ),
        (
            "a number",
            &field,
            Some(r#"{"id_token": 7}"#),
            &["has no string in the field that \"subject_token_field_name\" names"],
        ),
        ("an empty field", &field, Some(r#"{"id_token": ""}"#), &["is empty"]),
    ] {
        let stage = pod(|stage, account| {
            let file = stage.directory.path().join("token");
            if let Some(content) = content {
                write(&file, content);
            }
            account["credential_source"] = json!({"file": file, "format": format});
        });
        let outcome = refused(
            &stage,
            125,
            "-- touch ran",
            &[&["subject token", "/token", "credential_source"][..], parts].concat(),
        );
        assert!(!outcome.stderr.contains("hunter2"), "{name}: {}", outcome.stderr);
    }
}

/// From a server on this machine, with the headers that it wants.
#[test]
fn a_token_from_a_server() {
    for (format, wrap) in [
        (json!({"type": "text"}), "{token}"),
        (
            json!({"type": "json", "subject_token_field_name": "access_token"}),
            r#"{"access_token": "{token}", "x": []}"#,
        ),
    ] {
        let mut asked = None;
        let mut stage = pod(|stage, account| {
            let (address, receiver) = serve(wrap.replace("{token}", &pod_token(stage)));
            account["credential_source"] = json!({
                "url": format!("http://{address}/token?audience=a%20b&x"),
                "headers": {"Metadata": "True", "X-Secret": "hunter2-secret"},
                "format": format,
            });
            asked = Some(receiver);
        });
        // Not through a proxy.
        stage.set("HTTP_PROXY", format!("http://{NOBODY}"));
        assert!(is_live(&stage, &printed(&stage, "token access --log-level debug")));
        let head = asked.expect("a server").recv().expect("a request");
        assert!(head.starts_with("GET /token?audience=a%20b&x HTTP/1.1\r\n"), "{head}");
        for header in ["metadata: True", "x-secret: hunter2-secret"] {
            assert!(head.lines().any(|line| line.eq_ignore_ascii_case(header)), "no {header} in {head}");
        }
    }
}

#[test]
fn no_token_from_a_server() {
    let text = json!({"type": "text"});
    let field = json!({"type": "json", "subject_token_field_name": "t"});
    for (url, headers, format, parts) in [
        (
            format!("http://{NOBODY}/token?secret=hunter2"),
            Value::Null,
            &text,
            &["http://127.0.0.1:1 cannot be reached: connection refused", "credential_source.url"][..],
        ),
        (format!("http://{}/", serve(String::new()).0), Value::Null, &text, &["is empty", "credential_source.format"]),
        (
            format!("http://{}/", serve("hunter2".into()).0),
            Value::Null,
            &field,
            &["is no JSON", "credential_source.format"],
        ),
        ("http://token.example/".into(), Value::Null, &text, &["credential_source.url", "in the clear"]),
        ("nonsense".into(), Value::Null, &text, &["credential_source.url\" is no endpoint"]),
        ("ftp://127.0.0.1/".into(), Value::Null, &text, &["credential_source.url\" is no endpoint"]),
        (
            format!("http://{NOBODY}/"),
            json!({"a b": "c"}),
            &text,
            &["credential_source.headers", "a name that no header has"],
        ),
        (format!("http://{NOBODY}/"), json!({"a": 7}), &text, &["credential_source.headers"]),
        (format!("http://{NOBODY}/"), json!("Metadata: True"), &text, &["credential_source.headers"]),
        (format!("http://{NOBODY}/"), json!(["Metadata"]), &text, &["credential_source.headers"]),
    ] {
        let stage =
            pod(|_, account| account["credential_source"] = json!({"url": url, "headers": headers, "format": format}));
        let outcome = refused(&stage, 125, "--timeout 1 -- touch ran", parts);
        assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
    }
}

/// `sts:GetWebIdentityToken`: signed with the workload's keys, for Google's provider of the account's issuer.
#[test]
fn the_token_of_aws() {
    let provider = format!("{POOL}/providers/aws-tokens");
    let oidc = format!("//iam.googleapis.com/{provider}");
    for (name, by_file, flags, audience) in [
        ("file", true, "", format!("https:{oidc}")),
        ("options", false, "", format!("https:{oidc}")),
        ("an audience of its own", true, "--subject-token-audience urn:mine", "urn:mine".into()),
    ] {
        let mut stage = at(AwsPlace::PodIdentity);
        stage
            .sandbox
            .change(|settings| {
                let members = settings.workload_identity_users.values_mut().next().expect("a binding");
                members.push(format!("principalSet://iam.googleapis.com/{POOL}/*"));
                for provider in &mut settings.providers {
                    if let fedboot_sandbox::Trusts::Oidc { allowed_audiences, .. } = &mut provider.trusts {
                        allowed_audiences.clone_from(&vec![audience.clone()]);
                    }
                }
            })
            .expect("settings");
        let mut more = String::new();
        if by_file {
            with_account(&mut stage, |account| account["audience"] = oidc.as_str().into());
        } else {
            stage.unset("GOOGLE_APPLICATION_CREDENTIALS");
            more = format!(
                "--workload-identity-provider {provider} --impersonate-service-account {ACCOUNT} --google-sts-endpoint {} \
                 --iam-credentials-endpoint {}",
                stage.sandbox.google_sts_http_url(),
                stage.sandbox.iam_credentials_http_url()
            );
        }
        let line = format!("token access --proof web-identity-token {flags} {more}");
        assert!(is_live(&stage, &printed(&stage, &line)), "{name}");
        assert_eq!(actions(&stage), ["pod-credentials", "GetWebIdentityToken", EXCHANGE, ACCESS], "{name}");
        let request = last(&stage, "GetWebIdentityToken");
        assert_eq!(request.param("Audience.member.1"), Some(audience.as_str()), "{name}");
        assert!(request.header("authorization").is_some_and(|header| header.contains("/eu-west-1/sts/aws4_request")));
        assert!(request.header("x-amz-security-token").is_some());
        assert_eq!(last(&stage, EXCHANGE).param("subject_token_type"), Some(JWT), "{name}");
        assert_eq!(last(&stage, EXCHANGE).param("audience"), Some(oidc.as_str()), "{name}");
    }
}

#[test]
fn the_token_of_aws_is_refused() {
    let builder = || Sandbox::builder().settings(|settings| settings.outbound_federation = false);
    for (name, stage, parts) in [
        (
            "not enabled",
            at_with(AwsPlace::Ecs, builder()),
            &["web identity token", "aws iam enable-outbound-web-identity-federation"][..],
        ),
        (
            "not allowed",
            at_with(AwsPlace::Ecs, Sandbox::builder().fault(Service::Sts, Fault::error("AccessDenied").always())),
            &["AccessDenied", "sts:GetWebIdentityToken"],
        ),
        (
            "cut short",
            at_with(AwsPlace::Ecs, Sandbox::builder().fault(Service::Sts, Fault::cut_body().always())),
            &["closed the connection before the end"],
        ),
        (
            "garbage",
            at_with(AwsPlace::Ecs, Sandbox::builder().fault(Service::Sts, Fault::garbage().always())),
            &["answered 200"],
        ),
    ] {
        let outcome = fails(&stage, 125, "--proof web-identity-token --timeout 1 -- touch ran", parts);
        assert_eq!(asked(&stage, EXCHANGE), 0, "{name}: {}", outcome.stderr);
    }
    // A provider of another kind does not take it, and is named with what the token says.
    let stage = at(AwsPlace::Ecs);
    fails(
        &stage,
        125,
        "--proof web-identity-token -- touch ran",
        &["answered 400", "subject_token_type", "providers describe"],
    );
}

/// Everything by options, nothing by a file; each spelling of the provider's name.
#[test]
fn options_instead_of_a_file() {
    let provider = format!("{POOL}/providers/aws");
    for name in
        [provider.clone(), format!("//iam.googleapis.com/{provider}"), format!("https://iam.googleapis.com/{provider}")]
    {
        for account in [true, false] {
            let mut stage = at(AwsPlace::PodIdentity);
            stage.unset("GOOGLE_APPLICATION_CREDENTIALS");
            let more = if account { format!("--impersonate-service-account {ACCOUNT}") } else { String::new() };
            let line = format!(
                "--workload-identity-provider {name} {more} --google-sts-endpoint {} --iam-credentials-endpoint {} \
                 --scope {STORAGE} --scope {CLOUD_PLATFORM} --duration 1800",
                stage.sandbox.google_sts_http_url(),
                stage.sandbox.iam_credentials_http_url()
            );
            let held = hold(&stage, &line);
            let (token, left) = crate::web::access_token(&crate::server(&held));
            let said = info(&stage, &token);
            assert_eq!(said["scope"], format!("{CLOUD_PLATFORM} {STORAGE}"), "{name}");
            assert_eq!(said["email"], if account { json!(ACCOUNT) } else { Value::Null }, "{name}");
            assert_eq!(asked(&stage, ACCESS), usize::from(account));
            assert_eq!(left <= 1800, account, "{left}");
            let url = crate::identity::signed(last(&stage, EXCHANGE).param("subject_token").expect("a token")).0;
            assert_eq!(url, "https://sts.eu-west-1.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15");
            held.release(&stage).assert_succeeded();
        }
    }
    // By variables too.
    let mut stage = at(AwsPlace::Environment);
    stage
        .unset("GOOGLE_APPLICATION_CREDENTIALS")
        .set("FEDBOOT_WORKLOAD_IDENTITY_PROVIDER", &provider)
        .set("FEDBOOT_IMPERSONATE_SERVICE_ACCOUNT", ACCOUNT)
        .set("FEDBOOT_SCOPE", format!("{STORAGE} {CLOUD_PLATFORM}"));
    let (sts, iam) = (stage.sandbox.google_sts_http_url(), stage.sandbox.iam_credentials_http_url());
    stage.set("FEDBOOT_GOOGLE_STS_ENDPOINT", sts).set("FEDBOOT_IAM_CREDENTIALS_ENDPOINT", iam);
    assert_eq!(info(&stage, &printed(&stage, "token access"))["scope"], format!("{CLOUD_PLATFORM} {STORAGE}"));
}

/// With the file, options go first.
#[test]
fn options_over_the_file() {
    let other = "other@demo-project.iam.gserviceaccount.com";
    let stage = at_with(
        AwsPlace::Environment,
        Sandbox::builder().impersonable(other).settings(|settings| {
            let member = format!("principalSet://iam.googleapis.com/{POOL}/*");
            for email in [ACCOUNT, other] {
                settings.workload_identity_users.insert(email.into(), vec![member.clone()]);
            }
        }),
    );
    assert_eq!(info(&stage, &printed(&stage, "token access"))["email"], ACCOUNT);
    assert_eq!(
        info(&stage, &printed(&stage, &format!("token access --impersonate-service-account {other}")))["email"],
        other
    );
    let token = printed(&stage, &format!("token id --audience a --impersonate-service-account {other}"));
    assert_eq!(fedboot::format::jwt::decode(&token).ok().and_then(|proof| proof.claims.email).as_deref(), Some(other));
    // The file's endpoints give way, too.
    let mut stage = simple();
    let sts = stage.sandbox.google_sts_http_url();
    with_account(&mut stage, |account| account["token_url"] = format!("http://{NOBODY}/v1/token").into());
    assert!(is_live(&stage, &printed(&stage, &format!("token access --google-sts-endpoint {sts}"))));
    assert!(is_live(
        &stage,
        &printed(&stage, &format!("token access --duration 1000 --google-sts-endpoint {sts}/v1/token"))
    ));
    // And for an account that the file does not name, where IAM Credentials is.
    let iam = stage.sandbox.iam_credentials_http_url();
    without_account(&mut stage);
    let line = format!("token access --impersonate-service-account {ACCOUNT} --iam-credentials-endpoint {iam}");
    assert!(is_live(&stage, &printed(&stage, &line)));
}

/// How long an access token shall live: an option, the file, an hour; more where Google allows it.
#[test]
fn lifetimes() {
    for (flags, in_file, extension, expected) in [
        ("", None, false, 3600),
        ("", Some(2800), false, 2800),
        ("--duration 30m", Some(2800), false, 1800),
        ("--duration 12h", None, true, 43_200),
        ("", Some(43_200), true, 43_200),
    ] {
        let mut stage = at_with(
            AwsPlace::Environment,
            Sandbox::builder().settings(|settings| settings.lifetime_extension = extension),
        );
        with_account(&mut stage, |account| {
            if let Some(seconds) = in_file {
                account["service_account_impersonation"] = json!({"token_lifetime_seconds": seconds});
            }
        });
        let answer: Value =
            serde_json::from_str(&printed(&stage, &format!("token access --format json {flags}"))).expect("JSON");
        let left = answer["expires_in"].as_u64().expect("a number");
        assert!((expected - 30..=expected).contains(&left), "{flags} {in_file:?}: {left}");
        assert!(last(&stage, ACCESS).body.contains(&format!("\"{expected}s\"")), "{}", last(&stage, ACCESS).body);
    }
    // Where it does not, Google's words and what to do.
    let stage = simple();
    fails(
        &stage,
        125,
        "--duration 2h -- touch ran",
        &["answered 400", "3600 seconds", "iam.allowServiceAccountCredentialLifetimeExtension", "--duration 1h"],
    );
    assert_eq!(asked(&stage, ACCESS), 1, "once is enough");
    refused(&stage, 125, "--duration 13h -- touch ran", &["--duration", "12 h"]);
    refused(&stage, 2, "token access --duration 13h", &["--duration", "12 h"]);
}

/// Another universe has other hosts; without a network they cannot be reached, but they are tried.
#[test]
fn a_universe() {
    let mut stage = simple();
    let proxy = stage.sandbox.connect_proxy(None).expect("a proxy");
    with_account(&mut stage, |account| {
        account["universe_domain"] = "universe.example".into();
        account.as_object_mut().expect("an object").remove("token_url");
    });
    stage.set("HTTPS_PROXY", proxy.url());
    fails(&stage, 125, "--timeout 2 -- touch ran", &["https://sts.universe.example/v1/token"]);
    assert!(
        proxy.requests().iter().any(|request| request.target == "sts.universe.example:443"),
        "{:?}",
        proxy.requests()
    );
}

/// Google's own hosts, by their own certificates, through the proxy that the place has; AWS's metadata never.
#[test]
fn through_a_proxy() {
    let rows = [AwsPlace::Imds, AwsPlace::PodIdentity];
    side_by_side(rows, |place| {
        let mut stage = at(place);
        let proxy = stage.sandbox.resolving_proxy(None).expect("a proxy");
        with_account(&mut stage, |account| {
            account["token_url"] = "https://sts.googleapis.com/v1/token".into();
            account["service_account_impersonation_url"] = format!(
                "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"
            )
            .into();
        });
        let file = stage.sandbox.ca_file();
        stage
            .set("HTTPS_PROXY", proxy.url())
            .set("HTTP_PROXY", proxy.url())
            .set("AWS_CA_BUNDLE", "")
            .set("SSL_CERT_FILE", file);
        assert!(is_live(&stage, &printed(&stage, "token access")), "{place:?}");
        let mut targets: Vec<_> = proxy.requests().into_iter().map(|request| request.target).collect();
        targets.sort();
        assert_eq!(targets, ["iamcredentials.googleapis.com:443", "sts.googleapis.com:443"], "{place:?}");
    });
}

/// What an OAuth client or a workforce pool adds to the exchange.
#[test]
fn a_client_of_its_own() {
    let mut stage = simple();
    with_account(&mut stage, |account| {
        account["client_id"] = "me".into();
        account["client_secret"] = "hunter2-secret".into();
    });
    assert!(is_live(&stage, &printed(&stage, "token access")));
    assert_eq!(last(&stage, EXCHANGE).header("authorization"), Some("Basic bWU6aHVudGVyMi1zZWNyZXQ="));
    let mut stage = simple();
    with_account(&mut stage, |account| account["workforce_pool_user_project"] = "demo".into());
    assert!(is_live(&stage, &printed(&stage, "token access")));
    assert_eq!(last(&stage, EXCHANGE).param("options"), Some(r#"{"userProject":"demo"}"#));
}

/// The kubelet replaces projected tokens; a pod outlives many.
#[test]
fn a_token_that_is_replaced() {
    let mut stage = crate::short_lived(4, Sandbox::builder());
    let account = stage.sandbox.external_account_of_pod();
    with_account(&mut stage, |file| *file = account);
    let held = hold(&stage, "");
    stage.sandbox.rotate_pod_tokens().expect("new tokens");
    let new = pod_token(&stage);
    eventually("the new one is shown", || last(&stage, EXCHANGE).param("subject_token") == Some(new.as_str()));
    held.release(&stage).assert_succeeded();
}

/// A token that Google refuses: what it says of itself is told, never the token.
#[test]
fn a_token_that_is_refused() {
    let past = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs() - 600;
    let good = format!("https://iam.googleapis.com/{POOL}/providers/eks");
    for (name, audience, claims, parts) in [
        (
            "audience",
            "sts.amazonaws.com",
            json!({}),
            &["does not match the expected audience", "aud=sts.amazonaws.com", "allowed audiences"][..],
        ),
        (
            "issuer",
            &good,
            json!({"iss": "https://accounts.google.com"}),
            &["answered 400 invalid_grant", "iss=https://accounts.google.com"],
        ),
        ("unknown issuer", &good, json!({"iss": "https://evil.example"}), &["issuer", "iss=https://evil.example"]),
        ("ended", &good, json!({"exp": past, "iat": past - 60}), &["stale", "aud=https://iam.googleapis.com"]),
    ] {
        let stage = pod(|stage, account| {
            let file = stage.directory.path().join("token");
            write(&file, stage.sandbox.pod_token_with(audience, &claims));
            account["credential_source"]["file"] = json!(file);
        });
        let outcome = run(&stage, "-- touch ran");
        assert_eq!(outcome.code(), Some(125), "{name}: {}", outcome.stderr);
        for part in parts {
            assert!(outcome.error().sentence().contains(part), "{name}: no {part:?} in {}", outcome.stderr);
        }
        assert_eq!(asked(&stage, EXCHANGE), 2, "{name}: once with a new token");
    }
}

/// A first token within the time of two exchanges: the connections stand when they are needed.
#[test]
fn connections_are_opened_ahead() {
    let stage =
        at_with(AwsPlace::Ecs, Sandbox::builder().fault(Service::Container, Fault::delay(Duration::from_millis(300))));
    assert!(is_live(&stage, &printed(&stage, "token access")));
    let opened = |service: Service| {
        let connections = stage.sandbox.connections().into_iter();
        connections.filter(|connection| connection.service == service).map(|connection| connection.since_start).min()
    };
    let keys = last(&stage, "task-credentials");
    let (sts, keys_asked) = (opened(Service::GoogleSts).expect("one"), keys.since_start);
    assert!(sts < keys_asked + Duration::from_millis(250), "{sts:?}, {keys_asked:?}");
    assert!(opened(Service::IamCredentials).expect("one") < keys_asked + Duration::from_millis(250));
}
