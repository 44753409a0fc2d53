//! IAM roles for service accounts: AWS STS takes the tokens that the cluster projects into a pod.

use std::collections::BTreeMap;

use fedboot_sandbox::{AwsPlace, Role, Sandbox};
use serde_json::json;

use crate::client::{Answer, post_form};
use crate::signed::Signed;

const ROLE: &str = "arn:aws:iam::123456789012:role/fedboot-demo";
const PROVIDER: &str = "oidc.eks.eu-west-1.amazonaws.com/id/5D0B1F2CA9E84D6F93A7C2E1B8F60D47";

fn sandbox() -> Sandbox {
    Sandbox::builder().aws(AwsPlace::WebIdentity).start().unwrap()
}

fn assume(sandbox: &Sandbox, token: &str) -> Answer {
    let form: BTreeMap<&'static str, String> = [
        ("Action", "AssumeRoleWithWebIdentity".to_string()),
        ("Version", "2011-06-15".into()),
        ("RoleArn", ROLE.into()),
        ("RoleSessionName", "worker-1".into()),
        ("WebIdentityToken", token.into()),
    ]
    .into();
    post_form(sandbox, &form)
}

#[test]
fn the_projected_token_opens_the_role() {
    let sandbox = sandbox();
    let env: BTreeMap<String, String> = sandbox.env().into_iter().collect();
    assert_eq!(env["AWS_ROLE_ARN"], ROLE);
    let token = std::fs::read_to_string(&env["AWS_WEB_IDENTITY_TOKEN_FILE"]).unwrap();
    let answer = assume(&sandbox, &token);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.element("Audience").as_deref(), Some("sts.amazonaws.com"));
    let provider = format!("arn:aws:iam::123456789012:oidc-provider/{PROVIDER}");
    assert_eq!(answer.element("Provider"), Some(provider));
    let subject = "system:serviceaccount:default:app";
    assert_eq!(answer.element("SubjectFromWebIdentityToken").as_deref(), Some(subject));
    let issued = sandbox.issued().remove(0);
    assert_eq!((issued.subject.as_str(), issued.audience.as_str()), (subject, "sts.amazonaws.com"));
    assert_eq!(Signed::by(&issued).send(&sandbox).status, 200);
}

#[test]
fn every_claim_is_checked() {
    let sandbox = sandbox();
    let with = |claims| sandbox.pod_token_with("sts.amazonaws.com", &claims);
    let good = with(json!({}));
    let changed = with(json!({"sub": "system:serviceaccount:kube-system:app"}));
    let (signed, _) = changed.rsplit_once('.').unwrap();
    let (_, signature) = good.rsplit_once('.').unwrap();
    let table = [
        ("good", good.clone(), "", ""),
        ("one audience as a text", with(json!({"aud": "sts.amazonaws.com"})), "", ""),
        ("another account", changed.clone(), "AccessDenied", ""),
        ("changed claims", format!("{signed}.{signature}"), "InvalidIdentityToken", ""),
        ("audience", sandbox.pod_token_with("other", &json!({})), "InvalidIdentityToken", "Incorrect token audience"),
        ("no audience", with(json!({"aud": null})), "InvalidIdentityToken", "aud"),
        ("expired", with(json!({"exp": 1_700_000_000})), "ExpiredTokenException", "Token expired"),
        ("issuer", with(json!({"iss": "https://example.com"})), "InvalidIdentityToken", "No OpenIDConnect provider"),
        ("Google's issuer", with(json!({"iss": "https://accounts.google.com"})), "InvalidIdentityToken", "key"),
        ("Google's token", sandbox.id_token("sts.amazonaws.com"), "AccessDenied", ""),
    ];
    for (name, token, code, message) in table {
        let answer = assume(&sandbox, &token);
        assert_eq!(answer.element("Code").unwrap_or_default(), code, "{name}: {}", answer.text());
        assert!(answer.element("Message").unwrap_or_default().contains(message), "{name}: {}", answer.text());
    }
}

#[test]
fn the_trust_policy_names_provider_audience_and_subject() {
    let sandbox = sandbox();
    let token = sandbox.pod_token_with("sts.amazonaws.com", &json!({}));
    let good = Role::for_workload(ROLE, "system:serviceaccount:default:app");
    let condition = |key: &str, value: &str| {
        let mut role = good.clone();
        role.trust_policy["Statement"][1]["Condition"]["StringEquals"][format!("{PROVIDER}:{key}")] = json!(value);
        role
    };
    let mut other = good.clone();
    let provider = format!("arn:aws:iam::210987654321:oidc-provider/{PROVIDER}");
    other.trust_policy["Statement"][1]["Principal"]["Federated"] = json!(provider);
    for (role, status) in [
        (good.clone(), 200),
        (Role::for_workload(ROLE, "system:serviceaccount:default:other"), 403),
        (condition("aud", "other"), 403),
        (condition("sub", "system:serviceaccount:*:app"), 403),
        (other, 403),
    ] {
        sandbox.change(|settings| settings.roles = vec![role.clone()]).unwrap();
        assert_eq!(assume(&sandbox, &token).status, status, "{}", role.trust_policy);
    }
}
