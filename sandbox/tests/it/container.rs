//! The endpoints that give keys to ECS tasks and to pods.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fedboot_sandbox::{AwsPlace, Fault, Sandbox, Service};
use serde_json::json;

use crate::client::{Answer, request};
use crate::signed::Signed;

fn at(place: AwsPlace) -> (Sandbox, BTreeMap<String, String>) {
    let sandbox = Sandbox::builder().aws(place).start().unwrap();
    let env = sandbox.env().into_iter().collect();
    (sandbox, env)
}

fn get(url: &str, authorization: Option<&str>) -> Answer {
    let headers: Vec<(&str, &str)> = authorization.iter().map(|value| ("authorization", *value)).collect();
    request(url, "GET", &headers, "", None).unwrap()
}

#[test]
fn a_task_gets_its_keys_for_its_path() {
    let (sandbox, env) = at(AwsPlace::Ecs);
    let url = &env["AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    let answer = get(url, None);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let issued = sandbox.issued().remove(0);
    let keys = answer.json();
    assert_eq!(keys["AccessKeyId"], issued.access_key_id.as_str());
    assert_eq!(keys["RoleArn"], "arn:aws:iam::123456789012:role/fedboot-demo");
    let names: Vec<&str> = keys.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["AccessKeyId", "Expiration", "RoleArn", "SecretAccessKey", "Token"]);
    assert_eq!(keys, get(url, None).json());
    assert_eq!(Signed::by(&issued).send(&sandbox).status, 200);

    let base = sandbox.container_url();
    let task = url.rsplit('/').next().unwrap();
    for (path, status, code) in [
        ("/v2/credentials/00000000-0000-4000-a000-000000000000".to_string(), 400, "InvalidIdInRequest"),
        (format!("/v3/credentials/{task}"), 404, "NotFound"),
        ("/".into(), 404, "NotFound"),
    ] {
        let answer = get(&format!("{base}{path}"), None);
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{path}");
        assert!(answer.json()["message"].is_string());
    }
    assert_eq!(request(url, "POST", &[], "", None).unwrap().status, 405);
}

#[test]
fn a_pod_shows_its_token_and_the_old_one_is_refused() {
    let (sandbox, env) = at(AwsPlace::PodIdentity);
    let url = &env["AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    let token = || std::fs::read_to_string(&env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]).unwrap();
    let first = token();
    assert!(!first.ends_with('\n'));
    for (authorization, status, code) in [
        (None, 400, "InvalidRequestException"),
        (Some(""), 400, "InvalidRequestException"),
        (Some("forged"), 401, "InvalidTokenException"),
    ] {
        let answer = get(url, authorization);
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{authorization:?}");
    }
    let keys = get(url, Some(&first)).json();
    assert_eq!(keys["AccountId"], "123456789012");
    assert!(sandbox.issued()[0].session_name.starts_with("eks-demo-app-"));

    sandbox.rotate_pod_tokens().unwrap();
    let second = token();
    assert_ne!(first, second);
    assert_eq!(get(url, Some(&first)).status, 401);
    assert_eq!(get(url, Some(&second)).json(), keys);
    let control = format!("{}/pod-tokens", sandbox.control_url());
    let files = request(&control, "POST", &[], "", None).unwrap().json();
    assert_eq!(files["pod_identity"], env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"].as_str());
    assert_eq!((get(url, Some(&second)).status, get(url, Some(&token())).status), (401, 200));
}

#[test]
fn keys_are_renewed_before_they_end() {
    let (sandbox, env) = at(AwsPlace::Ecs);
    let url = &env["AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    sandbox.change(|settings| settings.dialect.nanoseconds = true).unwrap();
    sandbox.set_credential_lifetime(Duration::from_secs(2));
    let id = || get(url, None).json()["AccessKeyId"].as_str().unwrap().to_string();
    let first = id();
    let deadline = Instant::now() + Duration::from_secs(10);
    while id() == first {
        assert!(Instant::now() < deadline, "the same keys for ever");
        std::thread::sleep(Duration::from_millis(20));
    }
    let issued = sandbox.issued();
    assert!(issued[0].is_live(), "the new ones are there while the old ones still hold");
    assert_eq!(issued.len(), 2);
}

#[test]
fn errors_on_command_are_in_json() {
    let (sandbox, env) = at(AwsPlace::Ecs);
    let url = &env["AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    sandbox.fault(Service::Container, Fault::error("InternalServerError").on("task-credentials"));
    let answer = get(url, None);
    assert_eq!((answer.status, &answer.json()["code"]), (500, &json!("InternalServerError")));
    sandbox.refuse_connections(Service::Container, Duration::from_secs(600));
    assert!(request(url, "GET", &[], "", None).is_err());
}
