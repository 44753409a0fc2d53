//! Setups that people make, and what is wrong with each: the first failure names it, and says what to do.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use fedboot_sandbox::{AwsPlace, Fault, Role, Sandbox, Service};
use serde_json::json;

use crate::common::{NOBODY, Stage, side_by_side};
use crate::{Report, file, on_aws, on_google};

/// What GKE's server says where the binding is missing.
const UNBOUND: &str = "Unable to generate identity token; IAM returned 403 Forbidden: Permission \
    'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not exist).\n";

/// A setup, how doctor is called there, what the first failure names, a part of its remedy, and what is skipped.
struct Row {
    name: &'static str,
    stage: Stage,
    words: String,
    names: &'static [&'static str],
    remedy: &'static str,
    skipped: &'static [&'static str],
}

fn row(
    name: &'static str,
    stage: Stage,
    words: impl Into<String>,
    names: &'static [&'static str],
    remedy: &'static str,
    skipped: &'static [&'static str],
) -> Row {
    Row { name, stage, words: words.into(), names, remedy, skipped }
}

/// Checks all, side by side: each waits for somebody.
fn check(rows: Vec<Row>) {
    side_by_side(rows, |Row { name, stage, words, names, remedy, skipped }| {
        let started = Instant::now();
        let report = Report::of(&stage, &words);
        let took = started.elapsed();
        let text = &report.outcome.stdout;
        assert_eq!(report.outcome.code(), Some(2), "{name}: {text}");
        let (message, said) = report.first("failure");
        for part in names {
            assert!(message.contains(part), "{name}: no {part:?} in the first failure: {message}\n{text}");
        }
        assert!(said.contains(remedy), "{name}: no {remedy:?} in its remedy: {said}\n{text}");
        assert_eq!(report.skipped(), skipped, "{name}: {text}");
        assert!(took < Duration::from_secs(20), "{name}: {took:?}");
    });
}

