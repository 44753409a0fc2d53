//! Bad input: files that are not what they should be, options that do not go together; and which way is meant.

use std::fs;

use fedboot_sandbox::{AwsPlace, Sandbox};
use serde_json::{Value, json};

use crate::common::{Stage, asked, write};
use crate::{
    ACCESS, ACCOUNT, EXCHANGE, POOL, at, cost, hold, last, refused, run, side_by_side, simple, variable, with_account,
};

/// A file with this text in place of the external account.
fn with_text(text: impl AsRef<[u8]>) -> Stage {
    let mut stage = simple();
    let file = stage.directory.path().join("account.json");
    write(&file, text);
    stage.set("FEDBOOT_EXTERNAL_ACCOUNT", &file);
    stage
}

/// In each way to call fedboot one line with the file's name, its exit code, and nothing asked.
#[track_caller]
fn refused_everywhere(stage: &Stage, parts: &[&str]) {
    for (code, line) in [
        (125, "-- touch ran"),
        (2, "agent"),
        (2, "agent --foreground"),
        (2, "token access"),
        (2, "token id --audience a"),
    ] {
        let outcome = refused(stage, code, line, parts);
        assert_eq!(outcome.stderr.lines().count(), 1, "{line}: {}", outcome.stderr);
        // `eval` of nothing would be a success.
        let said = if line == "agent" { "false\n" } else { "" };
        assert_eq!(outcome.stdout, said, "{line}");
    }
    let files = fs::read_dir(stage.home()).expect("a home").count();
    assert_eq!(files, 0, "something was written");
}

#[test]
fn texts() {
    let good = simple().sandbox.external_account().to_string();
    let rows: [(&str, Vec<u8>, &[&str]); 10] = [
        ("half of it", good.as_bytes()[..good.len() / 2].to_vec(), &["is cut short", "line 1"]),
        ("all but the end", good.as_bytes()[..good.len() - 1].to_vec(), &["is cut short"]),
        ("nothing", vec![], &["is cut short"]),
        ("words", b"hello".to_vec(), &["is no JSON", "line 1, column 1"]),
        ("an ini file", b"[default]\nx = 1\n".to_vec(), &["is no JSON"]),
        ("a list", b"[]".to_vec(), &["\"type\" is missing"]),
        ("a text", b"\"x\"".to_vec(), &["\"type\" is missing"]),
        ("more behind it", format!("{good}{good}").into_bytes(), &["is no JSON"]),
        ("bytes", vec![0xff, 0xfe, 0, 1], &["is no JSON"]),
        ("a single quote", good.replace('"', "'").into_bytes(), &["is no JSON"]),
    ];
    for (_, text, parts) in rows {
        let stage = with_text(&text);
        let parts: Vec<&str> = parts.iter().copied().chain(["/account.json", "create-cred-config"]).collect();
        refused_everywhere(&stage, &parts);
    }
}

/// What is there in place of a file.
#[test]
fn files() {
    let mut stage = simple();
    stage.unset("GOOGLE_APPLICATION_CREDENTIALS");
    let directory = stage.directory.path().to_owned();
    write(&directory.join("large"), vec![b' '; 5 << 20]);
    for (file, problem) in [
        ("./absent", "no such file"),
        ("home", "is a directory"),
        ("large", "too large"),
        ("../absent/x", "no such file"),
    ] {
        stage.set("FEDBOOT_EXTERNAL_ACCOUNT", file);
        refused_everywhere(&stage, &[&format!("/{file} cannot be read: "), problem]);
        refused(&stage, 125, &format!("--external-account {file} -- touch ran"), &[file, problem]);
    }
    // A word that names no file may be no file's name.
    stage.set("FEDBOOT_EXTERNAL_ACCOUNT", "absent");
    refused_everywhere(&stage, &["FEDBOOT_EXTERNAL_ACCOUNT, a value of 6 characters", "cannot be read: no such file"]);
}

