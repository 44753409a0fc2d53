//! `fedboot token`: access and ID tokens for scripts, subject tokens for google-auth; from a cache, an agent, or anew.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use fedboot_sandbox::{AwsPlace, Fault, Sandbox, Service};
use serde_json::{Value, json};

use crate::common::launch::Held;
use crate::common::{Outcome, Stage, asked, binary, eventually, write};
use crate::{
    ACCESS, ACCOUNT, CLOUD_PLATFORM, EXCHANGE, ID, POOL, STORAGE, at, at_with, cost, hold, info, is_live, printed,
    refused, run, server, short_lived, simple, web, with_account, without_account,
};

const AUDIENCE: &str = "https://service.example/a?b=c";

/// `fedboot token …` as a program below the command runs it.
fn inside(held: &Held, line: &str) -> Outcome {
    let environment = held.environment.iter().map(|entry| String::from_utf8_lossy(entry).into_owned());
    let environment: Vec<(String, String)> = environment
        .filter_map(|entry| entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    Command::new(binary())
        .args(line.split_whitespace())
        .env_clear()
        .envs(environment)
        .current_dir("/")
        .output()
        .expect("fedboot")
        .into()
}

fn caches(stage: &Stage) -> Vec<PathBuf> {
    let directory = stage.home().join(".cache/fedboot");
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
}

#[test]
fn an_access_token() {
    let stage = simple();
    let token = printed(&stage, "token access");
    assert!(is_live(&stage, &token));
    assert_eq!(cost(&stage), [1, 1, 0]);
    // Again: from the cache, which others may not read.
    assert_eq!(printed(&stage, "token access"), token);
    assert_eq!(cost(&stage), [1, 1, 0]);
    for cache in caches(&stage) {
        let mode = fs::metadata(&cache).expect("a cache").permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{}", cache.display());
        let mode = fs::metadata(cache.parent().expect("a directory")).expect("it").permissions().mode() & 0o7777;
        assert_eq!(mode, 0o700);
    }
    let answer: Value = serde_json::from_str(&printed(&stage, "token access --format json")).expect("JSON");
    assert_eq!(
        (answer["access_token"].as_str(), answer["token_type"].as_str()),
        (Some(token.as_str()), Some("Bearer"))
    );
    let left = answer["expires_in"].as_u64().expect("a number");
    assert!((3500..=3600).contains(&left), "{left}");
    let expiration = answer["expiration"].as_str().expect("a time");
    let end: u64 = info(&stage, &token)["exp"].as_str().expect("exp").parse().expect("a number");
    assert_eq!(expiration, fedboot::system::log::timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(end)));
    assert_eq!(answer.as_object().map(serde_json::Map::len), Some(4), "{answer}");
    // Other scopes, another token; in any order the same.
    let drive = "https://www.googleapis.com/auth/drive";
    let other = printed(&stage, &format!("token access --scope {STORAGE} --scope {drive}"));
    assert_eq!(info(&stage, &other)["scope"].as_str().map(|scopes| scopes.split(' ').count()), Some(2));
    assert_eq!(printed(&stage, &format!("token access --scope {drive} --scope {STORAGE}")), other);
    assert_eq!(printed(&stage, &format!("token access --scope {CLOUD_PLATFORM}")), token);
    assert_eq!(asked(&stage, ACCESS), 2);
}

#[test]
fn an_id_token() {
    let stage = simple();
    let token = printed(&stage, &format!("token id --audience {AUDIENCE}"));
    let claims = |token: &str| fedboot::format::jwt::decode(token).map(|proof| proof.claims).expect("a JWT");
    assert_eq!((claims(&token).aud, claims(&token).email.as_deref()), (vec![AUDIENCE.to_owned()], Some(ACCOUNT)));
    assert_eq!(printed(&stage, &format!("token id --audience {AUDIENCE}")), token);
    assert_eq!(cost(&stage), [1, 0, 1]);
    let answer: Value =
        serde_json::from_str(&printed(&stage, &format!("token id --audience {AUDIENCE} --format json"))).expect("JSON");
    assert_eq!(answer["id_token"], token.as_str());
    assert_eq!(answer.as_object().map(serde_json::Map::len), Some(3), "{answer}");
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(claims(&token).exp);
    assert_eq!(answer["expiration"], fedboot::system::log::timestamp(end));
    assert!(answer["expires_in"].as_u64().is_some_and(|left| (3500..=3600).contains(&left)));
    assert_eq!(claims(&printed(&stage, "token id --audience other")).aud, ["other"]);
    assert_eq!(asked(&stage, ID), 2);
    // Without a service account there is none.
    let mut stage = simple();
    without_account(&mut stage);
    refused(
        &stage,
        1,
        "token id --audience a",
        &["only service accounts have ID tokens", "--impersonate-service-account"],
    );
    let token = printed(&stage, "token access");
    assert!(info(&stage, &token)["sub"].as_str().is_some_and(|sub| sub.starts_with("principal://")));
}