fn with(mut stage: Stage, variables: &[(&str, &str)]) -> Stage {
    for (name, value) in variables {
        if value.is_empty() {
            stage.unset(name);
        } else {
            stage.set(name, *value);
        }
    }
    stage
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table is as long as it has rows")]
fn to_aws() {
    let usual = || on_google(Sandbox::builder());
    let faulty = |service, fault: Fault| on_google(Sandbox::builder().fault(service, fault.always()));
    let old = usual();
    let token = old.sandbox.id_token_with("sts.amazonaws.com", &json!({"exp": 1_700_000_000}));
    let old_token = file(&old, "token", token).display().to_string();
    let intercepted = {
        let mut stage = usual();
        let proxy = Box::leak(Box::new(stage.sandbox.resolving_proxy(None).expect("a proxy")));
        stage.set("HTTPS_PROXY", proxy.url()).unset("AWS_CA_BUNDLE").unset("AWS_ENDPOINT_URL_STS");
        stage
    };
    let short = Role::trusting(
        "arn:aws:iam::123456789012:role/short",
        [&"worker@demo-project.iam.gserviceaccount.com".into()],
        "sts.amazonaws.com",
    );
    let short = on_google(Sandbox::builder().role(short.max_duration(Duration::from_secs(7200))));
    let malformed = usual();
    file(&malformed, "home/.aws/credentials", "nonsense\n");
    check(vec![
        row(
            "a role that there is not",
            usual(),
            "--role-arn arn:aws:iam::123456789012:role/other",
            &["arn:aws:iam::123456789012:role/other", "AccessDenied"],
            "{\"StringEquals\":",
            &[],
        ),
        row(
            "no service account",
            on_google(Sandbox::builder().no_service_account()),
            "",
            &["no service account", "404"],
            "attach one",
            &["exchange"],
        ),
        row(
            "GKE without a binding",
            faulty(Service::Metadata, Fault::status(403, UNBOUND).on("identity")),
            "",
            &["403", "iam.serviceAccounts.getOpenIdToken"],
            "roles/iam.workloadIdentityUser",
            &["exchange"],
        ),
        row(
            "not on Google Cloud",
            with(usual(), &[("GCE_METADATA_HOST", NOBODY)]),
            "",
            &["the metadata server", "connection refused"],
            "--google-token-file",
            &["token", "exchange"],
        ),
        row(
            "a name that nobody knows",
            usual(),
            "--sts-endpoint https://sts.invalid/",
            &["AWS STS", "sts.invalid"],
            "getent hosts sts.invalid",
            &["exchange"],
        ),
        row(
            "a port where nobody is",
            usual(),
            format!("--sts-endpoint https://{NOBODY}"),
            &["AWS STS", "connection refused"],
            "firewall",
            &["exchange"],
        ),
        row(
            "an endpoint that speaks no TLS",
            usual(),
            format!("--sts-endpoint {}", usual().sandbox.sts_http_url().replace("http:", "https:")),
            &["AWS STS"],
            "firewall",
            &["exchange"],
        ),
        row(
            "a proxy that reads along, whose authority nobody trusts",
            intercepted,
            "",
            &["AWS STS", "sts.us-east-1.amazonaws.com", "not to be trusted", "by fedboot sandbox"],
            "export AWS_CA_BUNDLE=",
            &["exchange"],
        ),
        row(
            "a proxy where nobody is",
            with(usual(), &[("HTTPS_PROXY", "http://127.0.0.1:1"), ("AWS_ENDPOINT_URL_STS", "")]),
            "",
            &["AWS STS", "through the proxy 127.0.0.1:1", "connection refused"],
            "NO_PROXY",
            &["exchange"],
        ),
        row(
            "a clock that is behind",
            faulty(Service::Sts, Fault::clock_skew(7200)),
            "",
            &["clock is 7", "s behind that of AWS STS"],
            "ntp",
            &[],
        ),
        row(
            "a clock that is ahead",
            faulty(Service::Sts, Fault::clock_skew(-300)),
            "",
            &["clock is ", "s ahead of that of AWS STS"],
            "ntp",
            &[],
        ),
        row(
            "a token that has ended",
            old,
            format!("--google-token-file {old_token}"),
            &["has expired", "/token"],
            "anew",
            &["exchange"],
        ),
        row(
            "a token file that is not there",
            usual(),
            "--google-token-file /absent",
            &["/absent", "no such file"],
            "--google-token-file",
            &["exchange"],
        ),
        row(
            "sessions that are too long",
            short,
            "--duration 4h",
            &["4 h", "role/short is 2 h"],
            "aws iam update-role --role-name short",
            &[],
        ),
        row(
            "impersonation that is refused",
            usual(),
            "--impersonate-service-account other@demo-project.iam.gserviceaccount.com",
            &["other@demo-project.iam.gserviceaccount.com", "403"],
            "roles/iam.serviceAccountTokenCreator",
            &["exchange"],
        ),
        row(
            "no role",
            with(usual(), &[("FEDBOOT_ROLE_ARN", "")]),
            "",
            &["no role to assume"],
            "--role-arn",
            &["network", "token", "exchange", "delivery"],
        ),
        row(
            "a region that is none",
            usual(),
            "--sts-endpoint https://x --region Dublin+",
            &["--region is no region"],
            "",
            &["network", "token", "exchange", "delivery"],
        ),
        row(
            "both ways",
            usual(),
            "--external-account x --role-arn y",
            &["--role-arn is for AWS"],
            "name one of them",
            &[],
        ),
        row(
            "a command that there is not",
            usual(),
            "-- pyhton app.py",
            &["pyhton", "is in no directory of PATH"],
            "PATH",
            &[],
        ),
        row(
            "a credentials file that cannot be",
            usual(),
            "--credentials-file /proc/none/credentials",
            &["/proc/none/credentials", "cannot be written"],
            "--credentials-file",
            &[],
        ),
        row("a credentials file that nobody can read", malformed, "", &[".aws/credentials", "line 1"], "mend", &[]),
        row(
            "a metadata server that is something else",
            faulty(Service::Metadata, Fault::captive()),
            "",
            &["not Google's metadata server"],
            "is this running on Google Cloud?",
            &["exchange"],
        ),
        row(
            "STS that hangs",
            faulty(Service::Sts, Fault::hang().on("AssumeRoleWithWebIdentity")),
            "",
            &["gave no answer within"],
            "",
            &[],
        ),
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table is as long as it has rows")]
fn to_google() {
    let usual = || on_aws(AwsPlace::Environment, Sandbox::builder());
    let key = {
        let mut stage = usual();
        let path = file(&stage, "key.json", json!({"type": "service_account", "private_key": "x"}).to_string());
        stage.set("GOOGLE_APPLICATION_CREDENTIALS", path).set("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE");
        stage
    };
    let expired = {
        let mut stage = on_aws(AwsPlace::WebIdentity, Sandbox::builder());
        let token = stage.sandbox.pod_token_with("sts.amazonaws.com", &json!({"exp": 1_700_000_000}));
        let path = file(&stage, "token", token);
        stage.set("AWS_WEB_IDENTITY_TOKEN_FILE", path);
        stage
    };
    let disabled = usual();
    disabled.sandbox.change(|settings| settings.providers[0].disabled = true).expect("a provider");
    let nowhere = with(
        usual(),
        &[
            ("AWS_ACCESS_KEY_ID", ""),
            ("AWS_SECRET_ACCESS_KEY", ""),
            ("AWS_SESSION_TOKEN", ""),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1"),
        ],
    );
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let none = &["exchange"];
    check(vec![
        row(
            "a key where an external-account file belongs",
            key,
            "",
            &["GOOGLE_APPLICATION_CREDENTIALS", "service_account"],
            "delete it",
            &["network", "identity", "exchange", "delivery"],
        ),
        row("a web identity token that has ended", expired, "", &["ExpiredToken"], "clock", none),
        row(
            "a provider that is switched off",
            disabled,
            "",
            &["Google"],
            "workload-identity-pools providers describe",
            none,
        ),
        row(
            "a provider for another account",
            on_aws(AwsPlace::Environment, Sandbox::builder().provider_account("999999999999")),
            "",
            &["another AWS account"],
            "aws.accountId",
            none,
        ),
        row(
            "a condition that refuses",
            on_aws(
                AwsPlace::Environment,
                Sandbox::builder().attribute_condition("attribute.account == '999999999999'"),
            ),
            "",
            &["attribute condition"],
            "compare its condition",
            none,
        ),
        row(
            "impersonation that is refused",
            on_aws(AwsPlace::Environment, Sandbox::builder().workload_identity_user("principal://nobody")),
            "",
            &["worker@demo-project.iam.gserviceaccount.com", "403"],
            "roles/iam.workloadIdentityUser",
            &[],
        ),
        row("nobody on AWS", nowhere, "", &["who this workload is on AWS"], "task, pod or instance", none),
        row(
            "Google STS where nobody is",
            usual(),
            format!("--google-sts-endpoint https://{NOBODY}"),
            &["Google STS", "connection refused"],
            "firewall",
            none,
        ),
        row(
            "IAM Credentials where nobody is",
            usual(),
            format!("--iam-credentials-endpoint https://{NOBODY}"),
            &["IAM Credentials", "connection refused"],
            "firewall",
            none,
        ),
        row(
            "a clock that is wrong",
            on_aws(
                AwsPlace::Environment,
                Sandbox::builder().fault(Service::GoogleSts, Fault::clock_skew(1200).always()),
            ),
            "",
            &["s behind that of Google STS"],
            "ntp",
            none,
        ),
        row(
            "a port that is taken",
            usual(),
            format!("--metadata-port {}", taken.local_addr().expect("an address").port()),
            &["the metadata server cannot be on 127.0.0.1:", "in use"],
            "--metadata-port",
            &[],
        ),
    ]);
}
