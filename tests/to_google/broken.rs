//! Setups that people break on the way to Google: the first line that is a warning or worse names the cause, the remedy, the
//! reason's code, and who asked.

use fedboot_sandbox::{AwsPlace, Effect, Fault, Sandbox, Service};
use serde_json::{Value, json};

use crate::common::broken::row;
use crate::common::{Stage, write};
use crate::{ACCOUNT, POOL, at, at_with, side_by_side, simple, with_account};

fn sts(code: &str, message: &str) -> Stage {
    let fault = Fault::from(Effect::Error { code: code.into(), message: Some(message.into()), status: None });
    at_with(AwsPlace::Environment, Sandbox::builder().fault(Service::GoogleSts, fault.always()))
}

fn iam(status: u16, body: &Value) -> Stage {
    let fault = Fault::status(status, body.to_string()).always();
    at_with(AwsPlace::Environment, Sandbox::builder().fault(Service::IamCredentials, fault))
}

/// `google.rpc.Status` with its details: <https://cloud.google.com/apis/design/errors#error_model>.
fn refusal(code: u16, status: &str, message: &str, details: &Value) -> Value {
    json!({"error": {"code": code, "status": status, "message": message, "details": details}})
}

fn info(reason: &str, metadata: &Value) -> Value {
    json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "iam.googleapis.com", "metadata": metadata}])
}

fn with_variable(name: &str, value: &str) -> Stage {
    let mut stage = simple();
    stage.set(name, value);
    stage
}

fn with_file(content: &str) -> Stage {
    let mut stage = simple();
    let file = stage.directory.path().join("wrong.json");
    write(&file, content);
    stage.set("GOOGLE_APPLICATION_CREDENTIALS", &file);
    stage.set("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE");
    stage
}