/// Half of its life it is handed out; then one caller fetches the next.
#[test]
fn a_cached_token_ends() {
    let stage = short_lived(4, Sandbox::builder());
    let first = printed(&stage, "token access");
    let mut token = first.clone();
    eventually("another one", || {
        token = printed(&stage, "token access");
        assert!(is_live(&stage, &token), "a dead one");
        token != first
    });
    assert_eq!(asked(&stage, ACCESS), 2);
    // Google in trouble: the last good one as long as it lives, then the trouble.
    stage.sandbox.fault(Service::GoogleSts, Fault::status(503, "").always());
    stage.sandbox.fault(Service::IamCredentials, Fault::status(503, "overloaded").always().on(ACCESS));
    let start = Instant::now();
    eventually("it ends", || {
        let outcome = run(&stage, "token access --timeout 1");
        if outcome.code() == Some(0) {
            assert_eq!(outcome.stdout.trim_end(), token);
            assert!(start.elapsed() < Duration::from_secs(8), "a dead one is handed out");
            return false;
        }
        assert_eq!(outcome.code(), Some(1));
        assert!(outcome.stderr.contains("503"), "{}", outcome.stderr);
        assert_eq!(outcome.stdout, "");
        !is_live(&stage, &token)
    });
    stage.sandbox.clear_faults();
    eventually("it recovers", || run(&stage, "token access").code() == Some(0));
}

/// As many as a pipeline may start: one of them fetches the token, and also the refusal.
#[test]
fn a_thousand_callers_are_one_exchange() {
    let stage = simple();
    stage.sandbox.fault(Service::GoogleSts, Fault::delay(Duration::from_millis(300)));
    let script = "i=0; while [ $i -lt 1000 ]; do \"$0\" token access & i=$((i+1)); done; wait";
    let run = |stage: &Stage| -> Outcome {
        let mut shell = stage.wrapper("sh");
        shell.args(["-c", script]).arg(binary()).stdin(Stdio::null());
        stage.finish(shell.spawn().expect("a shell"))
    };
    let outcome = run(&stage);
    let mut tokens: Vec<_> = outcome.stdout.lines().collect();
    assert_eq!(tokens.len(), 1000, "{}", outcome.stderr);
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
    assert!(is_live(&stage, tokens[0]));
    assert_eq!(cost(&stage), [1, 1, 0]);
}

#[test]
fn a_refusal_is_shared() {
    let stage = simple();
    stage
        .sandbox
        .fault(Service::GoogleSts, Fault::error("unauthorized_client").always().after(Duration::from_millis(300)));
    let children: Vec<_> = (0..50).map(|_| stage.command(["token", "access"]).spawn().expect("fedboot")).collect();
    for child in children {
        let outcome = stage.finish(child);
        assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("unauthorized_client") && outcome.stdout.is_empty(), "{}", outcome.stderr);
    }
    assert!(asked(&stage, EXCHANGE) < 5, "{} exchanges", asked(&stage, EXCHANGE));
}

/// With an agent its tokens, which cost nothing more.
#[test]
fn from_the_agent_of_the_command() {
    let stage = simple();
    let held = hold(&stage, "");
    let (usual, _) = web::access_token(&server(&held));
    for line in ["token access", &format!("token access --scope {CLOUD_PLATFORM}")] {
        let outcome = inside(&held, line);
        outcome.assert_succeeded();
        assert_eq!((outcome.stdout.trim_end(), outcome.stderr.as_str()), (usual.as_str(), ""), "{line}");
    }
    assert_eq!(cost(&stage), [1, 1, 0]);
    let id = inside(&held, &format!("token id --audience {AUDIENCE}"));
    id.assert_succeeded();
    assert_eq!(id.stdout.trim_end(), web::identity(&server(&held), AUDIENCE).body);
    assert_eq!(cost(&stage), [1, 1, 1]);
    let answer: Value = serde_json::from_str(&inside(&held, "token access --format json").stdout).expect("JSON");
    assert!(answer["access_token"] == usual.as_str() && answer["expires_in"].as_u64() > Some(3500), "{answer}");
    // Another program on the machine that asks for the same.
    assert_eq!(printed(&stage, "token access"), usual);
    assert_eq!(printed(&stage, &format!("token id --audience {AUDIENCE}")), id.stdout.trim_end());
    assert_eq!(cost(&stage), [1, 1, 1]);
    assert!(caches(&stage).is_empty(), "an agent has it in memory");
    // One that asks for something else does not get that.
    let mut other = stage.command(["token", "access"]);
    other.env("AWS_ACCESS_KEY_ID", "AKIAOTHER");
    let outcome = stage.finish(other.spawn().expect("fedboot"));
    assert_eq!(outcome.code(), Some(1), "another's token: {}", outcome.stdout);
    // What the agent was refused is said.
    stage.sandbox.fault(Service::IamCredentials, Fault::error("PERMISSION_DENIED").always());
    let outcome = inside(&held, "token id --audience new");
    assert_eq!(outcome.code(), Some(1));
    assert!(outcome.stderr.contains("answered 403"), "{}", outcome.stderr);
    held.release(&stage).assert_succeeded();
}

