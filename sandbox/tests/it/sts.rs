use std::time::{Duration, SystemTime};

use fedboot_sandbox::{Dialect, Fault, Role, Sandbox, Service};
use serde_json::json;

use crate::client::{FORM, assume, element, encoded, identity, parameters, post_form, request};

#[test]
fn a_good_request_is_answered_as_aws_does() {
    let sandbox = Sandbox::start().unwrap();
    let answer = assume(&sandbox).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.headers["content-type"], "text/xml");
    let issued = sandbox.issued().remove(0);
    let request_id = &answer.headers["x-amzn-requestid"];
    let seconds = issued.expires_at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let expected = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">
  <AssumeRoleWithWebIdentityResult>
    <Audience>{subject}</Audience>
    <AssumedRoleUser>
      <AssumedRoleId>{id}</AssumedRoleId>
      <Arn>arn:aws:sts::123456789012:assumed-role/fedboot-demo/worker-1</Arn>
    </AssumedRoleUser>
    <Provider>accounts.google.com</Provider>
    <Credentials>
      <AccessKeyId>{key}</AccessKeyId>
      <SecretAccessKey>{secret}</SecretAccessKey>
      <SessionToken>{token}</SessionToken>
      <Expiration>{expiration}</Expiration>
    </Credentials>
    <SubjectFromWebIdentityToken>{subject}</SubjectFromWebIdentityToken>
  </AssumeRoleWithWebIdentityResult>
  <ResponseMetadata>
    <RequestId>{request_id}</RequestId>
  </ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>
",
        subject = issued.subject,
        id = issued.assumed_role_id,
        key = issued.access_key_id,
        secret = issued.secret_access_key,
        token = issued.session_token,
        expiration = answer.element("Expiration").unwrap(),
    );
    assert_eq!(answer.text(), expected);
    assert_eq!(seconds.subsec_nanos(), 0);
    let lifetime = issued.expires_at.duration_since(SystemTime::now()).unwrap();
    assert!((3590..=3601).contains(&lifetime.as_secs()), "{lifetime:?}");
    assert!(sandbox.is_valid(&issued.access_key_id, &issued.secret_access_key, &issued.session_token));
    assert!(!sandbox.is_valid(&issued.access_key_id, "other", &issued.session_token));
}

