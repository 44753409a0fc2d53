//! IAM Credentials for a federated identity: who may speak for a service account, and for how long.

use std::time::Duration;

use fedboot_sandbox::{Fault, Sandbox, Service};
use serde_json::{Value, json};

use crate::client::{Answer, get, metadata, request};
use crate::exchange::{federated, sandbox};

const WORKER: &str = "worker@demo-project.iam.gserviceaccount.com";
const CLOUD: &str = "https://www.googleapis.com/auth/cloud-platform";

fn call(sandbox: &Sandbox, account: &str, method: &str, bearer: &str, body: &Value) -> Answer {
    let url = format!("{}/v1/projects/-/serviceAccounts/{account}:{method}", sandbox.iam_credentials_http_url());
    let authorization = format!("Bearer {bearer}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    request(&url, "POST", &headers, &body.to_string(), None).unwrap()
}

fn access(sandbox: &Sandbox, bearer: &str, body: &Value) -> Answer {
    call(sandbox, WORKER, "generateAccessToken", bearer, body)
}

fn info(sandbox: &Sandbox, token: &str) -> Answer {
    get(&format!("{}/tokeninfo?access_token={token}", sandbox.iam_credentials_http_url()))
}

#[test]
fn an_access_token_is_the_accounts() {
    let sandbox = sandbox();
    let bearer = federated(&sandbox);
    let body = json!({"scope": [CLOUD, "https://www.googleapis.com/auth/bigquery"], "lifetime": "600s"});
    let answer = access(&sandbox, &bearer, &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let token = answer.json();
    assert!(token["expireTime"].as_str().unwrap().ends_with('Z'));
    let told = info(&sandbox, token["accessToken"].as_str().unwrap()).json();
    assert_eq!(told["email"], WORKER);
    assert_eq!(told["scope"], format!("{CLOUD} https://www.googleapis.com/auth/bigquery"));
    let left: u64 = told["expires_in"].as_str().unwrap().parse().unwrap();
    assert!((590..=601).contains(&left), "{left}");
    assert_eq!(told["sub"], sandbox.settings().service_account.unwrap().unique_id);

    let federated = info(&sandbox, &bearer).json();
    assert!(federated["sub"].as_str().unwrap().starts_with("principal://iam.googleapis.com/projects/"));
    assert_eq!(federated["email"], Value::Null);
    for wrong in ["", "forged"] {
        let answer = info(&sandbox, wrong);
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_token")));
    }
}

#[test]
fn every_field_is_checked() {
    let sandbox = sandbox();
    let bearer = federated(&sandbox);
    let scope = json!([CLOUD]);
    let table = [
        (json!({"scope": scope}), 200, ""),
        (json!({"scope": scope, "lifetime": "3600s", "delegates": null}), 200, ""),
        (json!({"scope": scope, "lifetime": "3.5s"}), 200, ""),
        (json!({"scope": scope, "lifetime": "3601s"}), 400, "cannot exceed 3600 seconds"),
        (json!({"scope": scope, "lifetime": "0s"}), 400, "lifetime"),
        (json!({"scope": scope, "lifetime": "3600"}), 400, "duration must end with 's'"),
        (json!({"scope": scope, "lifetime": 3600}), 400, "duration must end with 's'"),
        (json!({"scope": []}), 400, "Request contains an invalid argument."),
        (json!({"scope": CLOUD}), 400, "Request contains an invalid argument."),
        (json!({}), 400, "Request contains an invalid argument."),
        (json!({"scope": scope, "delegates": ["projects/-/serviceAccounts/a@b"]}), 400, "delegates"),
    ];
    for (body, status, message) in table {
        let answer = access(&sandbox, &bearer, &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        let found = &answer.json()["error"];
        assert!(found["message"].as_str().unwrap_or_default().contains(message), "{body}: {found}");
        assert!(status == 200 || found["status"] == "INVALID_ARGUMENT", "{found}");
    }
    sandbox.change(|settings| settings.lifetime_extension = true).unwrap();
    for (lifetime, status) in [("43200s", 200), ("43201s", 400)] {
        let answer = access(&sandbox, &bearer, &json!({"scope": scope, "lifetime": lifetime}));
        assert_eq!(answer.status, status, "{lifetime}");
    }
    assert_eq!(access(&sandbox, "forged", &json!({"scope": scope})).status, 401);
    assert_eq!(call(&sandbox, WORKER, "signBlob", &bearer, &json!({})).status, 404);
}

#[test]
fn the_binding_decides() {
    let sandbox = sandbox();
    let bearer = federated(&sandbox);
    let pool = sandbox.settings().providers[0].pool().to_string();
    let role = "arn:aws:sts::123456789012:assumed-role/fedboot-demo";
    let member = |kind: &str, rest: &str| format!("{kind}://iam.googleapis.com/{pool}/{rest}");
    let table = [
        (member("principalSet", &format!("attribute.aws_role/{role}")), true),
        (member("principalSet", "attribute.account/123456789012"), true),
        (member("principal", &format!("subject/{role}/environment")), true),
        (member("principalSet", "*"), true),
        (member("principalSet", &format!("attribute.aws_role/{role}-2")), false),
        (member("principalSet", "attribute.account/210987654321"), false),
        (member("principal", &format!("subject/{role}/other")), false),
        (member("principalSet", &format!("attribute.aws_role/{role}")).replace("aws-pool", "other"), false),
        (member("principalSet", "*").replace("aws-pool", "aws-pool2"), false),
        (member("principal", "*"), false),
        (format!("serviceAccount:{WORKER}"), false),
    ];
    for (member, good) in table {
        let members = vec!["serviceAccount:nobody".to_string(), member.clone()];
        sandbox.change(|s| s.workload_identity_users = [(WORKER.to_string(), members)].into()).unwrap();
        for (method, body, permission) in [
            ("generateAccessToken", json!({"scope": [CLOUD]}), "iam.serviceAccounts.getAccessToken"),
            ("generateIdToken", json!({"audience": "a", "includeEmail": true}), "iam.serviceAccounts.getOpenIdToken"),
        ] {
            let answer = call(&sandbox, WORKER, method, &bearer, &body);
            if good {
                assert_eq!(answer.status, 200, "{member}: {}", answer.text());
                continue;
            }
            let expected = json!({"error": {
                "code": 403,
                "message": format!("Permission '{permission}' denied on resource (or it may not exist)."),
                "status": "PERMISSION_DENIED",
                "details": [{
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "IAM_PERMISSION_DENIED",
                    "domain": "iam.googleapis.com",
                    "metadata": {"permission": permission},
                }],
            }});
            assert_eq!((answer.status, answer.json()), (403, expected), "{member} {method}");
        }
    }
    // Bound to one account is not bound to another.
    sandbox
        .change(|s| s.workload_identity_users = [(WORKER.into(), vec![member("principalSet", "*")])].into())
        .unwrap();
    let other = "other@demo-project.iam.gserviceaccount.com";
    assert_eq!(call(&sandbox, other, "generateAccessToken", &bearer, &json!({"scope": [CLOUD]})).status, 403);
    let number = sandbox.settings().service_account.unwrap().unique_id;
    assert_eq!(call(&sandbox, &number, "generateAccessToken", &bearer, &json!({"scope": [CLOUD]})).status, 200);
}

#[test]
fn an_id_token_is_the_accounts() {
    let sandbox = sandbox();
    let body = json!({"audience": "https://a.run.app", "includeEmail": true});
    let answer = call(&sandbox, WORKER, "generateIdToken", &federated(&sandbox), &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let verdict = sandbox.requests_to(Service::IamCredentials).pop().unwrap().verdict;
    assert!(verdict.starts_with("principal://") && verdict.contains("https://a.run.app"), "{verdict}");
    assert!(verdict.contains(&format!("\"email\":\"{WORKER}\"")), "{verdict}");
}

#[test]
fn tokens_end_when_the_cap_says() {
    let sandbox = sandbox();
    sandbox.change(|settings| settings.access_token_cap = Some(Duration::from_secs(30))).unwrap();
    let bearer = federated(&sandbox);
    let left = |token: &str| -> u64 { info(&sandbox, token).json()["expires_in"].as_str().unwrap().parse().unwrap() };
    assert!((20..=30).contains(&left(&bearer)));
    let token = |lifetime: &str| {
        let answer = access(&sandbox, &bearer, &json!({"scope": [CLOUD], "lifetime": lifetime}));
        answer.json()["accessToken"].as_str().unwrap().to_string()
    };
    assert!((20..=31).contains(&left(&token("3600s"))));
    assert!((5..=11).contains(&left(&token("10s"))));

    sandbox.change(|settings| settings.access_token_cap = Some(Duration::from_millis(1))).unwrap();
    let ended = federated(&sandbox);
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(info(&sandbox, &ended).status, 400);
    assert_eq!(access(&sandbox, &ended, &json!({"scope": [CLOUD]})).status, 401);
}

#[test]
fn a_service_account_may_get_access_tokens_too() {
    let target = "target@demo-project.iam.gserviceaccount.com";
    let sandbox = Sandbox::builder().impersonable(target).start().unwrap();
    let own = metadata(&sandbox, "instance/service-accounts/default/token").json();
    let own = own["access_token"].as_str().unwrap();
    let body = json!({"scope": [CLOUD]});
    let answer = call(&sandbox, target, "generateAccessToken", own, &body);
    assert_eq!(info(&sandbox, answer.json()["accessToken"].as_str().unwrap()).json()["email"], target);
    assert_eq!(call(&sandbox, WORKER, "generateAccessToken", own, &body).status, 403);
    let narrow = "instance/service-accounts/default/token?scopes=https://www.googleapis.com/auth/bigquery";
    let narrow = metadata(&sandbox, narrow).json();
    let narrow = narrow["access_token"].as_str().unwrap();
    assert_eq!(call(&sandbox, target, "generateAccessToken", narrow, &body).status, 403);
}

#[test]
fn faults_hit_one_method() {
    let sandbox = sandbox();
    let bearer = federated(&sandbox);
    sandbox.fault(Service::IamCredentials, Fault::error("UNAVAILABLE").on("generateAccessToken").always());
    assert_eq!(access(&sandbox, &bearer, &json!({"scope": [CLOUD]})).status, 503);
    assert_eq!(call(&sandbox, WORKER, "generateIdToken", &bearer, &json!({"audience": "a"})).status, 200);
}