/// The agent is gone, and with it its address: what is said, and that another program asks for itself.
#[test]
fn an_agent_that_has_ended() {
    let stage = simple();
    let held = hold(&stage, "");
    held.kill_agent_for_good();
    let outcome = inside(&held, "token access");
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stdout);
    assert!(
        outcome.stderr.contains("fedboot's agent") && outcome.stderr.contains("has the agent ended?"),
        "{}",
        outcome.stderr
    );
    assert!(is_live(&stage, &printed(&stage, "token access")));
    drop(held);
}

/// google-auth's executable source: JSON and nothing else, whatever goes wrong.
#[test]
fn a_subject_token() {
    let mut stage = simple();
    let account = stage.sandbox.external_account_of_pod();
    with_account(&mut stage, |file| *file = account);
    let answer: Value = serde_json::from_str(&printed(&stage, "token subject")).expect("JSON");
    let token = fs::read_to_string(stage.sandbox.directory().join("pod/google-token")).expect("a token");
    let claims = fedboot::format::jwt::decode(&token).map(|proof| proof.claims).expect("a JWT");
    let expected = json!({
        "version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:jwt", "id_token": token, "expiration_time": claims.exp,
    });
    assert_eq!(answer, expected);
    assert_eq!(cost(&stage), [0, 0, 0]);
    // As google-auth starts it: the file names fedboot, variables tell the rest.
    let file = format!("{}/output", stage.directory.path().display());
    let provider = format!("//iam.googleapis.com/{POOL}/providers/aws-tokens");
    let mut stage = at(AwsPlace::Ecs);
    with_account(&mut stage, |account| {
        account["audience"] = provider.as_str().into();
        account["subject_token_type"] = "urn:ietf:params:oauth:token-type:jwt".into();
        account["credential_source"] = json!({"executable": {"command": "fedboot token subject", "output_file": file}});
    });
    stage
        .set("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", &provider)
        .set("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", "urn:ietf:params:oauth:token-type:jwt")
        .set("GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE", "0")
        .set("GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL", ACCOUNT)
        .set("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", &file);
    let outcome = run(&stage, "token subject");
    assert_eq!((outcome.code(), outcome.stderr.as_str()), (Some(0), ""), "{}", outcome.stdout);
    let answer: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!((&answer["success"], &answer["version"]), (&json!(true), &json!(1)), "{answer}");
    let claims = fedboot::format::jwt::decode(answer["id_token"].as_str().expect("a token"))
        .map(|proof| proof.claims)
        .expect("a JWT");
    assert_eq!(claims.aud, [format!("https:{provider}")]);
    assert_eq!(asked(&stage, "GetWebIdentityToken"), 1);
    // The client reads the file the next time, and nobody else may.
    let written: Value = serde_json::from_slice(&fs::read(&file).expect("the output file")).expect("JSON");
    assert_eq!(written, answer);
    assert_eq!(fs::metadata(&file).expect("it").permissions().mode() & 0o7777, 0o600);
}

#[test]
fn a_subject_token_that_cannot_be_had() {
    let executable = |stage: &mut Stage| {
        with_account(stage, |account| {
            account["audience"] = format!("//iam.googleapis.com/{POOL}/providers/aws-tokens").into();
            account["subject_token_type"] = "urn:ietf:params:oauth:token-type:jwt".into();
            account["credential_source"] = json!({"executable": {"command": "fedboot token subject"}});
        });
    };
    let aws = |builder| at_with(AwsPlace::Ecs, builder);
    let rows: Vec<(&str, Stage, bool, &str, &str)> = vec![
        ("a signed request is no JWT", simple(), false, "", "--proof web-identity-token"),
        (
            "not enabled",
            aws(Sandbox::builder().settings(|settings| settings.outbound_federation = false)),
            true,
            "",
            "enable-outbound-web-identity-federation",
        ),
        (
            "not on AWS",
            aws(Sandbox::builder().fault(Service::Container, Fault::status(404, "").always())),
            true,
            "",
            "answered 404",
        ),
        (
            "STS hangs",
            aws(Sandbox::builder().fault(Service::Sts, Fault::hang().always())),
            true,
            "--timeout 1",
            "gave no answer within",
        ),
        ("an option of nobody", aws(Sandbox::builder()), true, "--proof moon", "--proof"),
    ];
    for (name, mut stage, is_executable, flags, part) in rows {
        if is_executable {
            executable(&mut stage);
        }
        let outcome = run(&stage, &format!("token subject {flags}"));
        // What is printed on stderr would stand in what the client parses.
        assert_eq!(outcome.stderr, "", "{name}");
        let answer: Value = serde_json::from_str(&outcome.stdout)
            .unwrap_or_else(|error| panic!("{name}: {error} in {:?}", outcome.stdout));
        assert_eq!((&answer["success"], &answer["version"]), (&json!(false), &json!(1)), "{name}: {answer}");
        assert!(
            answer["code"].is_string() && answer["message"].as_str().is_some_and(|message| message.contains(part)),
            "{name}: {answer}"
        );
        assert_eq!(outcome.code(), Some(0), "{name}: a client reads the reason only then");
    }
}