#[test]
fn every_parameter_is_checked() {
    let sandbox = Sandbox::builder()
        .role(
            Role::trusting("arn:aws:iam::123456789012:role/path/short", &sandbox_account(), "sts.amazonaws.com")
                .max_duration(Duration::from_secs(3600)),
        )
        .start()
        .unwrap();
    let long = "x".repeat(65);
    let table: [(&str, Option<&str>, u16, &str, &str); 21] = [
        ("RoleSessionName", Some("a+=,.@-_Z9"), 200, "", ""),
        ("DurationSeconds", Some("900"), 200, "", ""),
        ("Policy", Some(r#"{"Version":"2012-10-17","Statement":[]}"#), 200, "", ""),
        ("Action", None, 400, "MissingAction", ""),
        ("Action", Some("AssumeRoleWithSAML"), 400, "InvalidAction", ""),
        ("Version", None, 400, "InvalidAction", "NO_VERSION_SPECIFIED"),
        ("Version", Some("2010-01-01"), 400, "InvalidAction", ""),
        ("RoleArn", None, 400, "ValidationError", "Value null at 'roleArn'"),
        ("RoleArn", Some("short"), 400, "ValidationError", "greater than or equal to 20"),
        ("RoleArn", Some("arn:aws:iam::123456789012:user/a"), 400, "ValidationError", "Request ARN is invalid"),
        ("RoleArn", Some("arn:aws:iam::123456789012:role/absent"), 403, "AccessDenied", "Not authorized"),
        ("RoleSessionName", None, 400, "ValidationError", "'roleSessionName'"),
        ("RoleSessionName", Some("a"), 400, "ValidationError", "greater than or equal to 2"),
        ("RoleSessionName", Some("a b"), 400, "ValidationError", r"[\w+=,.@-]*"),
        ("RoleSessionName", Some(&long), 400, "ValidationError", "less than or equal to 64"),
        ("DurationSeconds", Some("899"), 400, "ValidationError", "greater than or equal to 900"),
        ("DurationSeconds", Some("43201"), 400, "ValidationError", "less than or equal to 43200"),
        ("DurationSeconds", Some("3601"), 400, "ValidationError", "MaxSessionDuration"),
        ("DurationSeconds", Some("1h"), 400, "MalformedInput", ""),
        ("Policy", Some("{"), 400, "MalformedPolicyDocument", ""),
        ("WebIdentityToken", None, 400, "ValidationError", "'webIdentityToken'"),
    ];
    for (name, value, status, code, message) in table {
        let mut form = parameters(&sandbox);
        match value {
            Some(value) => form.insert(name, value.to_string()),
            None => form.remove(name),
        };
        let answer = post_form(&sandbox, &form);
        assert_eq!(answer.status, status, "{name} {value:?}: {}", answer.text());
        if status != 200 {
            assert_eq!(answer.element("Code").as_deref(), Some(code), "{name} {value:?}");
            let found = answer.element("Message").unwrap();
            assert!(found.contains(message), "{name} {value:?}: {found}");
            assert_eq!(answer.element("RequestId").as_ref(), answer.headers.get("x-amzn-requestid"));
        }
    }
    let mut form = parameters(&sandbox);
    form.insert("Policy", json!({"Statement": "x".repeat(2100)}).to_string());
    assert_eq!(post_form(&sandbox, &form).element("Code").unwrap(), "PackedPolicyTooLarge");
}

fn sandbox_account() -> Option<fedboot_sandbox::ServiceAccount> {
    fedboot_sandbox::Settings::default().service_account
}

#[test]
fn every_claim_is_checked() {
    let sandbox = Sandbox::start().unwrap();
    let with = |claims| sandbox.id_token_with("sts.amazonaws.com", &claims);
    let good = sandbox.id_token("sts.amazonaws.com");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let (_, other_claims) = with(json!({"sub": "2"}))
        .rsplit_once('.')
        .map(|(s, _)| {
            let (header, claims) = s.split_once('.').unwrap();
            (header.to_string(), claims.to_string())
        })
        .unwrap();
    let expired = json!({"exp": 1_700_000_000});
    let table = [
        ("good", good.clone(), ""),
        ("without the email", with(json!({"email": null})), ""),
        ("audience", sandbox.id_token("other"), "AccessDenied"),
        ("audience in azp", with(json!({"aud": "other", "azp": "sts.amazonaws.com"})), "AccessDenied"),
        ("subject", with(json!({"sub": "2"})), "AccessDenied"),
        ("no subject", with(json!({"sub": null})), "InvalidIdentityToken"),
        ("issuer", with(json!({"iss": "https://example.com"})), "InvalidIdentityToken"),
        ("issuer without https", with(json!({"iss": "accounts.google.com"})), ""),
        ("expired", with(expired), "ExpiredTokenException"),
        ("no end", with(json!({"exp": null})), "InvalidIdentityToken"),
        ("forged", sandbox.forged_id_token("sts.amazonaws.com"), "InvalidIdentityToken"),
        ("changed claims", format!("{header}.{other_claims}.{signature}"), "InvalidIdentityToken"),
        ("no signature", format!("{signed}."), "InvalidIdentityToken"),
        ("an access token", "ya29.c.abcdef".into(), "InvalidIdentityToken"),
    ];
    for (name, token, code) in table {
        let mut form = parameters(&sandbox);
        form.insert("WebIdentityToken", token);
        let answer = post_form(&sandbox, &form);
        assert_eq!(answer.element("Code").unwrap_or_default(), code, "{name}: {}", answer.text());
    }
    let refused = sandbox.requests_to(Service::Sts);
    let why = &refused.iter().find(|r| r.verdict.contains("AccessDenied")).unwrap().verdict;
    assert!(why.contains("oaud wants \"sts.amazonaws.com\", the token has \"other\""), "{why}");
}

#[test]
fn a_token_in_the_url_is_refused() {
    let sandbox = Sandbox::start().unwrap();
    let mut form = parameters(&sandbox);
    let token = form.remove("WebIdentityToken").unwrap();
    let url = format!("{}/?WebIdentityToken={token}", sandbox.sts_http_url());
    let answer = request(&url, "POST", &[FORM], &encoded(&form), None).unwrap();
    assert_eq!(answer.status, 400);
    assert!(sandbox.requests_to(Service::Sts)[0].verdict.contains("not in the URL"));
    assert!(sandbox.issued().is_empty());
}

#[test]
fn lifetimes_may_be_short() {
    let sandbox = Sandbox::builder().settings(|s| s.min_duration = Duration::from_secs(1)).start().unwrap();
    let mut form = parameters(&sandbox);
    form.insert("DurationSeconds", "1".into());
    assert_eq!(post_form(&sandbox, &form).status, 200);
    sandbox.set_credential_lifetime(Duration::from_millis(1));
    sandbox.change(|s| s.dialect.nanoseconds = true).unwrap();
    form.insert("DurationSeconds", "3600".into());
    assert_eq!(post_form(&sandbox, &form).status, 200);
    std::thread::sleep(Duration::from_millis(5));
    let issued = sandbox.issued();
    assert!(issued[0].is_live() && !issued[1].is_live());
    let last = &issued[1];
    assert!(!sandbox.is_valid(&last.access_key_id, &last.secret_access_key, &last.session_token));
}

#[test]
fn clock_skew_changes_what_is_said_and_what_is_believed() {
    let sandbox = Sandbox::start().unwrap();
    sandbox.fault(Service::Sts, Fault::clock_skew(-7200));
    let answer = assume(&sandbox).unwrap();
    let issued = sandbox.issued().remove(0);
    assert!(issued.is_live());
    let later = assume(&sandbox).unwrap();
    assert!(answer.element("Expiration") < later.element("Expiration"));
    sandbox.fault(Service::Metadata, Fault::clock_skew(-3601).on("identity"));
    assert_eq!(assume(&sandbox).unwrap().element("Code").unwrap(), "ExpiredTokenException");
    assert_eq!(assume(&sandbox).unwrap().status, 200);
}

#[test]
fn every_dialect_says_the_same() {
    let sandbox = Sandbox::start().unwrap();
    for (at, (name, dialect)) in Dialect::all().into_iter().enumerate() {
        sandbox.change(|settings| settings.dialect = dialect.clone()).unwrap();
        let answer = assume(&sandbox).unwrap();
        let issued = sandbox.issued().swap_remove(at);
        assert_eq!(answer.element("AccessKeyId").as_ref(), Some(&issued.access_key_id), "{name}");
        assert_eq!(answer.element("SecretAccessKey").as_ref(), Some(&issued.secret_access_key), "{name}");
        assert_eq!(answer.element("SessionToken").as_ref(), Some(&issued.session_token), "{name}");
        let expiration = answer.element("Expiration").unwrap();
        assert_eq!(expiration.len(), if dialect.nanoseconds { 30 } else { 20 }, "{name}");
        for omitted in &dialect.omit {
            assert_eq!(answer.element(omitted), None, "{name}");
        }
    }
    let entities = Dialect { text: fedboot_sandbox::Text::Entities, ..Dialect::minio() };
    sandbox.change(|settings| settings.dialect = entities).unwrap();
    let text = assume(&sandbox).unwrap().text();
    assert!(text.contains("&#43;") && text.contains("&amp;"), "{text}");
}

#[test]
fn roles_of_compatible_stores() {
    let arn = "arn:minio:iam:::role/worker-role-1";
    let role = Role::trusting(arn, &sandbox_account(), "sts.amazonaws.com");
    let sandbox = Sandbox::builder().role(role).start().unwrap();
    let answer = assume(&sandbox).unwrap();
    assert_eq!(answer.element("Arn").unwrap(), "arn:minio:sts:::assumed-role/worker-role-1/worker-1");
}

#[test]
fn policies_that_are_not_understood_stop_the_start() {
    let role = Role::new("arn:aws:iam::123456789012:role/a", "not JSON");
    let error = format!("{:#}", Sandbox::builder().role(role).start().err().unwrap());
    assert!(error.starts_with("trust policy of arn:aws:iam::123456789012:role/a: "), "{error}");
    assert!(!error.contains('\n'));
}

#[test]
fn the_role_session_name_may_be_a_condition() {
    let policy = json!({"Statement": {
        "Effect": "Allow",
        "Principal": {"Federated": "accounts.google.com"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringLike": {"sts:RoleSessionName": "worker-*"}},
    }});
    let role = Role::new("arn:aws:iam::123456789012:role/named", &policy.to_string());
    let sandbox = Sandbox::builder().role(role).start().unwrap();
    let mut form = parameters(&sandbox);
    assert_eq!(post_form(&sandbox, &form).status, 200);
    form.insert("RoleSessionName", "batch-1".into());
    assert_eq!(post_form(&sandbox, &form).status, 403);
    form.insert("WebIdentityToken", identity(&sandbox, "sts.amazonaws.com"));
    assert_eq!(element(&post_form(&sandbox, &form).text(), "Type").unwrap(), "Sender");
}
