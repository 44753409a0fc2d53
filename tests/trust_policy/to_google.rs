//! AWS → Google: the provider and the binding.

use std::collections::BTreeMap;

use fedboot_sandbox::{AwsPlace, Sandbox};
use serde_json::Value;

use crate::common::{Stage, write};
use crate::{laptop, printed, run};

const PROVIDER: &str = "projects/739419398126/locations/global/workloadIdentityPools/aws-pool/providers/aws";
const ACCOUNT: &str = "worker@demo-project.iam.gserviceaccount.com";
const ASSUMED: &str = "arn:aws:sts::123456789012:assumed-role/fedboot-demo";

/// The flags of a command, and its other words.
fn read(line: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let words = shlex::split(line).unwrap_or_else(|| panic!("a shell does not read {line}"));
    let flag = |word: &String| {
        let (name, value) = word.strip_prefix("--")?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    (words.iter().filter_map(flag).collect(), words.iter().filter(|word| !word.starts_with("--")).cloned().collect())
}

fn mapping(flags: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let pairs = flags["attribute-mapping"].split(',').map(|pair| pair.split_once('=').expect("a pair"));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn from_a_laptop_nobody_is_asked() {
    let stage = laptop();
    for (arn, assumed) in [
        ("arn:aws:iam::123456789012:role/fedboot-demo", ASSUMED),
        ("arn:aws:iam::123456789012:role/team/a/fedboot-demo", ASSUMED),
        ("arn:aws:sts::123456789012:assumed-role/fedboot-demo/i-0123456789abcdef0", ASSUMED),
        ("arn:aws-cn:iam::123456789012:role/x", "arn:aws-cn:sts::123456789012:assumed-role/x"),
    ] {
        let line =
            format!("--aws-role {arn} --workload-identity-provider {PROVIDER} --impersonate-service-account {ACCOUNT}");
        let outcome = run(&stage, &line);
        outcome.assert_succeeded();
        let [provider, binding] = &outcome.stdout.lines().collect::<Vec<_>>()[..] else { panic!("{}", outcome.stdout) };
        let (flags, words) = read(provider);
        assert_eq!(words.join(" "), format!("gcloud iam workload-identity-pools providers create-aws {PROVIDER}"));
        assert_eq!(flags.keys().collect::<Vec<_>>(), ["account-id", "attribute-condition", "attribute-mapping"]);
        assert_eq!(flags["account-id"], "123456789012");
        assert_eq!(flags["attribute-condition"], format!("attribute.aws_role == '{assumed}'"));
        let (flags, words) = read(binding);
        assert_eq!(words.join(" "), format!("gcloud iam service-accounts add-iam-policy-binding {ACCOUNT}"));
        assert_eq!(flags["role"], "roles/iam.workloadIdentityUser");
        let pool = PROVIDER.split("/providers/").next().expect("a pool");
        assert_eq!(flags["member"], format!("principalSet://iam.googleapis.com/{pool}/attribute.aws_role/{assumed}"));
        assert!(outcome.stderr.contains("update-aws"), "{}", outcome.stderr);
    }
    assert!(stage.sandbox.requests().is_empty());
    let line = format!("--aws-role arn:aws:iam::123456789012:role/a --workload-identity-provider {PROVIDER}");
    let outcome = run(&stage, &line);
    assert_eq!(outcome.stdout.lines().count(), 1, "{}", outcome.stdout);
    assert!(outcome.stderr.contains("no service account is named"), "{}", outcome.stderr);
    for (line, part) in [
        ("--aws-role arn:aws:iam::123456789012:role/a", "no workload identity provider"),
        ("--aws-role arn:aws:iam::12:role/a", "no workload identity provider"),
        ("--aws-role arn:aws:iam::12:role/a --workload-identity-provider projects/1/x", "is no provider's name"),
    ] {
        run(&stage, line).assert_failed(2, &[part]);
    }
    for (arn, part) in [
        ("app", "--aws-role is no ARN of a role"),
        ("arn:aws:iam::123:role/app", "has no account of twelve digits"),
        ("arn:aws:iam::123456789012:user/app", "--aws-role is no ARN of a role"),
        ("arn:aws:iam::123456789012:role/", "--aws-role is no ARN of a role"),
        ("arn:aws:iam::123456789012:instance-profile/app", "is an instance profile"),
        ("arn:aws:s3:::bucket", "has no account of twelve digits"),
    ] {
        run(&stage, &format!("--aws-role {arn} --workload-identity-provider {PROVIDER}")).assert_failed(2, &[part]);
    }
}

/// What is printed is set up in the sandbox, for a session whose name is as long as it may be.
#[test]
fn what_is_printed_lets_the_role_in_and_no_other() {
    let mut stage = Stage::with(Sandbox::builder().aws(AwsPlace::Environment));
    for (name, value) in stage.sandbox.env() {
        stage.set(&name, value);
    }
    let file = stage.directory.path().join("account.json");
    write(&file, stage.sandbox.external_account().to_string());
    stage.set("GOOGLE_APPLICATION_CREDENTIALS", &file);
    let commands: Value = printed(&stage, "--format json");
    assert_eq!(commands["aws_role"], ASSUMED);
    let line = commands["provider"].as_str().expect("a command");
    let (flags, words) = read(line);
    assert_eq!(words[4], "update-aws");
    let set_up = |condition: String| {
        let mapping = mapping(&flags);
        let changed = stage.sandbox.change(|settings| {
            settings.providers[0].attribute_mapping = mapping;
            settings.providers[0].attribute_condition = Some(condition);
        });
        changed.expect("a provider that Google would take");
    };
    set_up(flags["attribute-condition"].clone());
    let (binding, _) = read(commands["binding"].as_str().expect("a command"));
    assert!(binding["member"].ends_with(&format!("/attribute.aws_role/{ASSUMED}")), "{binding:?}");
    stage.run(["token", "access"]).assert_succeeded();
    // Where the condition is for another role, Google refuses this one.
    set_up(flags["attribute-condition"].replace("fedboot-demo", "other"));
    let outcome = stage.run(["token", "access", "--scope", "https://www.googleapis.com/auth/drive", "--timeout", "5s"]);
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
    // Keys of nobody: the cause is said, and no command.
    stage.set("AWS_SECRET_ACCESS_KEY", "wrong");
    let outcome = run(&stage, "--timeout 1s");
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (Some(1), ""), "{}", outcome.stderr);
}
