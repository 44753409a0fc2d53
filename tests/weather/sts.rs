//! What AWS STS may answer.

use fedboot_sandbox::{Dialect, Fault, Role, Sandbox, Service};
use serde_json::{Value, json};

use crate::common::{Event, Stage, write};
use crate::{ASSUME_ROLE, IDENTITY, asked, delivers, refused, side_by_side};

#[test]
fn refusals_that_last() {
    let rows = [
        ("AccessDenied", "403", "trust policy"),
        ("ValidationError", "400", "check --role-arn, --role-session-name and --duration"),
        ("MalformedPolicyDocument", "400", "check --session-policy"),
        ("PackedPolicyTooLarge", "400", "session policies"),
        ("RegionDisabledException", "403", "--region"),
        ("IDPRejectedClaim", "403", "sub="),
        ("InvalidAction", "400", "answered"),
    ];
    side_by_side(rows, |(code, status, advice)| {
        let stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::error(code).always()));
        let answered = format!("{}/ answered {status} {code}: ", stage.sandbox.sts_url());
        let step = "cannot assume role arn:aws:iam::123456789012:role/fedboot-demo as ";
        let outcome = refused(&stage, &[], &[step, &answered, advice, "(request id "]);
        assert_eq!(asked(&stage, ASSUME_ROLE), 1, "{code}");
        let error = outcome.error();
        assert_eq!(error.field("request_id").len(), 36, "{code}: {}", outcome.stderr);
        assert!(error.sentence().contains(error.field("request_id")));
        assert_eq!(error.field("address"), format!("{}/", stage.sandbox.sts_url()));
    });
}

#[test]
fn trouble_that_passes() {
    let rows = [
        Fault::error("Throttling"),
        Fault::error("ThrottlingException"),
        Fault::error("RequestLimitExceeded"),
        Fault::error("IDPCommunicationError"),
        Fault::error("InternalFailure"),
        Fault::error("ServiceUnavailable"),
        Fault::status(502, "<html>Bad Gateway</html>"),
        Fault::status(429, ""),
        Fault::cut_body(),
        Fault::close(),
        Fault::garbage(),
        Fault::captive(),
    ];
    side_by_side(rows, |fault| {
        let stage = Stage::with(Sandbox::builder().fault(Service::Sts, fault.clone().times(2)));
        let outcome = delivers(&stage, &[]);
        assert_eq!(asked(&stage, ASSUME_ROLE), 3, "{fault:?}");
        assert_eq!(asked(&stage, IDENTITY), 1, "the proof was not refused, so it is kept: {fault:?}");
        let events = outcome.events();
        let severities: Vec<_> = events.iter().map(Event::severity).collect();
        assert_eq!(severities, ["WARNING", "INFO"], "{fault:?}: {}", outcome.stderr);
        assert!(events[0].field("consequence").starts_with("trying again until 20"), "{:?}", events[0]);
        assert_eq!(events[1].field("failures"), "2");
    });
}

#[test]
fn trouble_that_does_not_pass() {
    let rows = [
        (Fault::error("Throttling"), &["answered 400 Throttling: Rate exceeded"][..]),
        (Fault::status(503, "try later"), &["answered 503", "try later"]),
        (Fault::captive(), &["answered 200 (text/html", "not AWS STS", "--sts-endpoint"]),
        (Fault::cut_body(), &["closed the connection before the end of the body"]),
    ];
    side_by_side(rows, |(fault, parts)| {
        let stage = Stage::with(Sandbox::builder().fault(Service::Sts, fault.clone().always()));
        let outcome = refused(&stage, &["--timeout", "1"], parts);
        let error = outcome.error();
        let tries = asked(&stage, ASSUME_ROLE);
        assert!(tries > 1, "{fault:?}: {}", outcome.stderr);
        assert!(error.sentence().contains(&format!("(tried {tries} times in ")), "{fault:?}: {}", error.sentence());
        assert_eq!(error.field("attempts"), tries.to_string());
        let elapsed: u32 = error.field("elapsed_ms").parse().expect("a number");
        assert!(elapsed < 1500, "{fault:?}: {}", outcome.stderr);
    });
}

