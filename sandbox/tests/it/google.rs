use std::time::Duration;

use fedboot_sandbox::{Fault, Sandbox, Service, ServiceAccount};
use serde_json::json;

use crate::client::{Answer, encoded, metadata, parameters, post_form, request};

const TARGET: &str = "target@demo-project.iam.gserviceaccount.com";

fn access_token(sandbox: &Sandbox, query: &str) -> String {
    let path = format!("instance/service-accounts/default/token{query}");
    metadata(sandbox, &path).json()["access_token"].as_str().unwrap().to_string()
}

fn mint(sandbox: &Sandbox, account: &str, bearer: &str, body: &str) -> Answer {
    let url = format!("{}/v1/projects/-/serviceAccounts/{account}:generateIdToken", sandbox.iam_credentials_url());
    let authorization = format!("Bearer {bearer}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    request(&url, "POST", &headers, body, Some(&sandbox.ca_file())).unwrap()
}

#[test]
fn impersonation_needs_a_token_a_scope_and_the_permission() {
    let sandbox = Sandbox::builder().impersonable(TARGET).start().unwrap();
    let good = access_token(&sandbox, "");
    let narrow = access_token(&sandbox, "?scopes=https://www.googleapis.com/auth/devstorage.read_only");
    let body = r#"{"audience":"sts.amazonaws.com","includeEmail":true}"#;
    let table = [
        (TARGET, good.as_str(), body, 200, ""),
        ("target%40demo-project.iam.gserviceaccount.com", &good, body, 200, ""),
        (TARGET, "ya29.forged", body, 401, "UNAUTHENTICATED"),
        (TARGET, &narrow, body, 403, "PERMISSION_DENIED"),
        ("other@demo-project.iam.gserviceaccount.com", &good, body, 403, "PERMISSION_DENIED"),
        (TARGET, &good, "{}", 400, "INVALID_ARGUMENT"),
        (TARGET, &good, "audience=a", 400, "INVALID_ARGUMENT"),
    ];
    for (account, bearer, body, status, name) in table {
        let answer = mint(&sandbox, account, bearer, body);
        assert_eq!(answer.status, status, "{account} {body}: {}", answer.text());
        if status != 200 {
            assert_eq!(answer.json()["error"]["status"], name);
            assert_eq!(answer.json()["error"]["code"], status);
        }
    }
    let denied = mint(&sandbox, "other@b", &good, body).text();
    assert!(denied.contains("iam.serviceAccounts.getOpenIdToken"));
}

#[test]
fn a_minted_token_is_the_targets_and_sts_accepts_it() {
    let sandbox = Sandbox::builder().impersonable(TARGET).start().unwrap();
    let bearer = access_token(&sandbox, "");
    let body = json!({"audience": "sts.amazonaws.com", "includeEmail": false}).to_string();
    let token = mint(&sandbox, TARGET, &bearer, &body).json()["token"].as_str().unwrap().to_string();
    let mut form = parameters(&sandbox);
    form.insert("WebIdentityToken", token);
    assert_eq!(post_form(&sandbox, &form).status, 200, "{}", encoded(&form));
    assert_eq!(sandbox.issued()[0].subject, ServiceAccount::new(TARGET).unique_id);
    assert!(!sandbox.requests_to(Service::IamCredentials)[0].verdict.contains("\"email\""));
}

#[test]
fn access_tokens_end() {
    let sandbox = Sandbox::builder()
        .impersonable(TARGET)
        .settings(|settings| settings.access_token_lifetime = Duration::from_millis(1))
        .start()
        .unwrap();
    let bearer = access_token(&sandbox, "");
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(mint(&sandbox, TARGET, &bearer, r#"{"audience":"a"}"#).status, 401);
}

#[test]
fn errors_on_command_are_googles() {
    let sandbox = Sandbox::start().unwrap();
    sandbox.fault(Service::IamCredentials, Fault::error("UNAVAILABLE"));
    let answer = mint(&sandbox, TARGET, "any", "{}");
    assert_eq!((answer.status, &answer.json()["error"]["status"]), (503, &json!("UNAVAILABLE")));
}