/// What is asked for by another is not answered out of a cache, wherever the other one stands.
#[test]
fn what_tells_requests_apart() {
    let mut stage = simple();
    let file = stage.directory.path().join("config");
    write(&file, "[profile a]\n[profile b]\n");
    let steps: [(&str, &str, &str); 9] = [
        ("AWS_SESSION_TOKEN", "same", ""),
        ("AWS_PROFILE", "a", ""),
        ("AWS_CONFIG_FILE", "config", ""),
        ("AWS_ROLE_SESSION_NAME", "another", ""),
        ("", "", "--duration 1800"),
        ("", "", "--region eu-central-1"),
        ("", "", "--identity environment"),
        ("", "", "--impersonate-service-account other@demo-project.iam.gserviceaccount.com"),
        ("", "", "--assume-role-arn arn:aws:iam::123456789012:role/fedboot-demo"),
    ];
    printed(&stage, "token access");
    let keys = stage.sandbox.aws_env();
    let session = keys.iter().find(|(name, _)| name == "AWS_SESSION_TOKEN").expect("one").1.clone();
    for (variable, value, flags) in steps {
        let before = asked(&stage, EXCHANGE) + asked(&stage, "AssumeRole");
        if !variable.is_empty() {
            stage.set(variable, if value == "same" { session.as_str() } else { value });
        }
        // Whether it is given out is another question.
        run(&stage, &format!("token access {flags}"));
        let after = asked(&stage, EXCHANGE) + asked(&stage, "AssumeRole");
        assert_eq!(after > before, value != "same", "{variable}={value} {flags}");
    }
    // A token server knows its clients by a header.
    let mut tokens = Vec::new();
    for header in ["one", "two"] {
        let mut stage_of_pod = stage.sandbox.external_account_of_pod();
        stage_of_pod["credential_source"] = json!({"url": "http://127.0.0.1:1/", "headers": {"X-Client": header}});
        with_account(&mut stage, |account| *account = stage_of_pod);
        run(&stage, "token access --timeout 1");
        tokens.push(lock_files(&stage));
    }
    // Those of earlier requests may have been swept meanwhile.
    assert!(tokens[1].iter().any(|name| !tokens[0].contains(name)), "they share a cache: {tokens:?}");
}

/// Each request has a lock of its own, also where nothing came of it.
fn lock_files(stage: &Stage) -> Vec<String> {
    let entries = fs::read_dir(stage.home().join(".cache/fedboot")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains(".lock")).collect()
}

/// Who may not write a cache has a token all the same.
#[test]
fn without_a_cache() {
    let mut stage = simple();
    stage.set("HOME", "/proc/self").set("XDG_CACHE_HOME", "/proc/self").set("XDG_RUNTIME_DIR", "/proc/self");
    let outcome = run(&stage, "token access");
    assert_eq!(outcome.code(), Some(0), "{}", outcome.stderr);
    assert!(is_live(&stage, outcome.stdout.trim_end()));
    // A cache that is nonsense, or somebody else's.
    let stage = simple();
    printed(&stage, "token access");
    let cache = caches(&stage).pop().expect("a cache");
    for content in ["", "{", "[]", r#"{"Request": "other", "GoogleToken": "x"}"#] {
        fs::write(&cache, content).expect("written");
        assert!(is_live(&stage, &printed(&stage, "token access")), "{content}");
    }
    assert_eq!(asked(&stage, ACCESS), 5);
}

/// Nothing of a refusal is kept for those who mend it.
#[test]
fn a_mended_refusal() {
    let stage = simple();
    let members = stage.sandbox.settings().workload_identity_users;
    stage.sandbox.change(|settings| settings.workload_identity_users.clear()).expect("settings");
    let outcome = run(&stage, "token access");
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stdout);
    stage.sandbox.change(|settings| settings.workload_identity_users = members).expect("settings");
    assert!(is_live(&stage, &printed(&stage, "token access")));
}
