//! The metadata service of an EC2 instance.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use fedboot_sandbox::{AwsPlace, Fault, Sandbox, Service};
use serde_json::json;

use crate::client::{Answer, request};
use crate::signed::Signed;

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const ROLES: &str = "/latest/meta-data/iam/security-credentials";

fn sandbox() -> Sandbox {
    Sandbox::builder().aws(AwsPlace::Imds).start().unwrap()
}

fn put(sandbox: &Sandbox, headers: &[(&str, &str)]) -> Answer {
    request(&format!("{}/latest/api/token", sandbox.imds_url()), "PUT", headers, "", None).unwrap()
}

fn get(sandbox: &Sandbox, path: &str, token: Option<&str>) -> Answer {
    let headers: Vec<(&str, &str)> = token.iter().map(|token| ("x-aws-ec2-metadata-token", *token)).collect();
    request(&format!("{}{path}", sandbox.imds_url()), "GET", &headers, "", None).unwrap()
}

fn token(sandbox: &Sandbox) -> String {
    put(sandbox, &[(TTL, "60")]).text()
}

#[test]
fn a_token_names_its_lifetime_and_comes_through_no_proxy() {
    let sandbox = sandbox();
    for (headers, status) in [
        (&[(TTL, "1")][..], 200),
        (&[(TTL, "21600")], 200),
        (&[], 400),
        (&[(TTL, "0")], 400),
        (&[(TTL, "21601")], 400),
        (&[(TTL, "soon")], 400),
        (&[(TTL, "60"), ("x-forwarded-for", "10.0.0.1")], 403),
    ] {
        let answer = put(&sandbox, headers);
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
        if status == 200 {
            assert_eq!(answer.headers[TTL], headers[0].1);
            assert_eq!(get(&sandbox, "/latest/meta-data/instance-id", Some(&answer.text())).status, 200);
        }
    }
    assert_eq!(get(&sandbox, "/latest/api/token", None).status, 405);
    let posted = request(&format!("{}{ROLES}", sandbox.imds_url()), "POST", &[], "", None).unwrap();
    assert_eq!(posted.status, 405);
}

