use fedboot_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::client::{assume, metadata, request};

fn call(sandbox: &Sandbox, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}{path}", sandbox.control_url());
    let answer = request(&url, method, &[], &body.to_string(), None).unwrap();
    (answer.status, answer.json())
}

#[test]
fn another_language_can_do_it_all() {
    let sandbox = Sandbox::start().unwrap();
    let call = |method: &str, path: &str, body: Value| call(&sandbox, method, path, &body);
    let good = |method: &str, path: &str, body: Value| {
        let (status, value) = call(method, path, body);
        assert_eq!(status, 200, "{method} {path}: {value}");
        value
    };
    let overview = good("GET", "/", Value::Null);
    assert_eq!(overview["urls"]["sts"], sandbox.sts_url());
    assert_eq!(overview["env"]["GCE_METADATA_HOST"], sandbox.metadata_host());

    good("POST", "/faults", json!({"service": "sts", "effect": "error", "code": "Throttling"}));
    let many = json!([
        {"service": "metadata", "effect": "status", "status": 500, "times": 2, "on": "name"},
        {"service": "metadata", "effect": "pass", "delay_ms": 1, "always": true},
    ]);
    assert_eq!(good("POST", "/faults", many).as_array().unwrap().len(), 3);
    assert_eq!(metadata(&sandbox, "instance/name").status, 500);
    assert_eq!(assume(&sandbox).unwrap().element("Code").unwrap(), "Throttling");
    assert_eq!(good("DELETE", "/faults?service=metadata", Value::Null), json!([]));

    let settings = good("POST", "/settings", json!({"credential_lifetime_seconds": 4}));
    assert_eq!(settings["credential_lifetime_seconds"], 4.0);
    assert_eq!(assume(&sandbox).unwrap().status, 200);
    let issued = good("GET", "/issued", Value::Null);
    assert_eq!(issued[0]["live"], true);
    let keys = json!({
        "access_key_id": issued[0]["access_key_id"],
        "secret_access_key": issued[0]["secret_access_key"],
        "session_token": issued[0]["session_token"],
    });
    assert_eq!(good("POST", "/valid", keys)["valid"], true);

    let found = good("GET", "/wait?action=AssumeRoleWithWebIdentity&count=2&timeout_ms=1000", Value::Null);
    assert_eq!(found.as_array().unwrap().len(), 2);
    let few = call("GET", "/wait?action=AssumeRoleWithWebIdentity&count=3&timeout_ms=20", Value::Null);
    assert_eq!(few.0, 408);
    let of_sts = good("GET", "/requests?service=sts&action=AssumeRoleWithWebIdentity", Value::Null);
    assert_eq!(of_sts[0]["status"], 400);
    assert!(good("GET", "/connections", Value::Null).as_array().unwrap().len() >= 4);
    good("DELETE", "/requests", Value::Null);
    assert_eq!(good("GET", "/requests", Value::Null), json!([]));

    let token = good("POST", "/tokens", json!({"claims": {"sub": "7"}}));
    assert_eq!(token["token"].as_str().unwrap().split('.').count(), 3);
    good("POST", "/refuse", json!({"service": "jwks", "seconds": 60}));
    assert!(request(&sandbox.jwks_url(), "GET", &[], "", None).is_err());
    let delay = json!({"kind": "delay", "target": sandbox.sts_url(), "round_trip_ms": 2});
    assert!(good("POST", "/proxies", delay)["url"].as_str().unwrap().starts_with("https://"));
    good("POST", "/proxies", json!({"kind": "connect", "user": "u", "password": "p", "resolve": true}));
    assert_eq!(good("GET", "/proxies", Value::Null)[0]["requests"], json!([]));

    good("POST", "/faults", json!({"service": "google_sts", "effect": "error", "code": "invalid_grant"}));
    let exchange = format!("{}/v1/token", sandbox.google_sts_http_url());
    assert_eq!(request(&exchange, "POST", &[], "", None).unwrap().json()["error"], "invalid_grant");
    let change = json!({"imds_hop_limit": 1, "instance_role": null, "providers": [{
        "name": "projects/7/locations/global/workloadIdentityPools/p/providers/q",
        "aws": {"account_id": "210987654321"},
    }]});
    let settings = good("POST", "/settings", change);
    assert_eq!(settings["imds_hop_limit"], 1);
    let provider = &settings["providers"][0];
    assert_eq!(provider["attribute_mapping"]["google.subject"], "assertion.arn");
    let account = good("GET", "/", Value::Null)["external_account"].take();
    assert_eq!(account["audience"], format!("//iam.googleapis.com/{}", provider["name"].as_str().unwrap()));
    let token = good("POST", "/tokens", json!({"pod": true, "claims": {"sub": "7"}}));
    assert_eq!(token["token"].as_str().unwrap().split('.').count(), 3);
    assert!(good("POST", "/pod-tokens", Value::Null)["sts"].is_string());

    for (method, path, body, status) in [
        ("POST", "/faults", json!({"service": "s3", "effect": "hang"}), 400),
        ("POST", "/settings", json!({"unknown": 1}), 400),
        ("POST", "/settings", json!({"providers": [{"name": "a", "aws": {}}]}), 400),
        ("POST", "/refuse", json!({"service": "sts", "seconds": -1}), 400),
        ("GET", "/requests?service=s3", Value::Null, 400),
        ("GET", "/nothing", Value::Null, 404),
    ] {
        let (found, why) = call(method, path, body);
        assert_eq!(found, status, "{method} {path}");
        assert!(why["error"].is_string());
    }
}