/// Other kinds of the same variable's files, each with what to do.
#[test]
fn other_types() {
    let rows = [
        ("service_account", "that is a key: delete it"),
        ("authorized_user", "a person's sign-in"),
        ("external_account_authorized_user", "the external-account file that it was made from"),
        ("impersonated_service_account", "the external-account file that it was made from"),
        ("gdch_service_account", "the external-account file"),
        ("mystery", "create-cred-config"),
    ];
    side_by_side(rows, |(kind, part)| {
        let stage = with_text(json!({"type": kind, "private_key": "-----BEGIN hunter2"}).to_string());
        // A word that is none of Google's own may be anything.
        let said = match kind {
            "mystery" => "\"type\" must be \"external_account\"".to_owned(),
            kind => format!("\"type\" is {kind:?}"),
        };
        refused_everywhere(&stage, &[&said, part, "/account.json"]);
        // By Google's own variable the way to AWS may be meant, for which nothing is there; the file is named all the same.
        let mut stage = simple();
        let file = stage.directory.path().join("key.json");
        write(&file, json!({"type": kind}).to_string());
        stage.set("GOOGLE_APPLICATION_CREDENTIALS", &file).set("GCE_METADATA_HOST", crate::common::NOBODY);
        let outcome = run(&stage, "--timeout 1 -- touch ran");
        outcome.assert_failed(125, &["key.json", &said, part]);
    });
}

