//! Google STS: each check of the token exchange bites.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use fedboot_sandbox::{AwsPlace, Fault, Issued, Sandbox, Service, Trusts};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::client::{Answer, FORM, encoded, request};
use crate::signed::{Signed, authorization, stamp};

const AWS_REQUEST: &str = "urn:ietf:params:aws:token-type:aws4_request";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const TARGET: &str = "x-goog-cloud-target-resource";

pub fn sandbox() -> Sandbox {
    Sandbox::builder().aws(AwsPlace::Environment).start().unwrap()
}

/// The keys in the environment.
pub fn keys(sandbox: &Sandbox) -> Issued {
    let env: BTreeMap<String, String> = sandbox.aws_env().into_iter().collect();
    let id = &env["AWS_ACCESS_KEY_ID"];
    sandbox.issued().into_iter().find(|issued| issued.access_key_id == *id).unwrap()
}

fn audience(sandbox: &Sandbox, provider: &str) -> String {
    let providers = sandbox.settings().providers;
    providers.iter().find(|p| p.name.ends_with(&format!("/{provider}"))).unwrap().audience()
}

/// A signed `GetCallerIdentity`; a test changes one thing.
struct Proof {
    id: String,
    secret: String,
    token: String,
    date: String,
    service: &'static str,
    scheme: &'static str,
    host: String,
    signed_host: String,
    query: String,
    method: &'static str,
    target: Option<String>,
    sign_target: bool,
}

impl Proof {
    fn by(issued: &Issued, audience: &str) -> Self {
        let host = "sts.eu-west-1.amazonaws.com";
        Self {
            id: issued.access_key_id.clone(),
            secret: issued.secret_access_key.clone(),
            token: issued.session_token.clone(),
            date: stamp(SystemTime::now()),
            service: "sts",
            scheme: "https",
            host: host.into(),
            signed_host: host.into(),
            query: "Action=GetCallerIdentity&Version=2011-06-15".into(),
            method: "POST",
            target: Some(audience.into()),
            sign_target: true,
        }
    }

    fn token(&self) -> String {
        let mut headers = vec![
            ("host", self.signed_host.as_str()),
            ("x-amz-date", &self.date),
            ("x-amz-security-token", &self.token),
        ];
        let target = self.target.as_ref().map(|target| (TARGET, target.as_str()));
        headers.extend(target.filter(|_| self.sign_target));
        let keys = (self.id.as_str(), self.secret.as_str());
        let authorization = authorization(keys, &self.date, self.service, &self.query, &headers, "");
        headers.extend(target.filter(|_| !self.sign_target));
        headers.push(("Authorization", &authorization));
        let headers: Vec<Value> = headers.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        let url = format!("{}://{}?{}", self.scheme, self.host, self.query);
        let request = json!({"url": url, "method": self.method, "headers": headers});
        utf8_percent_encode(&request.to_string(), NON_ALPHANUMERIC).to_string()
    }
}

fn form(audience: &str, kind: &str, token: &str) -> BTreeMap<&'static str, String> {
    [
        ("audience", audience),
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("scope", "https://www.googleapis.com/auth/cloud-platform"),
        ("subject_token", token),
        ("subject_token_type", kind),
    ]
    .map(|(name, value)| (name, value.to_string()))
    .into()
}

fn post(sandbox: &Sandbox, form: &BTreeMap<&'static str, String>) -> Answer {
    let url = format!("{}/v1/token", sandbox.google_sts_http_url());
    request(&url, "POST", &[FORM], &encoded(form), None).unwrap()
}

/// A federated token for the keys in the environment.
pub fn federated(sandbox: &Sandbox) -> String {
    let audience = audience(sandbox, "aws");
    let proof = Proof::by(&keys(sandbox), &audience).token();
    let answer = post(sandbox, &form(&audience, AWS_REQUEST, &proof));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["access_token"].as_str().unwrap().to_string()
}

/// The refusal of an answer; both are empty if it is none.
fn refusal(answer: &Answer) -> (String, String) {
    let body = answer.json();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_string();
    let refused = !text("error").is_empty();
    assert_eq!(answer.status, if refused { 400 } else { 200 }, "{body}");
    (text("error"), text("error_description"))
}