#[test]
fn nothing_is_told_without_a_token_unless_version_1_is_on() {
    let sandbox = sandbox();
    let path = "/latest/meta-data/placement/region";
    for (token, first, later) in [(None, 401, 200), (Some("forged"), 401, 401)] {
        sandbox.change(|settings| settings.imdsv1 = false).unwrap();
        assert_eq!(get(&sandbox, path, token).status, first, "{token:?}");
        sandbox.change(|settings| settings.imdsv1 = true).unwrap();
        assert_eq!(get(&sandbox, path, token).status, later, "{token:?}");
    }
    sandbox.change(|settings| settings.imdsv1 = false).unwrap();
    let short = put(&sandbox, &[(TTL, "1")]).text();
    assert_eq!(get(&sandbox, path, Some(&short)).status, 200);
    let deadline = SystemTime::now() + Duration::from_secs(5);
    while get(&sandbox, path, Some(&short)).status != 401 {
        assert!(SystemTime::now() < deadline, "a token of one second lives on");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn tells_where_it_is_and_which_role_it_has() {
    let sandbox = Sandbox::builder().aws(AwsPlace::Imds).settings(|s| s.region = "us-east-2".into()).start().unwrap();
    let token = token(&sandbox);
    let get = |path: &str| get(&sandbox, path, Some(&token));
    for (path, text) in [
        ("/latest/meta-data/placement/availability-zone", "us-east-2a"),
        ("/latest/meta-data/placement/region", "us-east-2"),
        (ROLES, "fedboot-demo"),
        (&format!("{ROLES}/"), "fedboot-demo"),
        ("/latest/meta-data/", "ami-id\niam/\ninstance-id\nplacement/"),
    ] {
        assert_eq!((get(path).status, get(path).text().as_str()), (200, text), "{path}");
    }
    let document = get("/latest/dynamic/instance-identity/document").json();
    assert_eq!((&document["region"], &document["accountId"]), (&json!("us-east-2"), &json!("123456789012")));
    for absent in [&format!("{ROLES}/other"), "/latest/user-data", "/"] {
        assert_eq!(get(absent).status, 404, "{absent}");
    }
    sandbox.change(|settings| settings.instance_role = None).unwrap();
    for path in [ROLES, &format!("{ROLES}/"), &format!("{ROLES}/fedboot-demo")] {
        assert_eq!(get(path).status, 404, "{path}");
    }
}

#[test]
fn its_keys_are_a_session_of_the_role() {
    let sandbox = sandbox();
    let token = token(&sandbox);
    let keys = || get(&sandbox, &format!("{ROLES}/fedboot-demo"), Some(&token)).json();
    let first = keys();
    assert_eq!((&first["Code"], &first["Type"]), (&json!("Success"), &json!("AWS-HMAC")));
    assert_eq!(first, keys(), "the same keys until they near their end");
    let issued = sandbox.issued().remove(0);
    assert_eq!(first["AccessKeyId"], issued.access_key_id.as_str());
    assert_eq!(first["SecretAccessKey"], issued.secret_access_key.as_str());
    assert_eq!(first["Token"], issued.session_token.as_str());
    let told = humantime::parse_rfc3339(first["Expiration"].as_str().unwrap());
    assert_eq!(told, Ok(issued.expires_at));
    assert!(first["LastUpdated"].as_str().unwrap() < first["Expiration"].as_str().unwrap());
    let who = Signed::by(&issued).send(&sandbox);
    let arn = "arn:aws:sts::123456789012:assumed-role/fedboot-demo/i-0f1e2d3c4b5a69788";
    assert_eq!(who.element("Arn").as_deref(), Some(arn));

    // Shorter ones from now on, and those end.
    sandbox.change(|settings| settings.dialect.nanoseconds = true).unwrap();
    sandbox.set_credential_lifetime(Duration::from_millis(40));
    let second = keys();
    assert_ne!(second["AccessKeyId"], first["AccessKeyId"]);
    let second = sandbox.issued().pop().unwrap();
    while second.is_live() {
        std::thread::yield_now();
    }
    assert_eq!(Signed::by(&second).send(&sandbox).element("Code").as_deref(), Some("ExpiredToken"));
    assert_ne!(keys()["AccessKeyId"], second.access_key_id.as_str());
}

#[test]
fn below_a_task_it_has_the_role_of_the_node() {
    let sandbox = Sandbox::builder().aws(AwsPlace::Ecs).start().unwrap();
    assert_eq!(get(&sandbox, ROLES, Some(&token(&sandbox))).text(), "fedboot-node");
}

#[test]
fn one_hop_is_too_few_for_a_container() {
    let sandbox = sandbox();
    let known = token(&sandbox);
    sandbox.change(|settings| settings.imds_hop_limit = 1).unwrap();
    let address = sandbox.imds_url().replace("http://", "");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    write!(stream, "PUT /latest/api/token HTTP/1.1\r\nhost: a\r\n{TTL}: 60\r\n\r\n").unwrap();
    let silence = stream.read(&mut [0; 1]).unwrap_err().kind();
    assert!(matches!(silence, std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{silence:?}");
    assert_eq!(get(&sandbox, ROLES, None).status, 401);
    assert_eq!(get(&sandbox, ROLES, Some(&known)).status, 200);
    let log = sandbox.wait_for(2, "imds-token", Duration::from_secs(5)).unwrap();
    assert!(log[1].verdict.contains("hop limit") && log[1].status.is_none(), "{}", log[1].verdict);
}

#[test]
fn faults_hit_one_of_its_requests() {
    let sandbox = sandbox();
    sandbox.fault(Service::Imds, Fault::error("503").on("imds-role").times(1));
    sandbox.fault(Service::Imds, Fault::clock_skew(-7200).on("imds-credentials"));
    let token = token(&sandbox);
    let role = |path: &str| get(&sandbox, path, Some(&token));
    assert_eq!((role(ROLES).status, role(ROLES).status), (503, 200));
    let path = format!("{ROLES}/fedboot-demo");
    let early = role(&path).json()["Expiration"].as_str().unwrap().to_string();
    assert!(*early < *role(&path).json()["Expiration"].as_str().unwrap());
    let actions: Vec<String> = sandbox.requests_to(Service::Imds).into_iter().map(|r| r.action).collect();
    assert_eq!(actions, ["imds-token", "imds-role", "imds-role", "imds-credentials", "imds-credentials"]);
}
