//! `--check`.

use std::io::Write as _;
use std::process::Stdio;

use fedboot_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::common::Stage;
use crate::{ID, ROLE, file, laptop, run};

/// A policy with this condition.
fn policy(condition: &Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Federated": "accounts.google.com"},
        "Action": "sts:AssumeRoleWithWebIdentity", "Condition": condition}]})
}

fn equals(keys: &Value) -> Value {
    policy(&json!({"StringEquals": keys}))
}

/// What is piped in, and what comes of it.
fn piped(stage: &Stage, line: &str, content: &str) -> (Option<i32>, String) {
    let words = ["trust-policy"].into_iter().chain(line.split_whitespace());
    let mut child = stage.command(words).stdin(Stdio::piped()).spawn().expect("fedboot");
    child.stdin.take().expect("a pipe").write_all(content.as_bytes()).expect("it is read");
    let outcome = stage.finish(child);
    (outcome.code(), outcome.stdout + &outcome.stderr)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn statement_by_statement() {
    let stage = laptop();
    let id = format!("--service-account-unique-id {ID}");
    let right = json!({"accounts.google.com:sub": ID, "accounts.google.com:oaud": "sts.amazonaws.com"});
    let wrong = json!({"accounts.google.com:sub": ID, "accounts.google.com:aud": "sts.amazonaws.com"});
    for (name, policy, more, code, lines) in [
        (
            "right",
            equals(&right),
            "",
            0,
            &[
                "admitted by statement 1",
                "statement 1: Allow applies",
                "  ok  Principal: \"Federated accounts.google.com\"",
                "  ok  Action: \"sts:AssumeRoleWithWebIdentity\"",
                "  ok  StringEquals accounts.google.com:oaud: \"sts.amazonaws.com\"",
            ][..],
        ),
        (
            "wrong",
            equals(&wrong),
            "",
            1,
            &[
                "not admitted: no statement allows it",
                "  no  StringEquals accounts.google.com:aud",
                "        wants \"sts.amazonaws.com\"",
                "        has   \"117739419398126000111\"",
                "note: AWS compares accounts.google.com:aud with the token's azp, and accounts.google.com:oaud with its \
                 aud, the audience",
                "The nearest change that admits this token:",
                "  statement 1: StringEquals accounts.google.com:aud has to be accounts.google.com:oaud: there AWS sees that value",
                "      \"accounts.google.com:oaud\": \"sts.amazonaws.com\",",
            ],
        ),
        ("audience", equals(&right), " --audience mine", 1, &["        has   \"mine\""]),
        (
            "email",
            equals(&json!({"accounts.google.com:email": "a@b.iam"})),
            "",
            1,
            &[
                "not decided: that depends on accounts.google.com:email; where you know it, add --context KEY=VALUE",
                "  ?   StringEquals accounts.google.com:email",
            ],
        ),
        (
            "known",
            equals(&json!({"accounts.google.com:email": "a@b.iam"})),
            " --context accounts.google.com:email=a@b.iam",
            0,
            &["admitted by statement 1"],
        ),
        (
            "address",
            policy(&json!({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}})),
            " --context aws:SourceIp=203.0.113.9",
            0,
            &[],
        ),
        (
            "elsewhere",
            policy(&json!({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}})),
            " --context aws:SourceIp=198.51.100.9",
            1,
            &["        has   \"198.51.100.9\""],
        ),
        (
            "over",
            policy(&json!({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}})),
            "",
            1,
            &["  no  DateLessThan aws:CurrentTime"],
        ),
        (
            "region",
            policy(&json!({"StringEquals": {"aws:RequestedRegion": "eu-west-1"}})),
            " --region eu-west-1",
            0,
            &[],
        ),
        ("session", policy(&json!({"StringLike": {"sts:RoleSessionName": "w-*"}})), " --role-session-name w-1", 0, &[]),
        (
            "vacuous",
            policy(&json!({"ForAllValues:StringEquals": {"accounts.google.com:hd": "acme.example"}})),
            "",
            0,
            &[
                "note: statement 1: the token has no accounts.google.com:hd, so ForAllValues:StringEquals limits nothing",
            ],
        ),
    ] {
        let path = file(&stage, name, policy.to_string());
        let outcome = run(&stage, &format!("--check {} {id}{more}", path.display()));
        assert_eq!(outcome.code(), Some(code), "{name}: {}{}", outcome.stdout, outcome.stderr);
        assert_eq!(outcome.stderr, "", "{name}");
        for line in lines {
            assert!(outcome.stdout.lines().any(|found| found == *line), "{name}: no {line:?} in:\n{}", outcome.stdout);
        }
        for line in outcome.stdout.lines() {
            assert!(line.chars().count() <= 120, "{line}");
        }
    }
    assert!(stage.sandbox.requests().is_empty());
}

