//! Setups that people break: the first line that is a warning or worse names the cause, the remedy and the reason's code.

use fedboot_sandbox::{Effect, Fault, Role, Sandbox, Service};
use serde_json::json;

use crate::common::broken::row;
use crate::common::{NOBODY, Stage, write};
use crate::side_by_side;

const ROLE: &str = "arn:aws:iam::123456789012:role/fedboot-demo";

fn stage(builder: fedboot_sandbox::Builder) -> Stage {
    Stage::with(builder)
}

fn with(name: &str, value: &str) -> Stage {
    let mut stage = Stage::new();
    stage.set(name, value);
    stage
}

fn without_role(name: &str, value: &str) -> Stage {
    let mut stage = with(name, value);
    stage.unset("AWS_ROLE_ARN").unset("FEDBOOT_ROLE_ARN");
    stage
}

fn trusting(condition: &serde_json::Value) -> Stage {
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Federated": "accounts.google.com"},
        "Action": "sts:AssumeRoleWithWebIdentity", "Condition": condition,
    }]});
    let stage = Stage::new();
    stage.sandbox.change(|settings| settings.roles = vec![Role::new(ROLE, &policy.to_string())]).expect("a policy");
    stage
}

fn sts(code: &str, message: &str) -> Stage {
    let fault = Fault::from(Effect::Error { code: code.into(), message: Some(message.into()), status: None });
    stage(Sandbox::builder().fault(Service::Sts, fault.always()))
}

fn metadata(fault: Fault) -> Stage {
    stage(Sandbox::builder().fault(Service::Metadata, fault.always()))
}

fn iam(status: u16, body: &serde_json::Value) -> Stage {
    let fault = Fault::status(status, body.to_string());
    let builder = Sandbox::builder().impersonable("reader@other-project.iam.gserviceaccount.com");
    stage(builder.fault(Service::IamCredentials, fault.always()))
}

const IMPERSONATE: &str = "--impersonate-service-account reader@other-project.iam.gserviceaccount.com";

/// Bodies as Google sends them: <https://github.com/google-github-actions/auth/issues/340>,
/// <https://cloud.google.com/service-usage/docs/reference/rest/v1/ErrorReason> (names replaced).
fn info(status: &str, reason: &str, metadata: &serde_json::Value) -> serde_json::Value {
    json!({"error": {"code": 403, "message": "It is not allowed.", "status": status, "details": [{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com", "metadata": metadata,
    }]}})
}

