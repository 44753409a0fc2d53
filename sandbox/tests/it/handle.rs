use std::time::Duration;

use fedboot_sandbox::{Sandbox, Service};

use crate::client::{assume, metadata};

#[test]
fn dropping_frees_everything() {
    let sandbox = Sandbox::start().unwrap();
    let (directory, host) = (sandbox.directory().to_path_buf(), sandbox.metadata_host());
    assume(&sandbox).unwrap();
    let idle = std::net::TcpStream::connect(&host).unwrap();
    drop(sandbox);
    assert!(!directory.exists());
    assert!(std::net::TcpStream::connect(&host).is_err());
    drop(idle);
    let again: std::net::SocketAddr = host.parse().unwrap();
    let port = fedboot_sandbox::Port::Metadata;
    Sandbox::builder().port(port, again.port()).start().unwrap();
}

#[test]
fn requests_are_logged_in_order_and_to_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("requests.jsonl");
    let sandbox = Sandbox::builder().request_log(&file).start().unwrap();
    assume(&sandbox).unwrap();
    let requests = sandbox.requests();
    let actions: Vec<&str> = requests.iter().map(|r| r.action.as_str()).collect();
    assert_eq!(actions, ["identity", "AssumeRoleWithWebIdentity"]);
    assert!(requests[0].since_start < requests[1].since_start);
    assert_eq!(requests[1].param("RoleSessionName"), Some("worker-1"));
    assert_eq!(requests[1].header("Content-Type").map(|v| v.starts_with("application/x-www")), Some(true));
    assert!(requests[1].tls && !requests[0].tls);
    assert_eq!((requests[1].status, requests[1].query.as_str()), (Some(200), ""));
    let lines = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["service"], "sts");
    sandbox.forget_requests();
    assert!(sandbox.requests().is_empty());
}

#[test]
fn waiting_ends_with_the_request_or_the_time() {
    let sandbox = Sandbox::start().unwrap();
    let early = sandbox.wait_for(1, "token", Duration::from_millis(20)).unwrap_err().to_string();
    assert_eq!(early, "0 of 1 token requests came within 20ms");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| sandbox.wait_for(2, "token", Duration::from_secs(10)));
        for _ in 0..2 {
            metadata(&sandbox, "instance/service-accounts/default/token");
        }
        assert_eq!(waiting.join().unwrap().unwrap().len(), 2);
    });
}

#[test]
fn settings_change_while_it_runs() {
    let sandbox = Sandbox::start().unwrap();
    sandbox.change(|settings| settings.service_account = None).unwrap();
    assert_eq!(metadata(&sandbox, "instance/service-accounts/default/email").status, 404);
    let refused = sandbox.change(|settings| settings.roles[0].trust_policy = serde_json::json!({}));
    assert!(refused.is_err());
    assert!(sandbox.settings().roles[0].trust_policy["Statement"].is_array());
    assert!(sandbox.requests_to(Service::Sts).is_empty());
}