#[test]
fn of_several_statements() {
    let stage = laptop();
    let mut all = equals(&json!({"accounts.google.com:sub": "9"}));
    let statements = all["Statement"].as_array_mut().expect("a list");
    let mut deny = statements[0].clone();
    deny["Sid"] = json!("NobodyElse");
    deny["Effect"] = json!("Deny");
    deny["Condition"] = json!({"StringNotEquals": {"accounts.google.com:oaud": "mine"}});
    statements.push(deny);
    let path = file(&stage, "policy.json", all.to_string());
    let line = format!("--check {} --service-account-unique-id {ID} --format json", path.display());
    let outcome = run(&stage, &line);
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
    let report: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!((&report["admitted"], &report["verdict"]), (&json!(false), &json!("denied")));
    let [first, second] = &report["statements"].as_array().expect("a list")[..] else { panic!("{report}") };
    assert_eq!((&first["applies"], &second["applies"]), (&json!("no"), &json!("yes")));
    assert_eq!((&second["sid"], &second["effect"]), (&json!("NobodyElse"), &json!("Deny")));
    let expected = json!({"element": "Condition", "operator": "StringEquals", "key": "accounts.google.com:sub",
        "holds": "no", "wants": ["9"], "has": [ID]});
    assert_eq!(first["checks"][2], expected);
    // The change takes effect.
    let nearest = file(&stage, "nearest.json", report["nearest"]["policy"].to_string());
    let line = format!("--check {} --service-account-unique-id {ID}", nearest.display());
    assert_eq!(run(&stage, &line).code(), Some(0), "{report}");
}

#[test]
fn a_token_or_its_claims() {
    let stage = laptop();
    let path = file(&stage, "policy.json", equals(&json!({"accounts.google.com:sub": ID})).to_string());
    let check = |name: &str, content: &str| {
        let claims = file(&stage, name, content);
        run(&stage, &format!("--check {} --claims {}", path.display(), claims.display()))
    };
    let token = stage.sandbox.id_token_with("mine", &json!({"sub": ID}));
    let outcome = check("token", &format!("{token}\n"));
    outcome.assert_succeeded();
    assert!(!outcome.stdout.contains(&token[..20]), "{}", outcome.stdout);
    check("claims", &json!({"sub": ID, "aud": "x"}).to_string()).assert_succeeded();
    assert_eq!(check("other", &json!({"sub": "9", "aud": "x"}).to_string()).code(), Some(1));
    let old = check("old", &json!({"sub": ID, "aud": "x", "exp": 1}).to_string());
    assert!(old.stdout.contains("note: this token ended at 1970-01-01T00:00:01Z"), "{}", old.stdout);
    let others = json!({"iss": "https://token.actions.githubusercontent.com", "sub": ID, "aud": "x"});
    assert_eq!(check("others", &others.to_string()).code(), Some(1));
    check("number", &format!("{{\"sub\": {ID}}}")).assert_failed(2, &["\"sub\" is no text"]);
    check("word", "hunter2").assert_failed(2, &["holds neither a JWT nor an object of claims"]);
}