fn with_audience(audience: String) -> Stage {
    let mut stage = simple();
    with_account(&mut stage, |account| account["audience"] = audience.into());
    stage
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn the_first_line_names_cause_and_remedy() {
    let unbound = simple();
    unbound.sandbox.change(|settings| settings.workload_identity_users.clear()).expect("settings");
    let mut as_node =
        at_with(AwsPlace::Imds, Sandbox::builder().attribute_condition("attribute.account == '210987654321'"));
    as_node.set("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/x");
    let mut nowhere = at(AwsPlace::Environment);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        nowhere.unset(name);
    }
    nowhere.set("AWS_EC2_METADATA_DISABLED", "true");
    let rows = vec![
        row(
            "a provider that is not there",
            with_audience(format!("//iam.googleapis.com/{POOL}/providers/absent")),
            "",
            "FB401",
            &["providers/absent", "does not exist"],
            &["gcloud iam workload-identity-pools providers describe"],
        ),
        row(
            "an attribute condition",
            at_with(
                AwsPlace::Environment,
                Sandbox::builder().attribute_condition("attribute.account == '210987654321'"),
            ),
            "",
            "FB402",
            &["attribute condition"],
            &["providers describe"],
        ),
        row(
            "another account",
            at_with(AwsPlace::Environment, Sandbox::builder().provider_account("210987654321")),
            "",
            "FB403",
            &["another AWS account"],
            &["aws.accountId"],
        ),
        row(
            "a subject that is too long",
            sts(
                "invalid_request",
                "The size of mapped attribute google.subject exceeds the 127 bytes limit. Either modify your attribute mapping or the incoming assertion to produce a mapped attribute that is less than 127 bytes.",
            ),
            "",
            "FB405",
            &["longer than 127 bytes"],
            &["role's name"],
        ),
        row(
            "AWS's own answer, relayed",
            sts(
                "invalid_grant",
                "Received invalid AWS response of type ExpiredToken with error message: The security token included in the request is expired",
            ),
            "",
            "FB309",
            &["have expired"],
            &["AWS_ACCESS_KEY_ID", "take them away"],
        ),
        row(
            "a signature that AWS does not accept",
            sts(
                "invalid_grant",
                "Received invalid AWS response of type SignatureDoesNotMatch with error message: Signature expired",
            ),
            "",
            "FB214",
            &["signature"],
            &["clock"],
        ),
        row("a scope", sts("invalid_scope", "Invalid OAuth scope: x"), "", "FB414", &["scope"], &["--scope"]),
        row(
            "a scope that is none",
            simple(),
            "--scope cloud-platform",
            "FB414",
            &["--scope"],
            &["https://www.googleapis.com/auth/cloud-platform"],
        ),
        row(
            "no binding",
            unbound,
            "",
            "FB407",
            &[ACCOUNT],
            &[
                "gcloud iam service-accounts add-iam-policy-binding",
                "roles/iam.workloadIdentityUser",
                "principalSet://",
            ],
        ),
        row(
            "a binding that is missing, by its reason alone",
            iam(
                403,
                &refusal(
                    403,
                    "PERMISSION_DENIED",
                    "No.",
                    &info("IAM_PERMISSION_DENIED", &json!({"permission": "iam.serviceAccounts.getAccessToken"})),
                ),
            ),
            "",
            "FB407",
            &[ACCOUNT],
            &["add-iam-policy-binding"],
        ),
        row(
            "an API that is off",
            iam(
                403,
                &refusal(
                    403,
                    "PERMISSION_DENIED",
                    "No.",
                    &info(
                        "SERVICE_DISABLED",
                        &json!({"service": "iamcredentials.googleapis.com", "consumer": "projects/77"}),
                    ),
                ),
            ),
            "",
            "FB410",
            &["iamcredentials.googleapis.com", "77"],
            &["gcloud services enable iamcredentials.googleapis.com --project 77"],
        ),
        row(
            "an account that is not there",
            iam(404, &refusal(404, "NOT_FOUND", "Requested entity was not found.", &json!([]))),
            "",
            "FB409",
            &["there is no service account", ACCOUNT],
            &["service_account_impersonation_url"],
        ),
        row(
            "a token that may not live for so long",
            iam(
                400,
                &refusal(
                    400,
                    "INVALID_ARGUMENT",
                    "Request contains an invalid argument.",
                    &json!([{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "lifetime", "description": "x"}]}]),
                ),
            ),
            "--duration 12h",
            "FB408",
            &["may not live for so long"],
            &["--duration 1h", "allowServiceAccountCredentialLifetimeExtension"],
        ),
        row(
            "VPC Service Controls",
            iam(
                403,
                &refusal(
                    403,
                    "PERMISSION_DENIED",
                    "Request is prohibited by organization's policy.",
                    &info("SECURITY_POLICY_VIOLATED", &json!({})),
                ),
            ),
            "",
            "FB413",
            &["organisation"],
            &["organisation's policies"],
        ),
        row(
            "a quota",
            iam(429, &refusal(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", &info("RATE_LIMIT_EXCEEDED", &json!({})))),
            "--timeout 1",
            "FB412",
            &["quota"],
            &["fewer workers"],
        ),
        row(
            "a task that acts as its node",
            as_node,
            "",
            "FB310",
            &["acts as its node"],
            &["task role", "eks.amazonaws.com/role-arn", "--identity imds"],
        ),
        row(
            "no identity at all",
            nowhere,
            "--timeout 1",
            "FB301",
            &["find out who this workload is on AWS"],
            &["role"],
        ),
        row(
            "half a key",
            with_variable("AWS_SECRET_ACCESS_KEY", ""),
            "--timeout 1",
            "FB308",
            &["AWS_ACCESS_KEY_ID is set"],
            &["both"],
        ),
        row(
            "a service account's key",
            with_file(r#"{"type": "service_account", "project_id": "p", "private_key": "x"}"#),
            "",
            "FB007",
            &["wrong.json", "service_account"],
            &["external-account file"],
        ),
        row(
            "a user's login",
            with_file(r#"{"type": "authorized_user", "client_id": "x"}"#),
            "",
            "FB007",
            &["authorized_user"],
            &["external-account file"],
        ),
        row(
            "a file that is not there",
            with_variable("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json"),
            "--external-account /nowhere.json",
            "FB007",
            &["/nowhere.json", "cannot be read"],
            &[],
        ),
        row(
            "both ways",
            with_variable("FEDBOOT_ROLE_ARN", "arn:aws:iam::123456789012:role/x"),
            "--external-account x.json",
            "FB005",
            &["--role-arn is for AWS"],
            &["name one of them"],
        ),
    ];
    side_by_side(rows, |broken| {
        let (first, name, code) = (broken.check(), broken.name, broken.code);
        if code.starts_with("FB4") && code != "FB414" {
            assert!(first.field("identity").contains("environment"), "{name} says who asked: {first:?}");
        }
    });
}