/// The reason that the log has for the last refusal.
fn reason(sandbox: &Sandbox) -> String {
    sandbox.requests_to(Service::GoogleSts).pop().unwrap().verdict
}

#[test]
fn a_good_proof_becomes_a_federated_token() {
    let sandbox = sandbox();
    let audience = audience(&sandbox, "aws");
    let proof = Proof::by(&keys(&sandbox), &audience);
    let url = format!("{}/v1/token", sandbox.google_sts_url());
    let body = encoded(&form(&audience, AWS_REQUEST, &proof.token()));
    let answer = request(&url, "POST", &[FORM], &body, Some(&sandbox.ca_file())).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut token = answer.json();
    assert!(token["access_token"].take().as_str().unwrap().starts_with("ya29.d."));
    let expected = json!({
        "access_token": null,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 3600,
    });
    assert_eq!(token, expected);
    let verdict = reason(&sandbox);
    let role = "arn:aws:sts::123456789012:assumed-role/fedboot-demo";
    for part in
        [&format!("/subject/{role}/environment with"), &format!(r#""aws_role": "{role}""#), r#""account": "1234"#]
    {
        assert!(verdict.contains(part), "{part}: {verdict}");
    }
}

#[test]
fn every_parameter_is_checked() {
    let sandbox = sandbox();
    let audience = audience(&sandbox, "aws");
    let proof = Proof::by(&keys(&sandbox), &audience).token();
    let unknown = audience.replace("/aws", "/none");
    let table = [
        ("audience", audience.as_str(), "", ""),
        ("scope", "https://www.googleapis.com/auth/iam https://www.googleapis.com/auth/bigquery", "", ""),
        ("grant_type", "authorization_code", "unsupported_grant_type", "authorization_code"),
        ("grant_type", "", "invalid_request", "grant_type"),
        ("requested_token_type", JWT, "invalid_request", "requested_token_type"),
        ("audience", "", "invalid_request", "audience"),
        (
            "audience",
            audience.trim_start_matches("//"),
            "invalid_request",
            "full resource name of the Identity Provider",
        ),
        (
            "audience",
            "//iam.googleapis.com/projects/p/locations/global/workloadIdentityPools/p/providers/q",
            "invalid_request",
            "Project number must be an integer",
        ),
        ("audience", &unknown, "invalid_target", "disabled or deleted or because it doesn't exist"),
        ("scope", "", "invalid_request", "scope"),
        ("scope", "cloud-platform", "invalid_scope", "cloud-platform"),
        ("subject_token_type", JWT, "invalid_request", "subject_token_type"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:saml2", "invalid_request", "subject_token_type"),
        ("subject_token", "", "invalid_request", "subject_token"),
        ("subject_token", "%7B", "invalid_grant", "Invalid format of AWS credentials"),
        ("subject_token", "%7B%22url%22%3A1%7D", "invalid_grant", "Invalid format of AWS credentials"),
    ];
    for (name, value, code, description) in table {
        let mut form = form(&audience, AWS_REQUEST, &proof);
        form.insert(name, value.into());
        let (found, why) = refusal(&post(&sandbox, &form));
        assert_eq!(found, code, "{name} {value}: {why}");
        assert!(why.contains(description), "{name} {value}: {why}");
    }
    let body = serde_json::to_string(&form(&audience, AWS_REQUEST, &proof)).unwrap();
    let url = format!("{}/v1/token", sandbox.google_sts_http_url());
    let as_json = request(&url, "POST", &[("content-type", "application/json")], &body, None).unwrap();
    assert_eq!(refusal(&as_json).0, "invalid_request");
    assert_eq!(request(&url, "GET", &[], "", None).unwrap().status, 405);
    assert_eq!(request(&url.replace("v1", "v2"), "POST", &[FORM], "", None).unwrap().status, 404);
    sandbox.change(|settings| settings.providers[0].disabled = true).unwrap();
    assert_eq!(refusal(&post(&sandbox, &form(&audience, AWS_REQUEST, &proof))).0, "invalid_target");
}

#[test]
fn the_signed_request_is_replayed() {
    let sandbox = sandbox();
    let audience = audience(&sandbox, "aws");
    let keys = keys(&sandbox);
    let own = sandbox.sts_url().replace("https://", "");
    let ago = |seconds| stamp(SystemTime::now() - Duration::from_secs(seconds));
    let ahead = |seconds| stamp(SystemTime::now() + Duration::from_secs(seconds));
    let aws = |code: &str| format!("Received invalid AWS response of type {code} with error message: ");
    let invalid = "AWS request has invalid format.".to_string();
    type Change<'a> = &'a dyn Fn(&mut Proof);
    let table: [(&str, Change<'_>, String); 22] = [
        ("nothing", &|_| {}, String::new()),
        (
            "global",
            &|p| (p.host, p.signed_host) = ("sts.amazonaws.com".into(), "sts.amazonaws.com".into()),
            String::new(),
        ),
        ("own", &|p| (p.host, p.signed_host) = (own.clone(), own.clone()), String::new()),
        ("https in the target", &|p| p.target = Some(format!("https:{audience}")), String::new()),
        ("unsigned target", &|p| p.sign_target = false, String::new()),
        ("14 minutes old", &|p| p.date = ago(14 * 60), String::new()),
        ("14 minutes early", &|p| p.date = ahead(14 * 60), String::new()),
        ("16 minutes old", &|p| p.date = ago(16 * 60), aws("SignatureDoesNotMatch") + "Signature expired"),
        ("16 minutes early", &|p| p.date = ahead(16 * 60), aws("SignatureDoesNotMatch") + "Signature not yet"),
        ("secret", &|p| p.secret.push('x'), aws("SignatureDoesNotMatch") + "The request signature we calculated"),
        ("id", &|p| p.id = "ASIAAAAAAAAAAAAAAAAA".into(), aws("InvalidClientTokenId") + "The security token"),
        ("session token", &|p| p.token.push('x'), aws("InvalidClientTokenId")),
        ("service", &|p| p.service = "s3", aws("SignatureDoesNotMatch")),
        (
            "signed for another host",
            &|p| p.signed_host = "sts.us-east-1.amazonaws.com".into(),
            aws("SignatureDoesNotMatch"),
        ),
        ("another service", &|p| p.host = "iam.amazonaws.com".into(), invalid.clone()),
        ("another domain", &|p| p.host = "sts.amazonaws.com.example.com".into(), invalid.clone()),
        ("plain", &|p| p.scheme = "http", invalid.clone()),
        ("action", &|p| p.query = "Action=GetSessionToken&Version=2011-06-15".into(), invalid.clone()),
        ("method", &|p| p.method = "GET", invalid.clone()),
        ("no target", &|p| p.target = None, invalid.clone()),
        ("another target", &|p| p.target = Some(audience.replace("/aws", "/eks")), invalid.clone()),
        ("version", &|p| p.query = "Action=GetCallerIdentity".into(), invalid.clone()),
    ];
    for (name, change, description) in table {
        let mut proof = Proof::by(&keys, &audience);
        change(&mut proof);
        let (code, why) = refusal(&post(&sandbox, &form(&audience, AWS_REQUEST, &proof.token())));
        assert_eq!(code, if description.is_empty() { "" } else { "invalid_grant" }, "{name}: {why}");
        assert!(why.starts_with(&description), "{name}: {why}");
    }
    // Not every client signs the target; Google does not insist on it, a test may.
    sandbox.change(|settings| settings.signed_target_resource = true).unwrap();
    let mut proof = Proof::by(&keys, &audience);
    assert_eq!(post(&sandbox, &form(&audience, AWS_REQUEST, &proof.token())).status, 200);
    proof.sign_target = false;
    assert_eq!(post(&sandbox, &form(&audience, AWS_REQUEST, &proof.token())).status, 400);
    assert!(reason(&sandbox).contains("is not signed"), "{}", reason(&sandbox));
}

#[test]
fn a_space_may_be_a_plus() {
    let sandbox = sandbox();
    let audience = audience(&sandbox, "aws");
    let proof = Proof::by(&keys(&sandbox), &audience).token().replace("%20", "+");
    assert!(proof.contains('+'));
    assert_eq!(post(&sandbox, &form(&audience, AWS_REQUEST, &proof)).status, 200);
}

#[test]
fn keys_must_be_alive() {
    let sandbox = Sandbox::builder()
        .aws(AwsPlace::Environment)
        .credential_lifetime(Duration::from_millis(1))
        .settings(|settings| settings.dialect.nanoseconds = true)
        .start()
        .unwrap();
    let audience = audience(&sandbox, "aws");
    let keys = keys(&sandbox);
    while keys.is_live() {
        std::thread::yield_now();
    }
    let (code, why) = refusal(&post(&sandbox, &form(&audience, AWS_REQUEST, &Proof::by(&keys, &audience).token())));
    assert_eq!(code, "invalid_grant");
    assert!(why.starts_with("Received invalid AWS response of type ExpiredToken with"), "{why}");
}

#[test]
fn account_mapping_and_condition_decide() {
    let sandbox = sandbox();
    let audience = audience(&sandbox, "aws");
    let proof = Proof::by(&keys(&sandbox), &audience).token();
    let ask = || refusal(&post(&sandbox, &form(&audience, AWS_REQUEST, &proof)));
    let role = "arn:aws:sts::123456789012:assumed-role/fedboot-demo";
    for (condition, good) in [
        (format!("attribute.aws_role == '{role}'"), true),
        ("attribute.aws_role == 'arn:aws:sts::123456789012:assumed-role/other'".into(), false),
        ("assertion.account in ['1', '123456789012'] && google.subject.startsWith('arn:aws:')".into(), true),
        ("attribute.missing == 'x'".into(), false),
    ] {
        sandbox.change(|settings| settings.providers[0].attribute_condition = Some(condition.clone())).unwrap();
        let (code, why) = ask();
        if good {
            assert_eq!(code, "", "{condition}: {why}");
        } else {
            assert_eq!(code, "unauthorized_client", "{condition}");
            assert_eq!(why, "The given credential is rejected by the attribute condition.");
        }
    }
    assert!(reason(&sandbox).contains("No such key: missing"), "{}", reason(&sandbox));
    sandbox.change(|settings| settings.providers[0].attribute_condition = None).unwrap();

    let map = |expression: &str| {
        let expression = expression.to_string();
        sandbox.change(|s| drop(s.providers[0].attribute_mapping.insert("google.subject".into(), expression))).unwrap();
        ask()
    };
    assert_eq!(map("assertion.userid").0, "");
    assert_eq!(map("assertion.nothing").0, "invalid_grant");
    let long = "assertion.arn + assertion.arn + assertion.arn";
    assert!(map(long).1.starts_with("The size of mapped attribute google.subject exceeds the 127 bytes limit."));
    assert_eq!(map("assertion.arn").0, "");

    let trusts = Trusts::Aws { account_id: "210987654321".into() };
    sandbox.change(|settings| settings.providers[0].trusts = trusts).unwrap();
    let (code, why) = ask();
    assert_eq!(code, "invalid_grant");
    assert!(why.contains("account"), "{why}");

    for (name, expression) in [("google.subject", "assertion."), ("subject", "assertion.arn")] {
        let change = |s: &mut fedboot_sandbox::Settings| {
            s.providers[0].attribute_mapping.insert(name.into(), expression.into());
        };
        let why = format!("{:#}", sandbox.change(change).unwrap_err());
        assert!(why.starts_with("provider projects/") && !why.contains('\n'), "{why}");
    }
}

#[test]
fn tokens_of_known_issuers_are_taken() {
    let sandbox = sandbox();
    let eks = audience(&sandbox, "eks");
    let with = |claims: Value| sandbox.pod_token_with(&format!("https:{eks}"), &claims);
    let good = with(json!({}));
    let changed = with(json!({"sub": "system:serviceaccount:default:admin"}));
    let swapped = format!("{}.{}", changed.rsplit_once('.').unwrap().0, good.rsplit_once('.').unwrap().1);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let table = [
        ("good", good, ""),
        ("without https", with(json!({"aud": eks.clone()})), ""),
        ("one audience of two", with(json!({"aud": ["other", eks.clone()]})), ""),
        ("audience", with(json!({"aud": ["other"]})), "The audience in ID Token [other] does not match"),
        ("no audience", with(json!({"aud": null})), "The audience in ID Token [] does not match"),
        ("expired", with(json!({"iat": now - 7200, "exp": now - 3600})), "ID Token issued at"),
        ("of the future", with(json!({"iat": now + 3600})), "ID Token issued at"),
        ("no end", with(json!({"exp": null})), "The given credential is not a valid ID Token"),
        ("changed claims", swapped, "Invalid ID Token signature"),
        ("no subject", with(json!({"sub": null})), "Failed to evaluate the attribute mapping"),
        ("issuer", with(json!({"iss": "https://example.com"})), "Error connecting to the given credential's issuer."),
        ("Google's", sandbox.id_token(&format!("https:{eks}")), "The issuer in ID Token https://accounts.google.com"),
        ("no token", "abc".into(), "The given credential is not a valid ID Token"),
    ];
    for (name, token, description) in table {
        let (code, why) = refusal(&post(&sandbox, &form(&eks, JWT, &token)));
        assert_eq!(code, if description.is_empty() { "" } else { "invalid_grant" }, "{name}: {why}");
        assert!(why.starts_with(description), "{name}: {why}");
    }
    let file = sandbox.external_account_of_pod();
    assert_eq!((file["audience"].as_str(), file["subject_token_type"].as_str()), (Some(eks.as_str()), Some(JWT)));
    let token = std::fs::read_to_string(file["credential_source"]["file"].as_str().unwrap()).unwrap();
    assert_eq!(post(&sandbox, &form(&eks, JWT, &token)).status, 200);
}

#[test]
fn tokens_that_aws_signs_are_taken() {
    let sandbox = sandbox();
    let audience = audience(&sandbox, "aws-tokens");
    let signed = |algorithm: &str, intended: &str| {
        let query = [
            ("Action", "GetWebIdentityToken"),
            ("Version", "2011-06-15"),
            ("Audience.member.1", intended),
            ("SigningAlgorithm", algorithm),
        ];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let answer = Signed::by(&keys(&sandbox)).asking(&body).send(&sandbox);
        answer.element("WebIdentityToken").unwrap()
    };
    for (algorithm, intended, good) in [
        ("RS256", format!("https:{audience}"), true),
        ("ES384", format!("https:{audience}"), true),
        ("RS256", "https://example.com".into(), false),
    ] {
        let token = signed(algorithm, &intended);
        let answer = post(&sandbox, &form(&audience, JWT, &token));
        assert_eq!(answer.status, if good { 200 } else { 400 }, "{algorithm} {intended}: {}", answer.text());
    }
    let allow = |s: &mut fedboot_sandbox::Settings| match &mut s.providers[2].trusts {
        Trusts::Oidc { allowed_audiences, .. } => allowed_audiences.push("https://example.com".into()),
        Trusts::Aws { .. } => unreachable!("the third is for tokens"),
    };
    sandbox.change(allow).unwrap();
    let token = signed("RS256", "https://example.com");
    assert_eq!(post(&sandbox, &form(&audience, JWT, &token)).status, 200);
}

#[test]
fn its_clock_decides_and_faults_are_oauths() {
    let sandbox = sandbox();
    let audience = audience(&sandbox, "aws");
    let proof = Proof::by(&keys(&sandbox), &audience).token();
    let ask = || refusal(&post(&sandbox, &form(&audience, AWS_REQUEST, &proof)));
    sandbox.fault(Service::GoogleSts, Fault::clock_skew(16 * 60));
    assert!(ask().1.contains("SignatureDoesNotMatch"));
    sandbox.fault(Service::GoogleSts, Fault::error("invalid_target").on("exchange"));
    assert_eq!(ask().0, "invalid_target");
    assert_eq!(ask().0, "");
}
