//! `AssumeRole`: the second role of a chain.

use std::time::{Duration, SystemTime};

use fedboot_sandbox::{Fault, Issued, Role, Sandbox, Service};
use serde_json::json;

use crate::client::{Answer, FORM, assume, request};
use crate::signed::Signed;

const FIRST: &str = "arn:aws:iam::123456789012:role/fedboot-demo";
const SECOND: &str = "arn:aws:iam::210987654321:role/path/second";

/// Parameters beside the usual ones, or in their place.
type More<'a> = &'a [(&'a str, &'a str)];

/// The usual role, and those that are to be reached through it.
fn sandbox(roles: impl IntoIterator<Item = Role>) -> Sandbox {
    Sandbox::builder().settings(|settings| settings.roles.extend(roles)).start().unwrap()
}

fn second(external_id: Option<&str>) -> Role {
    Role::trusting_role(SECOND, FIRST, external_id)
}

/// A session of the usual role.
fn first(sandbox: &Sandbox) -> Issued {
    assert_eq!(assume(sandbox).unwrap().status, 200);
    sandbox.issued().pop().unwrap()
}

fn body(more: More<'_>) -> String {
    let usual =
        [("Action", "AssumeRole"), ("Version", "2011-06-15"), ("RoleArn", SECOND), ("RoleSessionName", "worker-1")];
    let usual = usual.iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(usual.chain(more)).finish()
}

fn ask(sandbox: &Sandbox, caller: &Issued, more: More<'_>) -> Answer {
    Signed::by(caller).asking(&body(more)).send(sandbox)
}

/// Code and message of a refusal.
fn refusal(answer: &Answer) -> (u16, String, String) {
    let element = |name: &str| answer.element(name).unwrap_or_default();
    (answer.status, element("Code"), element("Message"))
}

fn denied(action: &str) -> (u16, String, String) {
    let who = "arn:aws:sts::123456789012:assumed-role/fedboot-demo/worker-1";
    let message = format!("User: {who} is not authorized to perform: {action} on resource: {SECOND}");
    (403, "AccessDenied".into(), message)
}

/// The reason that the log has for the last refusal.
fn reason(sandbox: &Sandbox) -> String {
    let verdict = sandbox.requests_to(Service::Sts).pop().unwrap().verdict;
    verdict.rsplit_once(" (").expect("a reason").1.trim_end_matches(')').to_string()
}

#[test]
fn a_chain_is_answered_as_aws_does() {
    let sandbox = sandbox([second(Some("tenant/7"))]);
    let caller = first(&sandbox);
    let answer = ask(
        &sandbox,
        &caller,
        &[("ExternalId", "tenant/7"), ("SourceIdentity", "alice"), ("PolicyArns.member.1.arn", SECOND)],
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let issued = sandbox.issued().pop().unwrap();
    let expected = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">
  <AssumeRoleResult>
    <AssumedRoleUser>
      <AssumedRoleId>{id}</AssumedRoleId>
      <Arn>arn:aws:sts::210987654321:assumed-role/second/worker-1</Arn>
    </AssumedRoleUser>
    <Credentials>
      <AccessKeyId>{key}</AccessKeyId>
      <SecretAccessKey>{secret}</SecretAccessKey>
      <SessionToken>{token}</SessionToken>
      <Expiration>{expiration}</Expiration>
    </Credentials>
    <PackedPolicySize>3</PackedPolicySize>
    <SourceIdentity>alice</SourceIdentity>
  </AssumeRoleResult>
  <ResponseMetadata>
    <RequestId>{request_id}</RequestId>
  </ResponseMetadata>
</AssumeRoleResponse>
",
        id = issued.assumed_role_id,
        key = issued.access_key_id,
        secret = issued.secret_access_key,
        token = issued.session_token,
        expiration = answer.element("Expiration").unwrap(),
        request_id = answer.headers["x-amzn-requestid"],
    );
    assert_eq!(answer.text(), expected);
    let lifetime = issued.expires_at.duration_since(SystemTime::now()).unwrap();
    assert!((3590..=3601).contains(&lifetime.as_secs()), "{lifetime:?}");
    assert_eq!(issued.chained_from.as_ref(), Some(&caller.access_key_id));
    assert_eq!((issued.source_identity.as_deref(), issued.duration_seconds), (Some("alice"), 3600));
    let listed = request(&format!("{}/issued", sandbox.control_url()), "GET", &[], "", None).unwrap().json();
    assert_eq!(listed[0]["chained_from"], json!(null));
    assert_eq!(listed[1]["chained_from"], listed[0]["access_key_id"]);
    assert_eq!(listed[1]["source_identity"], "alice");
    let who = Signed::by(&issued).send(&sandbox);
    assert_eq!(who.element("Arn").unwrap(), "arn:aws:sts::210987654321:assumed-role/second/worker-1");
}

