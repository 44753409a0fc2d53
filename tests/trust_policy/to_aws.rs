//! Google → AWS: the trust policy of a role.

use fedboot_sandbox::{Sandbox, ServiceAccount};
use serde_json::{Value, json};

use crate::common::{Outcome, Stage};
use crate::{ID, ROLE, file, laptop, printed, run};

/// Gives the sandbox's role this policy, and asks for its credentials.
fn granted(stage: &Stage, policy: &Value, line: &str) -> Outcome {
    stage.sandbox.change(|settings| settings.roles[0].trust_policy = policy.clone()).expect("a policy");
    let _ = std::fs::remove_dir_all(stage.home().join(".cache"));
    stage.run(["credential-process", "--role-arn", ROLE].into_iter().chain(line.split_whitespace()))
}

fn condition(policy: &Value) -> &Value {
    &policy["Statement"][0]["Condition"]
}

#[test]
fn what_is_printed_admits_the_workload_and_no_other() {
    let stage = Stage::with(Sandbox::builder().impersonable("other@demo-project.iam.gserviceaccount.com"));
    let id = stage.sandbox.settings().service_account.expect("an account").unique_id;
    let outcome = run(&stage, "");
    outcome.assert_succeeded();
    let expected = [
        "{",
        "  \"Version\": \"2012-10-17\",",
        "  \"Statement\": [",
        "    {",
        "      \"Effect\": \"Allow\",",
        "      \"Principal\": {",
        "        \"Federated\": \"accounts.google.com\"",
        "      },",
        "      \"Action\": \"sts:AssumeRoleWithWebIdentity\",",
        "      \"Condition\": {",
        "        \"StringEquals\": {",
        "          \"accounts.google.com:oaud\": \"sts.amazonaws.com\",",
        &format!("          \"accounts.google.com:sub\": \"{id}\""),
        "        }",
        "      }",
        "    }",
        "  ]",
        "}",
        "",
    ];
    assert_eq!(outcome.stdout, expected.join("\n"));
    let said = outcome.stderr;
    for part in
        ["worker@demo-project.iam.gserviceaccount.com", &id, "\"sts.amazonaws.com\"", "update-assume-role-policy"]
    {
        assert!(said.contains(part), "no {part}: {said}");
    }
    let policy = serde_json::from_str(&outcome.stdout).expect("JSON");
    granted(&stage, &policy, "").assert_succeeded();
    let other = "--impersonate-service-account other@demo-project.iam.gserviceaccount.com";
    assert_eq!(granted(&stage, &policy, other).code(), Some(1));
    assert_eq!(granted(&stage, &policy, "--audience another").code(), Some(1));

    // Each for whom else it may be.
    let policy = printed(&stage, other);
    granted(&stage, &policy, other).assert_succeeded();
    assert_eq!(granted(&stage, &policy, "--timeout 5s").code(), Some(1));
    let policy = printed(&stage, "--audience another --format json");
    granted(&stage, &policy, "--audience another").assert_succeeded();
}

#[test]
fn attributes_count_as_for_a_boot() {
    let mut stage =
        Stage::with(Sandbox::builder().attribute("fedboot-audience", "mine").attribute("fedboot-role-arn", ROLE));
    stage.unset("FEDBOOT_ROLE_ARN");
    assert_eq!(condition(&printed(&stage, ""))["StringEquals"]["accounts.google.com:oaud"], "mine");
    let named = printed(&stage, &format!("--role-arn {ROLE}"));
    assert_eq!(condition(&named)["StringEquals"]["accounts.google.com:oaud"], "sts.amazonaws.com");
}

#[test]
fn tokens_of_all_kinds() {
    let mut stage = Stage::new();
    stage.unset("FEDBOOT_ROLE_ARN");
    // Without azp the audience is under aud.
    let plain = stage.sandbox.id_token_with("sts.amazonaws.com", &json!({"azp": null}));
    let plain = file(&stage, "plain", plain);
    let policy = printed(&stage, &format!("--google-token-file {}", plain.display()));
    assert_eq!(condition(&policy)["StringEquals"]["accounts.google.com:aud"], "sts.amazonaws.com");
    granted(&stage, &policy, &format!("--google-token-file {}", plain.display())).assert_succeeded();

    // Another issuer is a provider in the role's account and partition.
    let pod = stage.sandbox.pod_token_with("sts.amazonaws.com", &json!({}));
    let pod = file(&stage, "pod", pod);
    let line = format!("--google-token-file {} --role-arn {ROLE}", pod.display());
    let policy = printed(&stage, &line);
    let provider = policy["Statement"][0]["Principal"]["Federated"].as_str().expect("a provider");
    assert!(provider.starts_with("arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/"));
    granted(&stage, &policy, &format!("--google-token-file {}", pod.display())).assert_succeeded();
    let outcome = run(&stage, &format!("--google-token-file {}", pod.display()));
    assert!(outcome.stdout.contains("arn:aws:iam::ACCOUNT:oidc-provider/"), "{}", outcome.stdout);
    assert!(outcome.stderr.contains("in place of ACCOUNT"), "{}", outcome.stderr);
}

#[test]
fn from_a_laptop_nobody_is_asked() {
    let stage = laptop();
    let account = ServiceAccount { email: "a@b.iam".into(), unique_id: ID.into() };
    let policy = printed(&stage, &format!("--service-account-unique-id {ID} --audience mine"));
    let keys = json!({"accounts.google.com:sub": ID, "accounts.google.com:oaud": "mine"});
    assert_eq!(condition(&policy), &json!({"StringEquals": keys}));
    assert!(stage.sandbox.requests().is_empty());
    // And a workload of that account is let in by it.
    let stage = Stage::with(Sandbox::builder().service_account(account));
    granted(&stage, &policy, "--audience mine").assert_succeeded();
}

#[test]
fn what_cannot_be() {
    let stage = laptop();
    for (line, parts) in [
        ("--service-account-unique-id worker@p.iam", &["--service-account-unique-id is no unique id", "gcloud"][..]),
        ("--service-account-unique-id 12", &["is no unique id"]),
        ("--service-account-unique-id 117739419398126000111 --claims x", &["exclude each other"]),
        ("--service-account-unique-id 117739419398126000111 --aws-role x", &["--aws-role has no meaning here"]),
        ("--claims ./absent", &["/absent cannot be read"]),
        ("--role-arn x", &["is no role ARN"]),
        ("--delivery file", &["--delivery has no meaning here"]),
        ("--format yaml", &["is none of text, json"]),
        ("--context aws:SourceIp --check x --claims ./y", &["/y cannot be read"]),
    ] {
        run(&stage, line).assert_failed(2, parts);
    }
    // Nobody here knows who this is.
    let outcome = run(&stage, "--timeout 1s");
    outcome.assert_failed(1, &["cannot mint a Google ID token", "--service-account-unique-id"]);
    assert_eq!(outcome.stdout, "");
    assert_eq!(run(&stage, "--timeout 1s --check absent").code(), Some(2));
}