/// What was typed or set, and the exchange.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn the_first_line_names_cause_and_remedy() {
    let rows = vec![
        row(
            "a role that trusts another account",
            trusting(&json!({"StringEquals": {"accounts.google.com:sub": "1"}})),
            "",
            "FB201",
            &[ROLE, "trust policy does not let this workload in"],
            &["accounts.google.com:sub", "accounts.google.com:oaud", "sts:AssumeRoleWithWebIdentity"],
        ),
        row(
            "a role that takes aud for the audience",
            trusting(&json!({"StringEquals": {"accounts.google.com:aud": "sts.amazonaws.com"}})),
            "",
            "FB201",
            &["does not let this workload in"],
            &["accounts.google.com:oaud"],
        ),
        row(
            "a service control policy",
            sts(
                "AccessDenied",
                "User is not authorized to perform sts:AssumeRoleWithWebIdentity with an explicit deny in a service control policy",
            ),
            "",
            "FB202",
            &["service control policy"],
            &["no trust policy can overrule"],
        ),
        row(
            "an IAM OIDC provider for Google",
            sts("InvalidIdentityToken", "Incorrect token audience"),
            "",
            "FB203",
            &["does not accept this Google token"],
            &["delete the IAM OIDC provider for accounts.google.com"],
        ),
        row(
            "a session that is too long",
            sts("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."),
            "--duration 12h",
            "FB206",
            &["12h", "no length that the role's sessions may have"],
            &["--duration", "maximum session duration"],
        ),
        row(
            "a region that the account has not enabled",
            sts("RegionDisabledException", "STS is not activated in this region for account: 123456789012."),
            "",
            "FB208",
            &["not active for this account"],
            &["--region"],
        ),
        row(
            "too many tags",
            sts("PackedPolicyTooLarge", "Packed size 130%"),
            "",
            "FB210",
            &["can pack"],
            &["--session-policy"],
        ),
        row(
            "no role",
            without_role("X", "x"),
            "",
            "FB003",
            &["no role to assume"],
            &["--role-arn", "fedboot-role-arn"],
        ),
        row(
            "a misspelled variable",
            without_role("FEDBOOT_ROLEARN", ROLE),
            "",
            "",
            &["FEDBOOT_ROLEARN", "did you mean FEDBOOT_ROLE_ARN?"],
            &[],
        ),
        row(
            "an instance profile",
            Stage::new(),
            "--role-arn arn:aws:iam::123456789012:instance-profile/x",
            "FB006",
            &["--role-arn", "instance profile"],
            &["role/NAME"],
        ),
        row("a user", Stage::new(), "--role-arn arn:aws:iam::123456789012:user/x", "FB006", &["user"], &["role/NAME"]),
        row(
            "a session",
            Stage::new(),
            "--role-arn arn:aws:sts::123456789012:assumed-role/x/y",
            "FB006",
            &["session"],
            &["role/NAME"],
        ),
        row(
            "eleven digits",
            Stage::new(),
            "--role-arn arn:aws:iam::12345678901:role/x",
            "FB006",
            &["11 digits"],
            &["123456789012"],
        ),
        row(
            "dashes",
            Stage::new(),
            "--role-arn arn:aws:iam::1234-5678-9012:role/x",
            "FB006",
            &["dashes"],
            &["123456789012"],
        ),
        row(
            "quotes in a file of variables",
            with("FEDBOOT_REGION", "\"eu-west-1\""),
            "",
            "FB001",
            &["FEDBOOT_REGION", "quotes"],
            &["take them away"],
        ),
        row(
            "a line break behind a value",
            with("FEDBOOT_REGION", "eu-west-1\n"),
            "",
            "FB001",
            &["FEDBOOT_REGION", "white space"],
            &["take it away"],
        ),
        row("a region that is none", with("AWS_REGION", "Ireland!"), "", "FB001", &["AWS_REGION", "no region"], &[]),
        row(
            "no metadata server",
            with("GCE_METADATA_HOST", NOBODY),
            "--timeout 1",
            "FB101",
            &["connection refused"],
            &["running on Google Cloud?"],
        ),
        row(
            "no service account",
            stage(Sandbox::builder().no_service_account()),
            "",
            "FB102",
            &["no service account is attached"],
            &["attach one"],
        ),
        row(
            "an account that may not be impersonated",
            iam(
                403,
                &info(
                    "PERMISSION_DENIED",
                    "IAM_PERMISSION_DENIED",
                    &json!({"permission": "iam.serviceAccounts.getOpenIdToken"}),
                ),
            ),
            IMPERSONATE,
            "FB105",
            &["may not be reader@other-project"],
            &["add-iam-policy-binding reader@other-project", "serviceAccountTokenCreator", "serviceAccount:worker@"],
        ),
        row(
            "an API that is off",
            iam(
                403,
                &info(
                    "PERMISSION_DENIED",
                    "SERVICE_DISABLED",
                    &json!({"service": "iamcredentials.googleapis.com", "consumer": "projects/77"}),
                ),
            ),
            IMPERSONATE,
            "FB410",
            &["iamcredentials.googleapis.com", "project 77"],
            &["gcloud services enable iamcredentials.googleapis.com --project 77"],
        ),
        row(
            "scopes of the instance",
            iam(403, &info("PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", &json!({}))),
            IMPERSONATE,
            "FB106",
            &["access scopes"],
            &["cloud-platform"],
        ),
        row(
            "a name that does not exist",
            Stage::new(),
            "--sts-endpoint https://sts.invalid --timeout 1",
            "FB501",
            &["sts.invalid"],
            &["DNS"],
        ),
        row(
            "nobody listens",
            Stage::new(),
            "--sts-endpoint https://127.0.0.1:9 --timeout 1",
            "FB502",
            &["connection refused"],
            &["firewall"],
        ),
        row(
            "an intercepting proxy",
            stage(Sandbox::builder().fault(Service::Sts, Fault::wrong_certificate().always())),
            "",
            "FB505",
            &["certificate"],
            &["AWS_CA_BUNDLE"],
        ),
        row(
            "a proxy that is away",
            with("HTTPS_PROXY", &format!("http://{NOBODY}")),
            "--timeout 1",
            "FB504",
            &["through the proxy", "connection refused"],
            &["HTTPS_PROXY"],
        ),
        row(
            "a captive portal",
            metadata(Fault::captive()),
            "--timeout 1",
            "FB101",
            &["not Google's metadata server"],
            &["Google Cloud?"],
        ),
        row(
            "a server that hangs",
            stage(Sandbox::builder().fault(Service::Sts, Fault::hang().always())),
            "--timeout 1",
            "FB503",
            &["no answer within"],
            &["--timeout"],
        ),
    ];
    side_by_side(rows, |broken| drop(broken.check()));
}

/// A command that somebody wrote as one string.
#[test]
fn one_string_is_no_command() {
    let stage = Stage::new();
    let outcome = stage.run(["--", "true and more"]);
    assert_eq!(outcome.code(), Some(127), "{}", outcome.stderr);
    let error = outcome.error();
    assert_eq!((error.field("reason"), error.field("command")), ("FB008", "fedboot -- true and more"));
    assert!(stage.sandbox.requests().is_empty());
    write(&stage.directory.path().join("nothing here"), "");
    assert_eq!(stage.run(["--", "nothing here"]).error().field("reason"), "FB011");
}
