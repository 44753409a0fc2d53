use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fedboot_sandbox::{Sandbox, Service, ServiceAccount};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::{Value, json};

use crate::client::{get, identity, metadata, request};

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn requests_and_replies_bear_the_flavor() {
    let sandbox = Sandbox::start().unwrap();
    let url = format!("http://{}/computeMetadata/v1/project/project-id", sandbox.metadata_host());
    let flavor = ("metadata-flavor", "Google");
    let table = [
        ("GET", &[flavor][..], 200),
        ("GET", &[], 403),
        ("GET", &[("metadata-flavor", "Amazon")], 403),
        ("GET", &[flavor, ("x-forwarded-for", "1.2.3.4")], 403),
        ("PUT", &[flavor], 405),
    ];
    for (method, headers, status) in table {
        let answer = request(&url, method, headers, "", None).unwrap();
        assert_eq!(answer.status, status, "{method} {headers:?}");
        assert_eq!(answer.headers["metadata-flavor"], "Google");
    }
    let root = get(&format!("http://{}/", sandbox.metadata_host()));
    assert_eq!((root.status, root.headers["metadata-flavor"].as_str()), (200, "Google"));
}

#[test]
fn identity_tokens_verify_with_the_published_key() {
    let sandbox = Sandbox::start().unwrap();
    let token = identity(&sandbox, "sts.amazonaws.com");
    let keys = get(&sandbox.jwks_url()).json();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let header = URL_SAFE_NO_PAD.decode(signed.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    let key = &keys["keys"][0];
    assert_eq!((&header["alg"], &header["kid"]), (&json!("RS256"), &key["kid"]));
    let part = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    RsaPublicKeyComponents { n: part("n"), e: part("e") }
        .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .expect("the published key signed it");

    let account = ServiceAccount::new("worker@demo-project.iam.gserviceaccount.com");
    let claims = claims(&token);
    assert_eq!(claims["iss"], "https://accounts.google.com");
    assert_eq!(claims["aud"], "sts.amazonaws.com");
    assert_eq!(claims["azp"], account.unique_id.as_str());
    assert_eq!(claims["sub"], claims["azp"]);
    assert_eq!(claims["email"], account.email.as_str());
    assert_eq!(claims["email_verified"], true);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    let engine = &claims["google"]["compute_engine"];
    assert_eq!(engine["project_id"], "demo-project");
    assert_eq!(engine["zone"], "europe-west1-b");
    assert!(engine["license_id"].is_null());
}

#[test]
fn identity_by_its_parameters() {
    let sandbox = Sandbox::start().unwrap();
    let ask = |query: &str| metadata(&sandbox, &format!("instance/service-accounts/default/identity{query}"));
    assert_eq!(ask("").status, 400);
    assert_eq!(ask("?audience=").status, 400);
    assert_eq!(ask("?audience=a&format=large").status, 400);
    let standard = claims(&ask("?audience=https://a.b/c").text());
    assert_eq!(standard["aud"], "https://a.b/c");
    assert!(standard["google"].is_null() && standard["email"].is_null());
    let full = claims(&ask("?audience=a&format=full&licenses=TRUE").text());
    assert!(full["google"]["compute_engine"]["license_id"].is_array());
    let by_email =
        metadata(&sandbox, "instance/service-accounts/worker@demo-project.iam.gserviceaccount.com/identity?audience=a");
    assert_eq!(by_email.status, 200);
}

#[test]
fn keys_directories_and_attributes() {
    let sandbox = Sandbox::builder()
        .attribute("fedboot-role-arn", "arn:aws:iam::1:role/a-b")
        .project_attribute("team", "blue")
        .start()
        .unwrap();
    let email = "worker@demo-project.iam.gserviceaccount.com";
    let table = [
        ("project/project-id", "demo-project"),
        ("project/numeric-project-id", "739419398126"),
        ("project/attributes/team", "blue"),
        ("instance/attributes/fedboot-role-arn", "arn:aws:iam::1:role/a-b"),
        ("instance/attributes/", "fedboot-role-arn\n"),
        ("instance/attributes/?recursive=true", r#"{"fedboot-role-arn":"arn:aws:iam::1:role/a-b"}"#),
        ("instance/name", "demo-worker-0"),
        ("instance/zone", "projects/739419398126/zones/europe-west1-b"),
        ("instance/service-accounts/default/email", email),
        ("instance/service-accounts/default/scopes", "https://www.googleapis.com/auth/cloud-platform\n"),
        ("instance/service-accounts/", "default/\nworker@demo-project.iam.gserviceaccount.com/\n"),
        ("instance/service-accounts/default/", "aliases\nemail\nidentity\nscopes\ntoken\n"),
        ("universe/universe-domain", "googleapis.com"),
    ];
    for (path, body) in table {
        let answer = metadata(&sandbox, path);
        assert_eq!((answer.status, answer.text().as_str()), (200, body), "{path}");
    }
    let account = metadata(&sandbox, "instance/service-accounts/default/?recursive=true").json();
    assert_eq!(account["email"], email);
    let all = metadata(&sandbox, "?recursive=true").json();
    assert_eq!(all["project"]["numericProjectId"], 739_419_398_126u64);
    assert_eq!(all["instance"]["attributes"]["fedboot-role-arn"], "arn:aws:iam::1:role/a-b");
    assert_eq!(all["instance"]["serviceAccounts"][email]["email"], email);

    let moved = metadata(&sandbox, "instance");
    assert_eq!(moved.status, 301);
    assert!(moved.headers["location"].ends_with("/computeMetadata/v1/instance/"));
    for absent in ["instance/attributes/none", "instance/service-accounts/other@b/token", "what"] {
        assert_eq!(metadata(&sandbox, absent).status, 404, "{absent}");
    }
}

#[test]
fn access_tokens_have_scopes_and_an_end() {
    let sandbox = Sandbox::start().unwrap();
    let path = "instance/service-accounts/default/token?scopes=https%3A%2F%2Fa%2Cb";
    let token = metadata(&sandbox, path).json();
    assert!(token["access_token"].as_str().unwrap().starts_with("ya29."));
    assert_eq!((&token["token_type"], &token["expires_in"]), (&json!("Bearer"), &json!(3599)));
    assert_eq!(sandbox.requests_to(Service::Metadata)[0].param("scopes"), Some("https://a,b"));
}

#[test]
fn an_instance_without_an_account() {
    let sandbox = Sandbox::builder().no_service_account().start().unwrap();
    for path in ["default/identity?audience=a", "default/token", "default/email", "default/?recursive=true"] {
        let answer = metadata(&sandbox, &format!("instance/service-accounts/{path}"));
        assert_eq!(answer.status, 404, "{path}");
    }
    assert_eq!(metadata(&sandbox, "instance/service-accounts/").status, 200);
    assert_eq!(metadata(&sandbox, "project/project-id").status, 200);
}