#[test]
fn redirect() {
    let away = Stage::new();
    let location = format!("{}/?secret=x", away.sandbox.sts_http_url());
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::redirect(location).always()));
    let outcome = refused(&stage, &[], &["answered 302", &away.sandbox.sts_http_url(), "not followed with a token"]);
    assert!(!outcome.stderr.contains("secret=x"), "{}", outcome.stderr);
    assert_eq!(asked(&stage, ASSUME_ROLE), 1);
    assert!(away.sandbox.requests().is_empty(), "the token was sent on");
}

/// What was minted under a wrong clock has expired; the next one has not.
#[test]
fn an_expired_token_is_minted_anew() {
    let stage = Stage::with(Sandbox::builder().fault(Service::Metadata, Fault::clock_skew(-7200)));
    let outcome = delivers(&stage, &[]);
    let requests = stage.sandbox.requests_to(Service::Sts);
    assert_eq!(requests.len(), 2);
    assert!(requests[0].verdict.contains("ExpiredTokenException"), "{}", requests[0].verdict);
    assert_ne!(requests[0].param("WebIdentityToken"), requests[1].param("WebIdentityToken"));
    assert_eq!(asked(&stage, IDENTITY), 2);
    assert_eq!(outcome.events().len(), 1, "nobody need hear of it: {}", outcome.stderr);
}

#[test]
fn an_expired_token_in_a_file_is_read_anew() {
    let stage = Stage::new();
    write(
        &stage.directory.path().join("token"),
        stage.sandbox.id_token_with("sts.amazonaws.com", &json!({"iat": 1, "exp": 3601})),
    );
    refused(
        &stage,
        &["--google-token-file", "token"],
        &["ExpiredTokenException", "check this machine's clock, and who keeps the token file fresh"],
    );
    assert_eq!(asked(&stage, ASSUME_ROLE), 2);
}

#[test]
fn a_token_that_is_never_believed() {
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::error("InvalidIdentityToken").always()));
    let account = stage.sandbox.settings().service_account.expect("an account");
    let (id, email) = (account.unique_id, account.email);
    let seen = format!("sub={id}, aud={id} (its azp), oaud=sts.amazonaws.com, email={email}");
    refused(&stage, &[], &["InvalidIdentityToken", "IAM OIDC provider", &seen, "(request id "]);
    assert_eq!((asked(&stage, IDENTITY), asked(&stage, ASSUME_ROLE)), (2, 2));
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::error("InvalidIdentityToken")));
    delivers(&stage, &[]);
    assert_eq!((asked(&stage, IDENTITY), asked(&stage, ASSUME_ROLE)), (2, 2));
    let stage = Stage::new();
    write(&stage.directory.path().join("token"), stage.sandbox.forged_id_token("sts.amazonaws.com"));
    refused(&stage, &["--google-token-file", "token"], &["InvalidIdentityToken"]);
    assert_eq!(asked(&stage, ASSUME_ROLE), 2);
}

/// The refusal says who AWS saw and which condition admits them; with that condition it admits them, and only them.
#[test]
fn the_advised_condition_admits() {
    let stage = Stage::new();
    let arn = "arn:aws:iam::123456789012:role/fedboot-demo";
    let account = stage.sandbox.settings().service_account.expect("an account");
    let trust = |condition: &Value| {
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Federated": "accounts.google.com"},
            "Action": "sts:AssumeRoleWithWebIdentity", "Condition": condition,
        }]});
        stage.sandbox.change(|settings| settings.roles = vec![Role::new(arn, &policy.to_string())]).expect("a policy");
    };
    let others = json!({"StringEquals": {"accounts.google.com:sub": "1"}});
    let token = |name: &str, claims: &Value| {
        write(&stage.directory.path().join(name), stage.sandbox.id_token_with("sts.amazonaws.com", claims));
    };
    token("with-azp", &Value::Null);
    token("without-azp", &json!({"azp": null}));
    token("stranger", &json!({"azp": "2", "sub": "2", "email": null}));
    let id = &account.unique_id;
    let seen = format!("sub={id}, aud={id} (its azp), oaud=sts.amazonaws.com, email={}", account.email);
    let seen_without = format!("sub={id}, aud=sts.amazonaws.com, email={}", account.email);
    for (options, seen) in [
        (&["--audience", "sts.amazonaws.com"][..], &seen),
        (&["--google-token-file", "with-azp"], &seen),
        (&["--google-token-file", "without-azp"], &seen_without),
    ] {
        trust(&others);
        let error = refused(&stage, options, &["AccessDenied", seen, arn]).error();
        let statement: Value = serde_json::from_str(error.field("policy")).expect("a statement");
        assert_eq!(statement["Principal"], json!({"Federated": "accounts.google.com"}));
        trust(&statement["Condition"]);
        delivers(&stage, options);
        refused(&stage, &["--google-token-file", "stranger"], &["AccessDenied", "sub=2"]);
    }
}