#[test]
fn the_trust_policy_decides() {
    let allow =
        |principal: &str| json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": principal}});
    let on = |condition: serde_json::Value| {
        let mut statement = allow(FIRST);
        statement["Condition"] = condition;
        statement
    };
    let external = on(json!({"StringEquals": {"sts:ExternalId": "tenant-7"}}));
    let say = [("ExternalId", "tenant-7")];
    let table = [
        (allow(FIRST), &[][..], ""),
        (allow("*"), &[], ""),
        (allow("123456789012"), &[], ""),
        (allow("arn:aws:iam::123456789012:root"), &[], ""),
        (allow("arn:aws:sts::123456789012:assumed-role/fedboot-demo/worker-1"), &[], ""),
        (json!({"Effect": "Allow", "Action": "sts:*", "Principal": "*"}), &[], ""),
        (allow("arn:aws:sts::123456789012:assumed-role/fedboot-demo/other"), &[], "Principal wants"),
        (allow("210987654321"), &[], "Principal wants"),
        (allow("arn:aws:iam::123456789012:role/other"), &[], "Principal wants"),
        (
            json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Federated": "*"}}),
            &[],
            "Principal wants",
        ),
        (external.clone(), &say, ""),
        (external.clone(), &[("ExternalId", "tenant-8")], "wants \"tenant-7\", the request has \"tenant-8\""),
        (external, &[], "wants \"tenant-7\", the request has nothing"),
        (on(json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/fedboot-*"}})), &[], ""),
        (on(json!({"ArnEquals": {"aws:PrincipalArn": SECOND}})), &[], "aws:PrincipalArn wants"),
        (on(json!({"StringLike": {"sts:RoleSessionName": "batch-*"}})), &[], "sts:RoleSessionName wants"),
        (on(json!({"StringLike": {"sts:SourceIdentity": "a*"}})), &[], "sts:SourceIdentity wants"),
    ];
    let sandbox = sandbox([second(None)]);
    let caller = first(&sandbox);
    for (statement, more, why) in table {
        let policy = json!({"Version": "2012-10-17", "Statement": [statement]});
        sandbox.change(|settings| settings.roles[1] = Role::new(SECOND, &policy.to_string())).unwrap();
        let answer = ask(&sandbox, &caller, more);
        if why.is_empty() {
            assert_eq!(answer.status, 200, "{policy}: {}", answer.text());
        } else {
            assert_eq!(refusal(&answer), denied("sts:AssumeRole"), "{policy}");
            assert!(reason(&sandbox).contains(why), "{policy}: {}", reason(&sandbox));
        }
    }
    // What is not there is refused in the same words; and this role trusts Google alone.
    sandbox.change(|settings| drop(settings.roles.pop())).unwrap();
    assert_eq!(refusal(&ask(&sandbox, &caller, &[])), denied("sts:AssumeRole"));
    assert_eq!(ask(&sandbox, &caller, &[("RoleArn", FIRST)]).status, 403);
}

#[test]
fn tags_and_a_source_identity_need_an_action_each() {
    let tag = [("Tags.member.1.Key", "Team"), ("Tags.member.1.Value", "data")];
    let transitive = [tag[0], tag[1], ("TransitiveTagKeys.member.1", "team")];
    let identity = [("SourceIdentity", "alice")];
    let sandbox = sandbox([second(None)]);
    let caller = first(&sandbox);
    let trusts = |actions: &[&str]| {
        let statement = |action| {
            let condition = json!({"StringEqualsIfExists": {"aws:RequestTag/team": "data"}});
            json!({"Effect": "Allow", "Action": action, "Principal": {"AWS": FIRST}, "Condition": condition})
        };
        let policy = json!({"Statement": actions.iter().map(statement).collect::<Vec<_>>()});
        sandbox.change(|settings| settings.roles[1] = Role::new(SECOND, &policy.to_string())).unwrap();
    };
    trusts(&["sts:AssumeRole"]);
    assert_eq!(refusal(&ask(&sandbox, &caller, &tag)), denied("sts:TagSession"));
    assert_eq!(refusal(&ask(&sandbox, &caller, &identity)), denied("sts:SetSourceIdentity"));
    trusts(&["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]);
    let other = ask(&sandbox, &caller, &[tag[0], ("Tags.member.1.Value", "web")]);
    assert_eq!(refusal(&other), denied("sts:AssumeRole"));
    let answer = ask(&sandbox, &caller, &[&transitive[..], &identity].concat());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.element("PackedPolicySize").as_deref(), Some("1"));
    let issued = sandbox.issued().pop().unwrap();
    assert_eq!((issued.session_tags["Team"].as_str(), issued.session_tags.len()), ("data", 1));

    // A third role sees both, and needs to allow both.
    let third = SECOND.replace("second", "third");
    let again = |more: More<'_>| ask(&sandbox, &issued, &[&[("RoleArn", third.as_str())][..], more].concat());
    sandbox.change(|s| s.roles.push(Role::trusting_role(&third, SECOND, None))).unwrap();
    assert_eq!(again(&[]).element("SourceIdentity").as_deref(), Some("alice"));
    let chained = sandbox.issued().pop().unwrap();
    assert_eq!(
        (&chained.session_tags, &chained.transitive_tag_keys),
        (&issued.session_tags, &vec!["team".to_string()])
    );
    let conflict = again(&tag);
    assert_eq!((conflict.status, conflict.element("Code").as_deref()), (400, Some("InvalidParameterValue")));
    assert!(again(&[("SourceIdentity", "bob")]).element("Message").unwrap().contains("sts:SetSourceIdentity"));
    let policy = json!({"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*"}});
    sandbox.change(|s| s.roles[2] = Role::new(&third, &policy.to_string())).unwrap();
    assert!(again(&[]).element("Message").unwrap().contains("sts:TagSession"));
}

#[test]
fn every_parameter_is_checked() {
    let sandbox = sandbox([second(None)]);
    let caller = first(&sandbox);
    let (long, policy) = ("x".repeat(1225), json!({"Statement": "x".repeat(2100)}).to_string());
    let key = "Tags.member.1.Key";
    let value = "Tags.member.1.Value";
    let table: [(More<'_>, &str, &str); 17] = [
        (&[("DurationSeconds", "3600")], "", ""),
        (&[("DurationSeconds", "900"), ("Policy", r#"{"Statement":[]}"#), (key, "a b"), (value, "")], "", ""),
        (
            &[("DurationSeconds", "3601")],
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        ),
        (&[("DurationSeconds", "43201")], "ValidationError", "Member must have value less than or equal to 43200"),
        (&[("DurationSeconds", "60")], "ValidationError", "Member must have value greater than or equal to 900"),
        (&[("RoleArn", "short")], "ValidationError", "1 validation error detected: Value 'short' at 'roleArn'"),
        (&[("RoleSessionName", "a b")], "ValidationError", r"[\w+=,.@-]*"),
        (&[("ExternalId", "a")], "ValidationError", "Value 'a' at 'externalId' failed to satisfy constraint: Member"),
        (&[("ExternalId", &long)], "ValidationError", "length less than or equal to 1224"),
        (&[("ExternalId", "a b")], "ValidationError", r"pattern: [\w+=,.@:\/-]*"),
        (&[("SourceIdentity", "a/b"), (key, "a")], "ValidationError", "2 validation errors detected: Value 'a/b' at"),
        (&[(key, "a")], "ValidationError", "Value null at 'tags.1.member.value'"),
        (&[(key, "a#"), (value, "")], "ValidationError", "Value 'a#' at 'tags.1.member.key'"),
        (
            &[(key, "a"), (value, ""), ("Tags.member.2.Key", "A"), ("Tags.member.2.Value", "")],
            "InvalidParameterValue",
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        ),
        (
            &[("TransitiveTagKeys.member.1", "a")],
            "InvalidParameterValue",
            "The specified transitive tag key must be included in the requested tags.",
        ),
        (&[("Policy", &policy)], "PackedPolicyTooLarge", "of allotted space"),
        (&[("PolicyArns.member.1.arn", "a")], "ValidationError", "at 'policyArns.1.member.arn'"),
    ];
    for (more, code, message) in table {
        let answer = ask(&sandbox, &caller, more);
        let (status, found_code, found) = refusal(&answer);
        assert_eq!(status, if code.is_empty() { 200 } else { 400 }, "{more:?}: {}", answer.text());
        assert_eq!(found_code, code, "{more:?}");
        assert!(found.contains(message), "{more:?}: {found}");
    }
    let many: Vec<(String, String)> =
        (1..=51).map(|n| (format!("TransitiveTagKeys.member.{n}"), n.to_string())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert!(ask(&sandbox, &caller, &many).element("Message").unwrap().contains("less than or equal to 50"));
}

#[test]
fn the_caller_must_prove_a_live_session() {
    let sandbox = sandbox([second(None)]);
    let caller = first(&sandbox);
    let mut wrong = Signed::by(&caller).asking(&body(&[]));
    wrong.secret.push('x');
    assert_eq!(wrong.send(&sandbox).element("Code").as_deref(), Some("SignatureDoesNotMatch"));
    let unsigned = request(&sandbox.sts_http_url(), "POST", &[FORM], &body(&[]), None).unwrap();
    assert_eq!(unsigned.element("Code").as_deref(), Some("MissingAuthenticationToken"));

    // The lifetime is that of a chained session, too.
    sandbox.change(|settings| settings.dialect.nanoseconds = true).unwrap();
    sandbox.set_credential_lifetime(Duration::from_millis(1));
    assert_eq!(ask(&sandbox, &caller, &[]).status, 200);
    let chained = sandbox.issued().pop().unwrap();
    while chained.is_live() {
        std::thread::yield_now();
    }
    let late = ask(&sandbox, &chained, &[]);
    assert_eq!((late.status, late.element("Code").as_deref()), (403, Some("ExpiredToken")));
    assert_eq!(sandbox.issued().len(), 2);
}

#[test]
fn faults_hit_one_of_the_two_actions() {
    let sandbox = sandbox([second(None)]);
    let caller = first(&sandbox);
    let statuses = || -> Vec<u16> { (0..4).map(|_| ask(&sandbox, &caller, &[]).status).collect() };
    sandbox.fault(Service::Sts, Fault::error("Throttling").on("AssumeRole"));
    assert_eq!(assume(&sandbox).unwrap().status, 200);
    assert_eq!(statuses(), [400, 200, 200, 200]);
    sandbox.fault(Service::Sts, Fault::error("Throttling").on("AssumeRoleWithWebIdentity"));
    assert_eq!(statuses(), [200, 200, 200, 200]);
    assert_eq!(assume(&sandbox).unwrap().status, 400);

    let every = r#"{"service": "sts", "effect": "status", "status": 503, "on": "AssumeRole", "every": 2}"#;
    let faults = format!("{}/faults", sandbox.control_url());
    assert_eq!(request(&faults, "POST", &[], every, None).unwrap().status, 200);
    for _ in 0..2 {
        assert_eq!(statuses(), [200, 503, 200, 503]);
        assert_eq!(assume(&sandbox).unwrap().status, 200);
    }
}
