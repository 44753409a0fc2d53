use std::time::Duration;

use fedboot::config::external_account::{CredentialSource, parse};
use fedboot::format::subject_token_format::SubjectTokenFormat;
use fedboot::model::proof::{AWS_REQUEST, JWT};
use serde_json::{Value, json};

fn aws() -> Value {
    json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": AWS_REQUEST,
        "token_url": "https://sts.googleapis.com/v1/token",
        "service_account_impersonation": {},
        "credential_source": {
            "environment_id": "aws1",
            "region_url": "http://169.254.169.254/latest/meta-data/placement/availability-zone",
            "url": "http://169.254.169.254/latest/meta-data/iam/security-credentials",
            "regional_cred_verification_url":
                "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
        },
    })
}

#[test]
fn as_gcloud_writes_it() {
    let account = parse(aws().to_string().as_bytes()).expect("an account");
    assert!(matches!(account.source, CredentialSource::Aws { metadata, .. } if metadata.len() == 2));
    let mut file = aws();
    file["subject_token_type"] = JWT.into();
    file["credential_source"] = json!({"file": "/token", "format": {"type": "json", "subject_token_field_name": "t"}});
    file["service_account_impersonation"] = json!({"token_lifetime_seconds": 2800});
    let account = parse(file.to_string().as_bytes()).expect("an account");
    assert_eq!(account.lifetime, Some(Duration::from_secs(2800)));
    assert!(matches!(account.source, CredentialSource::File(_, SubjectTokenFormat::Json(field)) if field == "t"));
}