#[test]
fn the_token_at_hand_and_what_aws_does_with_it() {
    let stage = Stage::with(Sandbox::builder());
    let id = stage.sandbox.settings().service_account.expect("an account").unique_id;
    let oaud = "accounts.google.com:oaud";
    for (condition, admits) in [
        (json!({"StringEquals": {"accounts.google.com:sub": id, oaud: "sts.amazonaws.com"}}), true),
        (json!({"StringEquals": {"accounts.google.com:email": "worker@demo-project.iam.gserviceaccount.com"}}), true),
        (json!({"StringEquals": {"accounts.google.com:aud": "sts.amazonaws.com"}}), false),
        (json!({"StringNotEquals": {oaud: ["sts.amazonaws.com", "x"]}}), false),
        (json!({"StringLike": {"accounts.google.com:sub": "*"}, "StringNotLike": {oaud: "s3.*"}}), true),
        (json!({"ForAnyValue:StringEquals": {"accounts.google.com:amr": "x"}}), false),
        (json!({"StringLike": {"sts:RoleSessionName": "${accounts.google.com:sub}*"}}), false),
        (json!({"Null": {"accounts.google.com:hd": "true"}}), true),
    ] {
        let policy = policy(&condition);
        let path = file(&stage, "policy.json", policy.to_string());
        let outcome = run(&stage, &format!("--check {}", path.display()));
        assert_eq!(outcome.code(), Some(i32::from(!admits)), "{condition}: {}{}", outcome.stdout, outcome.stderr);
        stage.sandbox.change(|settings| settings.roles[0].trust_policy = policy.clone()).expect("a policy");
        let _ = std::fs::remove_dir_all(stage.home().join(".cache"));
        let outcome = stage.run(["credential-process", "--role-arn", ROLE]);
        assert_eq!(outcome.code(), Some(i32::from(!admits)), "{condition}: {}", outcome.stderr);
    }
}

#[test]
fn as_people_have_it() {
    let stage = laptop();
    let plain = equals(&json!({"accounts.google.com:sub": ID}));
    let encoded = plain.to_string().bytes().fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02X}"));
    let role = |document: Value| json!({"Role": {"RoleName": "app", "AssumeRolePolicyDocument": document}}).to_string();
    for (name, content) in [
        ("plain", plain.to_string()),
        ("marked", format!("\u{feff}\n{plain}\n")),
        ("get-role", role(plain.clone())),
        ("encoded", encoded.clone()),
        ("encoded in a role", role(json!(encoded))),
        ("quoted", json!(plain.to_string()).to_string()),
        ("template", json!({"Resources": {"R": {"Properties": {"AssumeRolePolicyDocument": plain}}}}).to_string()),
    ] {
        let (code, said) = piped(&stage, &format!("--check - --service-account-unique-id {ID}"), &content);
        assert_eq!(code, Some(0), "{name}: {said}");
    }
    let twice = plain.to_string().replace("\"Condition\"", "\"Condition\":{},\"Condition\"");
    for (content, part) in [
        (twice.as_str(), "\"Condition\" stands twice in one object (again in line 1)"),
        ("", "is empty"),
        ("{}", "a policy has a Statement"),
        ("hunter2", "is no JSON (line 1, column 1)"),
        (&plain.to_string()[..40], "is cut short"),
        (&plain.to_string().replace("StringEquals", "StringIs"), "no condition operator \"StringIs\""),
        (&json!([{"AssumeRolePolicyDocument": plain}, {"AssumeRolePolicyDocument": plain}]).to_string(), "JSON object"),
        (
            &json!({"Roles": [{"AssumeRolePolicyDocument": plain}, {"AssumeRolePolicyDocument": 1}]}).to_string(),
            "several trust policies",
        ),
        (&json!(json!(json!(json!("x")))).to_string(), "is no JSON"),
    ] {
        let (code, said) = piped(&stage, &format!("--check - --service-account-unique-id {ID}"), content);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(part) && !said.contains("hunter2"), "no {part:?}: {said}");
    }
}

/// What is in a policy or a token by mistake is not shown.
#[test]
fn nothing_is_shown_that_may_be_secret() {
    let stage = laptop();
    for secret in [
        "eyJhbGciOiJSUzI1NiJ9.eyJodW50ZXIyIjoxfQ.hunter2c2ln",
        "wJalrXUtnFEMI/K7MDENG/hunter2YEXAMPLEKEY",
        "ya29.c.hunter2hunter2hunter2",
    ] {
        let claims = file(&stage, "claims", json!({"sub": secret, "aud": secret, "azp": "1"}).to_string());
        let document = equals(&json!({"accounts.google.com:sub": format!("{secret}x"), secret: "x"}));
        let path = file(&stage, "policy", document.to_string());
        for format in ["text", "json"] {
            for line in [
                format!("--claims {} --check {} --format {format}", claims.display(), path.display()),
                format!("--service-account-unique-id {ID} --check {} --format {format}", path.display()),
            ] {
                let outcome = run(&stage, &line);
                let said = outcome.stdout + &outcome.stderr;
                let is_key = secret.contains('/');
                assert!(!said.contains("hunter2") || is_key && said.contains("\"StringEquals\""), "{said}");
            }
        }
    }
}