#[test]
fn an_audience_that_the_role_does_not_trust() {
    let stage = Stage::new();
    refused(&stage, &["--audience", "https://other.invalid/a b"], &["AccessDenied", "oaud=https://other.invalid/[…]"]);
    let minted = &stage.sandbox.requests_to(Service::Metadata)[0];
    assert_eq!(minted.param("audience"), Some("https://other.invalid/a b"));
}

#[test]
fn a_role_that_is_not_there() {
    let stage = Stage::new();
    let arn = "arn:aws:iam::123456789012:role/nobody";
    refused(&stage, &["--role-arn", arn], &["AccessDenied", arn, "there is no such role"]);
}

#[test]
fn durations_that_sts_refuses() {
    let role = Role::trusting(
        "arn:aws:iam::123456789012:role/fedboot-demo",
        [&"worker@demo-project.iam.gserviceaccount.com".into()],
        "sts.amazonaws.com",
    );
    let stage = Stage::with(Sandbox::builder().role(role.max_duration(std::time::Duration::from_secs(3600))));
    for duration in ["10", "2h", "13h"] {
        refused(&stage, &["--duration", duration], &["ValidationError", "--duration"]);
    }
}

#[test]
fn dialects() {
    let stage = Stage::new();
    for (name, dialect) in Dialect::all() {
        stage.sandbox.change(|settings| settings.dialect = dialect.clone()).expect("a dialect");
        let outcome = delivers(&stage, &[]);
        let expires = stage.sandbox.issued().pop().expect("credentials").expires_at;
        let expiration = fedboot::system::log::timestamp(expires);
        assert_eq!(outcome.events()[0].field("expiration"), expiration, "{name}");
        assert!(stage.credentials_text().contains(&format!("x_security_token_expires = {expiration}\n")), "{name}");
        stage.sandbox.fault(Service::Sts, Fault::error("AccessDenied"));
        refused(&stage, &[], &["answered 403 AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity"]);
    }
}

/// Some stores leave it out: then the credentials live for as long as was asked.
#[test]
fn no_expiration() {
    let stage = Stage::new();
    let dialect = Dialect { omit: vec!["Expiration".into()], ..Dialect::minio() };
    stage.sandbox.change(|settings| settings.dialect = dialect).expect("a dialect");
    let outcome = delivers(&stage, &["--duration", "30m"]);
    let issued = stage.sandbox.issued().pop().expect("credentials");
    let close = |offset: u64| {
        let time = issued.expires_at + std::time::Duration::from_secs(offset);
        outcome.events()[0].field("expiration") == fedboot::system::log::timestamp(time)
    };
    assert!((0..30).any(close), "{}", outcome.stderr);
}

#[test]
fn credentials_that_are_not_there() {
    let rows = ["AccessKeyId", "SecretAccessKey", "SessionToken", "Credentials"];
    side_by_side(rows, |element| {
        let stage = Stage::new();
        let dialect = Dialect { omit: vec![element.into()], ..Dialect::aws() };
        stage.sandbox.change(|settings| settings.dialect = dialect).expect("a dialect");
        refused(&stage, &["--timeout", "1"], &["answered 200 (text/xml", "without credentials in it"]);
    });
}

/// A clock that is wrong, here or there, is said and borne.
#[test]
fn credentials_that_look_expired() {
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::clock_skew(-7200).always()));
    let outcome = delivers(&stage, &[]);
    let events = outcome.events();
    assert_eq!(events.len(), 2, "{}", outcome.stderr);
    assert_eq!(events[1].severity(), "WARNING");
    assert!(events[1].message().contains("is this machine's clock right?"));
}
