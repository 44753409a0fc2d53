//! What a program finds where it runs on AWS.

use std::collections::BTreeMap;

use fedboot_sandbox::{AwsPlace, Role, Sandbox};
use serde_json::{Value, json};

use crate::client::request;

fn env(sandbox: &Sandbox) -> BTreeMap<String, String> {
    sandbox.env().into_iter().collect()
}

#[test]
fn each_place_has_its_variables_and_no_others() {
    let own = [
        (AwsPlace::Environment, &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"][..]),
        (AwsPlace::Profile, &["AWS_PROFILE"]),
        (AwsPlace::WebIdentity, &["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"]),
        (AwsPlace::Ecs, &["AWS_CONTAINER_CREDENTIALS_FULL_URI"]),
        (AwsPlace::PodIdentity, &["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]),
        (AwsPlace::Imds, &[]),
    ];
    let everywhere = [
        "AWS_CA_BUNDLE",
        "AWS_CONFIG_FILE",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "AWS_ENDPOINT_URL_STS",
        "AWS_SHARED_CREDENTIALS_FILE",
        "FEDBOOT_SANDBOX",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ];
    for (place, own) in own {
        let sandbox = Sandbox::builder().aws(place).start().unwrap();
        let found = env(&sandbox);
        let mut expected: Vec<&str> = everywhere.iter().chain(own).copied().collect();
        if place != AwsPlace::Imds {
            expected.push("AWS_REGION");
        }
        expected.sort_unstable();
        assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), expected, "{place:?}");
        let removed = sandbox.env_remove();
        for name in ["GCE_METADATA_HOST", "FEDBOOT_ROLE_ARN", "AWS_EC2_METADATA_DISABLED", "AWS_DEFAULT_REGION"] {
            assert!(removed.contains(&name), "{place:?}: {name}");
        }
        assert!(removed.iter().all(|name| !found.contains_key(*name)), "{place:?}: {removed:?}");
        let file = std::fs::read_to_string(&found["GOOGLE_APPLICATION_CREDENTIALS"]).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&file).unwrap(), sandbox.external_account());
    }
}

#[test]
fn the_external_account_is_gclouds() {
    let sandbox = Sandbox::builder().aws(AwsPlace::Imds).start().unwrap();
    let (sts, iam) = (sandbox.google_sts_http_url(), sandbox.iam_credentials_http_url());
    let account = "worker@demo-project.iam.gserviceaccount.com";
    let expected = json!({
        "universe_domain": "googleapis.com",
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/739419398126/locations/global/workloadIdentityPools/aws-pool/\
                     providers/aws",
        "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
        "token_url": format!("{sts}/v1/token"),
        "service_account_impersonation_url": format!("{iam}/v1/projects/-/serviceAccounts/{account}:generateAccessToken"),
        "credential_source": {
            "environment_id": "aws1",
            "region_url": "http://169.254.169.254/latest/meta-data/placement/availability-zone",
            "url": "http://169.254.169.254/latest/meta-data/iam/security-credentials",
            "regional_cred_verification_url":
                "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
            "imdsv2_session_token_url": "http://169.254.169.254/latest/api/token",
        },
    });
    assert_eq!(sandbox.external_account(), expected);
    let direct = Sandbox::builder().aws(AwsPlace::Imds).no_service_account().start().unwrap();
    assert_eq!(direct.external_account()["service_account_impersonation_url"], Value::Null);
    let overview = request(&sandbox.control_url(), "GET", &[], "", None).unwrap().json();
    assert_eq!(overview["external_account"], expected);
    assert_eq!(overview["urls"]["imds"], sandbox.imds_url());
}

#[test]
fn a_profile_holds_keys() {
    let sandbox = Sandbox::builder().aws(AwsPlace::Profile).start().unwrap();
    let env = env(&sandbox);
    let credentials = std::fs::read_to_string(&env["AWS_SHARED_CREDENTIALS_FILE"]).unwrap();
    assert!(credentials.starts_with(&format!("[{}]\n", env["AWS_PROFILE"])));
    let issued = sandbox.issued().remove(0);
    assert!(credentials.contains(&format!("aws_secret_access_key = {}\n", issued.secret_access_key)));
    assert_eq!(issued.session_name, "profile");
    let config = std::fs::read_to_string(&env["AWS_CONFIG_FILE"]).unwrap();
    assert_eq!(config, format!("[profile {}]\nregion = eu-west-1\n", env["AWS_PROFILE"]));
}

#[test]
fn the_first_role_is_the_workloads_and_is_bound() {
    let arn = "arn:aws:iam::210987654321:role/path/worker";
    let service_account = "system:serviceaccount:default:app";
    let sandbox = Sandbox::builder()
        .aws(AwsPlace::Imds)
        .role(Role::for_workload(arn, service_account))
        .service_account("data@p.iam.gserviceaccount.com")
        .start()
        .unwrap();
    let settings = sandbox.settings();
    assert_eq!((settings.workload_role.as_str(), settings.instance_role.as_deref()), (arn, Some(arn)));
    let members = &settings.workload_identity_users["data@p.iam.gserviceaccount.com"];
    assert!(members[0].ends_with("/attribute.aws_role/arn:aws:sts::210987654321:assumed-role/worker"), "{members:?}");
    assert!(members[1].ends_with(&format!("/subject/{service_account}")), "{members:?}");
    let named = Sandbox::builder().aws(AwsPlace::Imds).workload_identity_user("principal://x").start().unwrap();
    let users = named.settings().workload_identity_users;
    assert_eq!(users.into_values().collect::<Vec<_>>(), [["principal://x"]]);
}

#[test]
fn without_a_place_the_environment_is_a_google_instances() {
    let sandbox = Sandbox::start().unwrap();
    assert!(env(&sandbox).contains_key("GCE_METADATA_HOST"));
    let aws: BTreeMap<String, String> = sandbox.aws_env().into_iter().collect();
    assert!(aws.contains_key("AWS_ACCESS_KEY_ID") && !aws.contains_key("GCE_METADATA_HOST"));
    assert!(sandbox.aws_env_remove().contains(&"GCE_METADATA_HOST"));
    assert!(sandbox.external_account_file().exists());
}