/// One field after the other, wrong in one way or another.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_field() {
    let source = "credential_source";
    let long = "x".repeat(100);
    let rows: Vec<(&str, Value, &[&str])> = vec![
        ("/type", Value::Null, &["\"type\" is missing"]),
        ("/type", json!(7), &["\"type\" must be a string"]),
        ("/audience", Value::Null, &["\"audience\" is missing"]),
        ("/audience", json!(""), &["\"audience\" is missing"]),
        ("/audience", json!(["a"]), &["\"audience\" must be a string"]),
        ("/audience", json!("a\nb"), &["\"audience\" must be one line"]),
        ("/subject_token_type", Value::Null, &["\"subject_token_type\" is missing"]),
        (
            "/subject_token_type",
            json!("urn:ietf:params:oauth:token-type:jwt"),
            &["\"subject_token_type\" must be \"urn:ietf:params:aws:token-type:aws4_request\""],
        ),
        ("/token_url", json!({}), &["\"token_url\" must be a string"]),
        ("/token_url", json!("sts"), &["\"token_url\" is no endpoint"]),
        ("/token_url", json!("ftp://sts.googleapis.com/v1/token"), &["\"token_url\"", "https://"]),
        ("/token_url", json!("http://sts.example/v1/token"), &["\"token_url\"", "in the clear"]),
        ("/token_url", json!("https://me:hunter2@sts.example/v1/token"), &["\"token_url\"", "user name"]),
        ("/service_account_impersonation_url", json!(1), &["\"service_account_impersonation_url\" must be a string"]),
        (
            "/service_account_impersonation_url",
            json!("https://iamcredentials.googleapis.com/"),
            &["\"service_account_impersonation_url\" must be", "generateAccessToken"],
        ),
        (
            "/service_account_impersonation_url",
            json!("http://iam.example/v1/projects/-/serviceAccounts/a@b:generateAccessToken"),
            &["service_account_impersonation_url", "in the clear"],
        ),
        (
            "/service_account_impersonation_url",
            json!("https://iam.example/v1/projects/-/serviceAccounts/a b:generateAccessToken"),
            &["service_account_impersonation_url", "no service account's email"],
        ),
        (
            "/service_account_impersonation_url",
            json!("https://iam.example/v1/projects/-/serviceAccounts/x:generateIdToken"),
            &["\"service_account_impersonation_url\" must be"],
        ),
        (
            "/service_account_impersonation_url",
            json!("https://iam.example/v1/projects/-/keys/x:generateAccessToken"),
            &["\"service_account_impersonation_url\" must be"],
        ),
        ("/service_account_impersonation", json!(2800), &["\"service_account_impersonation\" must be an object"]),
        (
            "/service_account_impersonation",
            json!({"token_lifetime_seconds": "2800s"}),
            &["\"service_account_impersonation.token_lifetime_seconds\" must be a number"],
        ),
        (
            "/service_account_impersonation",
            json!({"token_lifetime_seconds": 0.5}),
            &["service_account_impersonation.token_lifetime_seconds"],
        ),
        (
            "/service_account_impersonation",
            json!({"token_lifetime_seconds": true}),
            &["service_account_impersonation.token_lifetime_seconds"],
        ),
        (
            "/service_account_impersonation",
            json!({"token_lifetime_seconds": -1}),
            &["service_account_impersonation.token_lifetime_seconds"],
        ),
        (
            "/service_account_impersonation",
            json!({"token_lifetime_seconds": 43_201}),
            &["service_account_impersonation.token_lifetime_seconds", "43200"],
        ),
        ("/universe_domain", json!(7), &["\"universe_domain\" must be a string"]),
        ("/quota_project_id", json!([]), &["\"quota_project_id\" must be a string"]),
        ("/client_id", json!(7), &["\"client_id\" must be a string"]),
        ("/client_secret", json!(["hunter2"]), &["\"client_secret\" must be a string"]),
        ("/workforce_pool_user_project", json!(7), &["\"workforce_pool_user_project\" must be a string"]),
        ("/credential_source", Value::Null, &["\"credential_source\" is missing"]),
        ("/credential_source", json!("file"), &["\"credential_source\" must be an object"]),
        ("/credential_source", json!([]), &["\"credential_source\" must be an object"]),
        ("/credential_source", json!({}), &["\"credential_source\" has none of environment_id, file, url, executable"]),
        (
            "/credential_source",
            json!({"certificate": {"use_default_certificate_config": true}}),
            &["certificate", "not supported"],
        ),
        (
            "/credential_source/environment_id",
            json!("aws2"),
            &["\"credential_source.environment_id\" must be \"aws1\""],
        ),
        (
            "/credential_source/environment_id",
            json!("azure1"),
            &["\"credential_source.environment_id\" must be \"aws1\""],
        ),
        ("/credential_source/environment_id", json!(1), &["\"credential_source.environment_id\" must be a string"]),
        (
            "/credential_source/regional_cred_verification_url",
            json!({}),
            &["\"credential_source.regional_cred_verification_url\" must be a string"],
        ),
        (
            "/credential_source/regional_cred_verification_url",
            json!("sts"),
            &["credential_source.regional_cred_verification_url\" is no endpoint"],
        ),
        (
            "/credential_source/regional_cred_verification_url",
            json!("sts.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"),
            &["credential_source.regional_cred_verification_url"],
        ),
        (
            "/credential_source/regional_cred_verification_url",
            json!("https://?Action=GetCallerIdentity"),
            &["credential_source.regional_cred_verification_url"],
        ),
        (
            "/credential_source/regional_cred_verification_url",
            json!("https://sts amazonaws com/"),
            &["credential_source.regional_cred_verification_url"],
        ),
        (
            "/credential_source/regional_cred_verification_url",
            json!("/?Action=GetCallerIdentity"),
            &["credential_source.regional_cred_verification_url"],
        ),
        (
            "/credential_source/regional_cred_verification_url",
            json!("ftp://sts.amazonaws.com/"),
            &["credential_source.regional_cred_verification_url"],
        ),
        ("/credential_source/url", json!("nonsense"), &["credential_source", "url", "is no endpoint"]),
        ("/credential_source/url", json!(7), &["\"credential_source.url\" must be a string"]),
        ("/credential_source/region_url", json!(7), &["\"credential_source.region_url\" must be a string"]),
        (
            "/credential_source/imdsv2_session_token_url",
            json!([]),
            &["\"credential_source.imdsv2_session_token_url\" must be a string"],
        ),
    ];
    let mut failures = Vec::new();
    for (pointer, value, parts) in rows {
        let mut stage = simple();
        stage.unset("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        with_account(&mut stage, |account| *place(account, pointer) = value.clone());
        stage.unset("GOOGLE_APPLICATION_CREDENTIALS").set("FEDBOOT_EXTERNAL_ACCOUNT", "account.json");
        let what = format!("{pointer} = {value}");
        let outcome = run(&stage, "--timeout 1 -- touch ran");
        let mut wrong = |why: &str| failures.push(format!("{what}: {why}: {}", outcome.stderr));
        if outcome.code() != Some(125) || outcome.stderr.lines().count() != 1 {
            wrong("not one line and exit code 125");
            continue;
        }
        for part in parts.iter().filter(|part| !outcome.error().sentence().contains(**part)) {
            wrong(&format!("no {part:?}"));
        }
        if outcome.stderr.contains("hunter2") || !stage.sandbox.requests().is_empty() {
            wrong("a secret was printed, or something was asked");
        }
        if run(&stage, "token access").code() != Some(2) {
            failures.push(format!("{what}: token access does not exit with 2\n"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.concat());
    // The same for tokens from files and servers.
    for (field, value, parts) in [
        ("file", json!(7), &["\"credential_source.file\" must be a string"][..]),
        ("file", json!({"x": 1}), &["\"credential_source.file\" must be a string"]),
        ("format", json!("json"), &["\"credential_source.format\" must be an object"]),
        ("format", json!({"type": "xml"}), &["\"credential_source.format.type\" must be \"text\" or \"json\""]),
        ("format", json!({"type": 7}), &["\"credential_source.format.type\" must be a string"]),
        ("format", json!({"type": "json"}), &["\"credential_source.format.subject_token_field_name\" is missing"]),
        (
            "format",
            json!({"type": "json", "subject_token_field_name": 7}),
            &["\"credential_source.format.subject_token_field_name\" must be a string"],
        ),
        ("url", json!(7), &["\"credential_source.url\" must be a string"]),
        ("executable", json!({"command": "x"}), &["more than one"]),
        ("environment_id", json!("aws1"), &["more than one"]),
    ] {
        let mut stage = simple();
        let mut account = stage.sandbox.external_account_of_pod();
        if field == "url" {
            account[source].as_object_mut().expect("an object").remove("file");
        }
        account[source][field] = value.clone();
        with_account(&mut stage, |file| *file = account);
        refused(&stage, 125, "-- touch ran", &[parts, &["account.json"]].concat());
    }
    // An executable is asked for a token by others, not by fedboot.
    let mut stage = simple();
    let mut account = stage.sandbox.external_account_of_pod();
    account[source] = json!({"executable": {"command": format!("/bin/{long}")}});
    with_account(&mut stage, |file| *file = account);
    refused(&stage, 125, "-- touch ran", &["credential_source.executable", "--proof web-identity-token"]);
}

/// The field at a pointer, made where it is not there.
fn place<'a>(value: &'a mut Value, pointer: &str) -> &'a mut Value {
    pointer[1..].split('/').fold(value, |value, name| &mut value[name])
}

/// Fields that mean nothing here change nothing; those that gcloud may leave out need not be there.
#[test]
fn more_and_less_is_fine() {
    for (name, change) in [
        (
            "unknown fields",
            (|account| account["token_info_url"] = json!("https://sts.googleapis.com/v1/introspect")) as fn(&mut Value),
        ),
        ("unknown fields of the source", |account| account["credential_source"]["x"] = json!({"y": [1]})),
        ("nulls", |account| account["quota_project_id"] = Value::Null),
        ("no universe", |account| drop(account.as_object_mut().expect("an object").remove("universe_domain"))),
        ("no IMDSv2 URL", |account| {
            drop(account["credential_source"].as_object_mut().expect("an object").remove("imdsv2_session_token_url"));
        }),
        ("no IMDS URLs", |account| {
            let source = account["credential_source"].as_object_mut().expect("an object");
            for name in ["url", "region_url", "imdsv2_session_token_url"] {
                source.remove(name);
            }
        }),
        ("an empty impersonation", |account| account["service_account_impersonation"] = json!({})),
    ] {
        let mut stage = simple();
        with_account(&mut stage, change);
        run(&stage, "token access").assert_succeeded();
        assert_eq!(cost(&stage), [1, 1, 0], "{name}");
    }
    // As it is printed for people, too.
    let mut stage = simple();
    let text = format!("\n  {:#}\r\n", stage.sandbox.external_account());
    let file = stage.directory.path().join("pretty.json");
    write(&file, text);
    stage.set("GOOGLE_APPLICATION_CREDENTIALS", file);
    run(&stage, "token access").assert_succeeded();
}

/// What google-auth takes, in Python or in Go, and what templates and editors make of a good file.
#[test]
fn as_googles_clients_read_it() {
    fn sets(account: &mut Value, pointer: &str, value: Value) {
        *place(account, pointer) = value;
    }
    fn behind(account: &mut Value, pointer: &str, end: &str) {
        let value = place(account, pointer);
        *value = format!("{end}{}{end}", value.as_str().expect("a text")).into();
    }
    let lifetime = |value: Value| ("/service_account_impersonation", json!({"token_lifetime_seconds": value}));
    let source = |name: &'static str, value: Value| (name, value);
    let rows: Vec<(&str, Value, &str)> = [
        lifetime("2800".into()),
        lifetime(" 2800 ".into()),
        lifetime(json!(2800.0)),
        lifetime(json!(2800.5)),
        lifetime("2800.0".into()),
    ]
    .into_iter()
    .map(|(pointer, value)| (pointer, value, "2800s"))
    .chain(
        [
            lifetime(json!(0)),
            lifetime(json!("")),
            lifetime(Value::Null),
            ("/service_account_impersonation", Value::Null),
            ("/service_account_impersonation", json!("")),
            ("/service_account_impersonation", json!([])),
            source("/credential_source/file", json!("")),
            source("/credential_source/file", json!(" ")),
            source("/credential_source/file", json!("/absent")),
            source("/credential_source/file", Value::Null),
            source("/credential_source/executable", Value::Null),
            source("/credential_source/executable", json!({})),
            source("/credential_source/certificate", json!({})),
            source("/credential_source/format", json!("")),
            source("/credential_source/headers", json!({})),
            source("/credential_source/environment_id", json!("aws01")),
            source("/credential_source/environment_id", json!("aws1\n")),
            source("/credential_source/url", json!("")),
            ("/universe_domain", json!("")),
            ("/universe_domain", json!("googleapis.com\n")),
            ("/client_id", json!("")),
            ("/client_secret", Value::Null),
            ("/quota_project_id", json!(" ")),
        ]
        .into_iter()
        .map(|(pointer, value)| (pointer, value, "3600s")),
    )
    .collect();
    side_by_side(rows, |(pointer, value, lifetime)| {
        let mut stage = simple();
        with_account(&mut stage, |account| sets(account, pointer, value.clone()));
        run(&stage, "token access").assert_succeeded();
        assert_eq!(cost(&stage), [1, 1, 0], "{pointer} {value}");
        let body = &last(&stage, ACCESS).body;
        assert!(body.contains(&format!("\"{lifetime}\"")), "{pointer} {value}: {body}");
    });
    // White space around any text.
    let texts = [
        "/type",
        "/audience",
        "/subject_token_type",
        "/token_url",
        "/service_account_impersonation_url",
        "/credential_source/regional_cred_verification_url",
        "/credential_source/environment_id",
        "/credential_source/url",
        "/credential_source/region_url",
    ];
    side_by_side(texts.into_iter().flat_map(|text| ["\n", "\r\n", " ", "\t"].map(|end| (text, end))), |(text, end)| {
        let mut stage = simple();
        with_account(&mut stage, |account| behind(account, text, end));
        run(&stage, "token access").assert_succeeded();
        assert_eq!(cost(&stage), [1, 1, 0], "{text} {end:?}");
        let exchange = last(&stage, EXCHANGE);
        let audience = exchange.param("audience").expect("an audience");
        assert_eq!(audience.trim(), audience, "{text} {end:?}");
    });
}

/// The same of what is in URLs, of a file's first bytes, and of what one client knows and the other wants to be told.
#[test]
fn urls_and_marks() {
    // The service account's name.
    for (change, path) in [
        (|url: String| url.replace('@', "%40"), ACCOUNT),
        (|url: String| url + "?alt=json", ACCOUNT),
        (|url: String| url.replace("http://", "HTTP://"), ACCOUNT),
        (|url: String| url.replace(ACCOUNT, "107415519391735468927"), "107415519391735468927"),
    ] as [(fn(String) -> String, &str); 4]
    {
        let mut stage = simple();
        with_account(&mut stage, |account| {
            let url = account["service_account_impersonation_url"].as_str().expect("a URL").to_owned();
            account["service_account_impersonation_url"] = change(url).into();
        });
        let _ = run(&stage, "token access --timeout 1");
        let asked = last(&stage, ACCESS).path.clone();
        assert!(asked.ends_with(&format!("/{path}:generateAccessToken")), "{asked}");
    }
    // The placeholder of Python's default.
    let mut stage = simple();
    let proxy = stage.sandbox.connect_proxy(None).expect("a proxy");
    with_account(&mut stage, |account| {
        account["universe_domain"] = "universe.example".into();
        account["token_url"] = "https://sts.{universe_domain}/v1/token".into();
    });
    stage.set("HTTPS_PROXY", proxy.url());
    crate::fails(&stage, 1, "token access --timeout 1", &["https://sts.universe.example/v1/token"]);
    // The mark with which Windows begins a file; no option says that it leads to Google.
    let mut stage = simple();
    let text = format!("\u{feff}{}", stage.sandbox.external_account());
    let file = stage.directory.path().join("marked.json");
    write(&file, text);
    stage.set("GOOGLE_APPLICATION_CREDENTIALS", file);
    run(&stage, "-- true").assert_succeeded();
    // Go's client knows the URL that Python's wants to be told.
    let mut stage = simple();
    stage.unset("AWS_ENDPOINT_URL_STS");
    with_account(&mut stage, |account| {
        *place(account, "/credential_source/regional_cred_verification_url") = Value::Null;
    });
    let _ = run(&stage, "token access --timeout 1");
    assert!(last(&stage, EXCHANGE).body.contains("sts.eu-west-1.amazonaws.com"));
}

/// Options that are unknown, wrong, or of the other way.
#[test]
fn options() {
    let stage = simple();
    let provider = format!("{POOL}/providers/aws");
    let names = format!("--workload-identity-provider {provider}");
    for (line, parts) in [
        (
            "--identity moon",
            &["--identity is none of environment, profile", "environment, profile, web-identity, container or imds"][..],
        ),
        ("--identity IMDS", &["--identity is none of", "did you mean imds?"]),
        (
            "--proof moon",
            &["--proof is none of signed-request, web-identity-token", "signed-request or web-identity-token"],
        ),
        ("--delivery file", &["--delivery has a value that it cannot have", "metadata,access-token-file"]),
        ("--delivery metadata,pigeon", &["--delivery has a value that it cannot have"]),
        ("--metadata-port 0", &["--metadata-port has a value that it cannot have"]),
        ("--metadata-port 65536", &["--metadata-port has a value that it cannot have"]),
        ("--metadata-port x", &["--metadata-port has a value that it cannot have"]),
        ("--metadata-port 8080 --delivery access-token-file", &["--metadata-port", "--delivery metadata"]),
        ("--scop x", &["unknown option --scop", "did you mean --scope?"]),
        ("--impersonate x@y", &["unknown option --impersonate", "did you mean --impersonate-service-account?"]),
        ("--external-acount x", &["did you mean --external-account?"]),
        ("--provider x", &["unknown option --provider"]),
        ("--imdsv1=yes", &["--imdsv1 takes no value"]),
        ("--impersonate-service-account me", &["--impersonate-service-account is no service account's email"]),
        ("--subject-token-audience x", &["--subject-token-audience", "--proof web-identity-token"]),
        ("--google-sts-endpoint http://sts.example", &["--google-sts-endpoint", "in the clear"]),
        ("--google-sts-endpoint sts.example", &["--google-sts-endpoint is no endpoint"]),
        ("--iam-credentials-endpoint http://iam.example", &["--iam-credentials-endpoint", "in the clear"]),
        ("--iam-credentials-endpoint https://iam.example/v1", &["--iam-credentials-endpoint", "no path"]),
        ("--sts-endpoint ftp://x", &["--sts-endpoint is no endpoint"]),
        ("--duration soon", &["--duration is no length of time"]),
        ("--project a --project b", &["--project is given twice"]),
        ("--external-account x --external-account y", &["--external-account is given twice"]),
        ("--require x", &["--require has no meaning here"]),
        ("--credentials-file x", &["--credentials-file has no meaning here"]),
        ("--external-account x --google-token-file x", &["--google-token-file has no meaning here"]),
        ("--session-policy x", &["--session-policy has no meaning here"]),
        ("--then-role-arn arn:aws:iam::123456789012:role/x", &["--then-role-arn has no meaning here"]),
        (
            "--workload-identity-provider x",
            &["--workload-identity-provider is no provider's name", "providers/PROVIDER"],
        ),
        (&format!("{names}/x"), &["--workload-identity-provider is no provider's name", "providers/PROVIDER"]),
        (&names.replace("739419398126", "demo-project"), &["no project number", "gcloud projects describe PROJECT"]),
        (
            &format!("{names} --external-account x"),
            &["--workload-identity-provider and --external-account exclude each other"],
        ),
        (
            "--external-account x --role-arn arn:aws:iam::123456789012:role/x",
            &["--role-arn is for AWS", "--assume-role-arn"],
        ),
        (
            &format!("{names} --role-arn arn:aws:iam::123456789012:role/x"),
            &["--role-arn is for AWS", "--assume-role-arn"],
        ),
    ] {
        refused(&stage, 125, &format!("{line} -- touch ran"), parts);
        let outcome = refused(&stage, 2, &format!("agent {line}"), parts);
        assert_eq!(outcome.stdout, "false\n", "{line}");
    }
    for (line, parts) in [
        ("token", &["token access", "token id --audience", "token subject"][..]),
        ("token refresh", &["token access"]),
        ("token id", &["an ID token is for an audience", "--audience"]),
        ("token access --audience x", &["--audience has no meaning here"]),
        ("token access --delivery metadata", &["--delivery has no meaning here"]),
        ("token access --metadata-port 1", &["--metadata-port has no meaning here"]),
        ("token access --access-token-file x", &["--access-token-file has no meaning here"]),
        ("token access --allow-uid 7", &["--allow-uid has no meaning here"]),
        ("token access --no-refresh", &["--no-refresh has no meaning here"]),
        ("token id --audience x --on-failure run", &["--on-failure has no meaning here"]),
        ("token subject --cache-file x", &["--cache-file has no meaning here"]),
        ("token access --log-file x", &["--log-file has no meaning here"]),
        ("token access --format yaml", &["--format is none of token, json"]),
        ("token access --role-arn arn:aws:iam::123456789012:role/x", &["--role-arn has no meaning here"]),
        ("token access x", &["a word that belongs to no option"]),
        ("token access -- x", &["takes no command"]),
    ] {
        refused(&stage, 2, line, parts);
    }
    // On the way to AWS these mean nothing.
    let stage = Stage::new();
    for option in [
        "--scope x",
        "--identity imds",
        "--imdsv1",
        "--proof signed-request",
        "--project x",
        "--metadata-port 1",
        "--access-token-file x",
    ] {
        refused(
            &stage,
            125,
            &format!("{option} -- touch ran"),
            &[&format!("{} has no meaning here", option.split(' ').next().expect("a name"))],
        );
    }
}

/// Which way is meant, by what is there.
#[test]
fn which_way() {
    let to_google = |stage: &Stage, flags: &str| {
        stage.sandbox.forget_requests();
        let held = hold(stage, flags);
        let google = variable(&held, "GCE_METADATA_ROOT").is_some() && asked(stage, EXCHANGE) == 1;
        let aws = variable(&held, "AWS_CONTAINER_CREDENTIALS_FULL_URI").is_some()
            && asked(stage, "AssumeRoleWithWebIdentity") > 0;
        assert!(google != aws, "{flags}: neither, or both");
        held.release(stage).assert_succeeded();
        google
    };
    // On Google Cloud with a role, and a file that somebody's program needs.
    let mut stage = Stage::with(Sandbox::builder());
    let mut file = stage.sandbox.external_account();
    file["credential_source"] = json!({"file": "token"});
    file["subject_token_type"] = json!("urn:ietf:params:oauth:token-type:jwt");
    let path = stage.directory.path().join("file.json");
    write(&path, file.to_string());
    stage.set("GOOGLE_APPLICATION_CREDENTIALS", &path);
    assert!(!to_google(&stage, ""), "FEDBOOT_ROLE_ARN");
    let role = stage.sandbox.settings().roles[0].arn.clone();
    stage.unset("FEDBOOT_ROLE_ARN");
    assert!(!to_google(&stage, &format!("--role-arn {role}")), "--role-arn");
    stage.set("AWS_ROLE_ARN", &role);
    assert!(!to_google(&stage, ""), "AWS_ROLE_ARN alone");
    // Both by their own names.
    stage.set("FEDBOOT_ROLE_ARN", &role).set("FEDBOOT_EXTERNAL_ACCOUNT", &path);
    refused(&stage, 125, "-- touch ran", &["--role-arn is for AWS", "--external-account"]);

    // On AWS: IRSA's role is the pod's own.
    let mut stage = at(AwsPlace::WebIdentity);
    assert!(to_google_of_irsa(&stage, ""));
    let file = stage.sandbox.external_account_file();
    stage.unset("GOOGLE_APPLICATION_CREDENTIALS");
    assert!(to_google_of_irsa(&stage, &format!("--external-account {}", file.display())));
    stage.set("FEDBOOT_EXTERNAL_ACCOUNT", &file);
    assert!(to_google_of_irsa(&stage, ""));
    // A role for fedboot itself, beside that.
    stage.unset("FEDBOOT_EXTERNAL_ACCOUNT").set("GOOGLE_APPLICATION_CREDENTIALS", &file);
    stage.set("FEDBOOT_ROLE_ARN", &role).set("GCE_METADATA_HOST", crate::common::NOBODY);
    let outcome = run(&stage, "--timeout 1 -- touch ran");
    outcome.assert_failed(125, &["cannot mint a Google ID token"]);
    // With nothing at all, what there could be is said.
    let mut bare = at(AwsPlace::Environment);
    bare.unset("GOOGLE_APPLICATION_CREDENTIALS").set("GCE_METADATA_HOST", crate::common::NOBODY);
    run(&bare, "--timeout 1 -- touch ran").assert_failed(125, &["no role to assume"]);
    refused(
        &bare,
        2,
        "token access",
        &[
            "no workload identity provider",
            "--external-account",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "--workload-identity-provider",
        ],
    );
}

fn to_google_of_irsa(stage: &Stage, flags: &str) -> bool {
    stage.sandbox.forget_requests();
    let held = hold(stage, flags);
    let google = variable(&held, "GCE_METADATA_HOST").is_some() && cost(stage) == [1, 1, 0];
    held.release(stage).assert_succeeded();
    google
}
