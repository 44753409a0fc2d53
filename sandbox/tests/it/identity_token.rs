//! `GetWebIdentityToken`: AWS's word about its caller.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fedboot_sandbox::{AwsPlace, Issued, Sandbox};
use serde_json::{Value, json};

use crate::client::{Answer, FORM, request};
use crate::signed::Signed;

type More<'a> = &'a [(&'a str, &'a str)];

fn sandbox() -> (Sandbox, Issued) {
    let sandbox = Sandbox::builder().aws(AwsPlace::Environment).start().unwrap();
    sandbox.env();
    let issued = sandbox.issued().remove(0);
    (sandbox, issued)
}

fn body(more: More<'_>) -> String {
    let usual = [
        ("Action", "GetWebIdentityToken"),
        ("Version", "2011-06-15"),
        ("Audience.member.1", "https://example.com"),
        ("SigningAlgorithm", "RS256"),
    ];
    let usual = usual.iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
    let all = usual.chain(more).filter(|(_, value)| !value.is_empty());
    form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish()
}

fn ask(sandbox: &Sandbox, caller: &Issued, more: More<'_>) -> Answer {
    Signed::by(caller).asking(&body(more)).send(sandbox)
}

fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn it_says_who_the_caller_is() {
    let (sandbox, caller) = sandbox();
    let answer = ask(
        &sandbox,
        &caller,
        &[("DurationSeconds", "600"), ("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "data")],
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let token = answer.element("WebIdentityToken").unwrap();
    assert!(answer.element("Expiration").unwrap().ends_with('Z'));
    let claims = part(&token, 1);
    let issuer = claims["iss"].as_str().unwrap();
    assert!(issuer.starts_with("https://") && issuer.ends_with(".tokens.sts.global.api.aws"), "{issuer}");
    assert_eq!(claims["aud"], "https://example.com");
    assert_eq!(claims["sub"], "arn:aws:iam::123456789012:role/fedboot-demo");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
    assert!(claims["jti"].is_string());
    let details = &claims["https://sts.amazonaws.com/"];
    assert_eq!((&details["aws_account"], &details["source_region"]), (&json!("123456789012"), &json!("eu-west-1")));
    assert_eq!(details["request_tags"], json!({"team": "data"}));

    let es384 = ask(&sandbox, &caller, &[("SigningAlgorithm", "ES384"), ("Audience.member.2", "b")]);
    let token = es384.element("WebIdentityToken").unwrap();
    assert_eq!(part(&token, 0)["alg"], "ES384");
    let claims = part(&token, 1);
    assert_eq!(claims["aud"], json!(["https://example.com", "b"]));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
}

#[test]
fn every_parameter_is_checked() {
    let (sandbox, caller) = sandbox();
    let long = "x".repeat(1001);
    let table: [(More<'_>, &str, &str); 9] = [
        (&[("DurationSeconds", "60")], "", ""),
        (&[("DurationSeconds", "3600")], "", ""),
        (&[("DurationSeconds", "59")], "ValidationError", "greater than or equal to 60"),
        (&[("DurationSeconds", "3601")], "ValidationError", "less than or equal to 3600"),
        (&[("Audience.member.1", "")], "ValidationError", "Value null at 'audience'"),
        (&[("Audience.member.1", &long)], "ValidationError", "less than or equal to 1000"),
        (&[("SigningAlgorithm", "")], "ValidationError", "Value null at 'signingAlgorithm'"),
        (&[("SigningAlgorithm", "HS256")], "ValidationError", "HS256"),
        (&[("Tags.member.1.Key", "a#"), ("Tags.member.1.Value", "b")], "ValidationError", "tags.1.member.key"),
    ];
    for (more, code, message) in table {
        let answer = ask(&sandbox, &caller, more);
        assert_eq!(answer.element("Code").unwrap_or_default(), code, "{more:?}: {}", answer.text());
        assert!(answer.element("Message").unwrap_or_default().contains(message), "{more:?}: {}", answer.text());
    }
    let unsigned = request(&sandbox.sts_http_url(), "POST", &[FORM], &body(&[]), None).unwrap();
    assert_eq!(unsigned.element("Code").as_deref(), Some("MissingAuthenticationToken"));
    let headers = [FORM, ("host", "sts.amazonaws.com")];
    let global = request(&sandbox.sts_http_url(), "POST", &headers, &body(&[]), None).unwrap();
    assert_eq!(global.element("Code").as_deref(), Some("InvalidAction"));
}

#[test]
fn the_account_may_have_it_off_and_a_session_cannot_outlive_itself() {
    let (sandbox, caller) = sandbox();
    sandbox.change(|settings| settings.outbound_federation = false).unwrap();
    let off = ask(&sandbox, &caller, &[]);
    let code = "OutboundWebIdentityFederationDisabledException";
    assert_eq!((off.status, off.element("Code").as_deref()), (403, Some(code)));
    sandbox.change(|settings| settings.outbound_federation = true).unwrap();
    sandbox.set_credential_lifetime(Duration::from_secs(120));
    sandbox.env();
    let short = sandbox.issued().pop().unwrap();
    assert_eq!(ask(&sandbox, &short, &[("DurationSeconds", "60")]).status, 200);
    let code = "SessionDurationEscalationException";
    let long = ask(&sandbox, &short, &[("DurationSeconds", "300")]);
    assert_eq!((long.status, long.element("Code").as_deref()), (403, Some(code)));
}

#[test]
fn aws_itself_does_not_take_it() {
    let (sandbox, caller) = sandbox();
    let token = ask(&sandbox, &caller, &[("Audience.member.1", "sts.amazonaws.com")]);
    let mut form = crate::client::parameters(&sandbox);
    form.insert("WebIdentityToken", token.element("WebIdentityToken").unwrap());
    let answer = crate::client::post_form(&sandbox, &form);
    assert_eq!(answer.element("Code").as_deref(), Some("InvalidIdentityToken"));
    assert!(answer.element("Message").unwrap().starts_with("No OpenIDConnect provider found"));
}
