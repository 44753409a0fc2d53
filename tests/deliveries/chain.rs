//! A second role, assumed with the first one's credentials; and what limits a session. The sandbox verifies signatures.

use std::collections::BTreeMap;
use std::time::Duration;

use fedboot_sandbox::{Fault, Issued, Request, Role, Service};

use crate::common::{Stage, write};
use crate::profile::forget_caches;
use crate::{ASSUME_ROLE, arn, asked, filed, hold, key, newest, newest_key, once, process_line, refused, role_of};
use crate::{run_line, surroundings, wait_for, with_roles, words};

const ASSUME_SECOND: &str = "AssumeRole";
const SECOND: &str = "arn:aws:iam::210987654321:role/team/second";
const THEN: &str = "--then-role-arn arn:aws:iam::210987654321:role/team/second";
const POLICY: &str =
    "{\"Version\": \"2012-10-17\",\n \"Statement\": [{\"Sid\": \"a \\\"b\\\" c\", \"Effect\": \"Allow\"}]}\n";
const COMPACT: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"a \"b\" c","Effect":"Allow"}]}"#;

/// A role that trusts the sandbox's service account, and one in another account that trusts that role.
fn chained(external_id: Option<&str>) -> Stage {
    let second = Role::trusting_role(SECOND, &arn("fedboot-demo"), external_id);
    Stage::with(with_roles(&["fedboot-demo"]).role(second))
}

fn last(stage: &Stage, action: &str) -> Request {
    stage.sandbox.requests().into_iter().rfind(|request| request.action == action).expect("a request")
}

/// The last two sessions: of the first role, and of the second one by the first's.
fn sessions(stage: &Stage) -> (Issued, Issued) {
    let mut issued = stage.sandbox.issued();
    let (two, one) = (issued.pop().expect("two sessions"), issued.pop().expect("two sessions"));
    assert_eq!(two.chained_from.as_ref(), Some(&one.access_key_id));
    (one, two)
}

#[test]
fn a_second_role() {
    let stage = chained(None);
    let outcome = once(&stage, &format!("{THEN} --role-session-name me"));
    let (one, two) = sessions(&stage);
    assert_eq!((one.role_arn, two.role_arn.as_str()), (arn("fedboot-demo"), SECOND));
    assert_eq!((one.session_name.as_str(), two.session_name.as_str()), ("me", "me"));
    assert_eq!((one.duration_seconds, two.duration_seconds), (900, 3600));
    assert_eq!(filed(&stage, "default").as_ref(), Some(&two.access_key_id));
    let event = &outcome.events()[0];
    assert_eq!((event.field("role"), event.field("access_key_id")), (SECOND, two.access_key_id.as_str()));
    // The first one's keys are nobody's business.
    assert!(!outcome.stderr.contains(&one.access_key_id) && !stage.credentials_text().contains(&one.access_key_id));
    for (duration, seconds, warnings) in [("15m", 900, 0), ("1h", 3600, 0), ("12h", 3600, 1)] {
        let outcome = once(&stage, &format!("{THEN} --duration {duration}"));
        assert_eq!(sessions(&stage).1.duration_seconds, seconds, "{duration}");
        let warned = outcome.events().into_iter().filter(|event| event.message().contains("an hour at most")).count();
        assert_eq!((warned, outcome.stderr.lines().count()), (warnings, warnings + 1), "{}", outcome.stderr);
    }
}

#[test]
fn terms_and_limits_are_the_last_roles() {
    let stage = chained(Some("tenant/7:a"));
    write(&stage.directory.path().join("policy.json"), POLICY);
    let limits =
        "--session-policy policy.json --policy-arn arn:aws:iam::aws:policy/A --policy-arn arn:aws:iam::aws:policy/B";
    let terms = "--external-id tenant/7:a --source-identity ada@example --session-tag team=data=x --session-tag env=";
    once(&stage, &format!("{THEN} {limits} {terms}"));
    let (one, two) = sessions(&stage);
    let second = last(&stage, ASSUME_SECOND);
    assert_eq!((one.session_policy, one.policy_arns.len()), (None, 0));
    let tags = BTreeMap::from([("team".into(), "data=x".into()), ("env".into(), String::new())]);
    assert_eq!((two.source_identity.as_deref(), &two.session_tags), (Some("ada@example"), &tags));
    assert_eq!((two.session_policy.as_deref(), second.param("ExternalId")), (Some(COMPACT), Some("tenant/7:a")));
    assert_eq!(two.policy_arns, ["arn:aws:iam::aws:policy/A", "arn:aws:iam::aws:policy/B"]);
    let first = last(&stage, ASSUME_ROLE);
    let foreign = ["ExternalId", "SourceIdentity", "Policy", "PolicyArns.member.1.arn", "Tags.member.1.Key"];
    assert!(foreign.iter().all(|name| first.param(name).is_none()), "{:?}", first.params);
    // With one role alone it is the limited one.
    once(&stage, limits);
    let issued = newest(&stage);
    assert_eq!((issued.session_policy.as_deref(), issued.policy_arns.len()), (Some(COMPACT), 2));
    // What a profile's line asks for is the same.
    once(&stage, &format!("{THEN} {limits} {terms} --delivery process"));
    forget_caches(&stage);
    assert_eq!(key(&run_line(&process_line(&stage, "fedboot"), &surroundings(&stage))), newest_key(&stage));
    let again = sessions(&stage).1;
    assert_eq!((again.session_policy, again.session_tags, again.policy_arns.len()), (two.session_policy, tags, 2));
    assert_eq!(again.source_identity, two.source_identity);
}

#[test]
fn a_second_role_that_is_refused() {
    let demo = arn("fedboot-demo");
    for (asks_for, options, parts) in [
        (
            None,
            "--then-role-arn arn:aws:iam::123456789012:role/other",
            &["arn:aws:iam::123456789012:role/other", "there is no such role"][..],
        ),
        (Some("a7"), THEN, &["with --external-id, if it asks for one"]),
        (
            Some("a7"),
            &format!("{THEN} --external-id b8"),
            &[r#"{"StringEquals":{"sts:ExternalId":"the value of --external-id"}}"#],
        ),
        (
            Some("a7"),
            &format!("{THEN} --session-tag a=b --source-identity me"),
            &[
                "sts:AssumeRole, sts:SetSourceIdentity, sts:TagSession",
                r#"["sts:AssumeRole","sts:SetSourceIdentity","sts:TagSession"]"#,
            ],
        ),
    ] {
        let stage = chained(asks_for);
        let outcome = stage.run(words(&format!("{options} -- touch ran")));
        outcome.assert_failed(125, parts);
        // Both policies: that of the second role which trusts, and that of the first which lets go.
        let (trusts, lets_go) = (format!("{{\"AWS\":\"{demo}\"}}"), format!("a policy of {demo} must allow"));
        outcome.assert_failed(125, &["AccessDenied", "its trust policy needs this statement", &trusts, &lets_go]);
        assert_eq!((asked(&stage, ASSUME_ROLE), asked(&stage, ASSUME_SECOND)), (1, 1));
        assert!(!stage.directory.path().join("ran").exists() && !stage.credentials_file().exists());
    }
}

#[test]
fn options_that_make_no_chain() {
    let stage = chained(None);
    let statement = |length: usize| format!("{{\"Statement\": [\"{}\"]}}\n", "x".repeat(length - 18));
    for (name, content) in [("no", "{\"Version\": ".into()), ("list", "[]".into()), ("empty", "{}".into())]
        .into_iter()
        .chain([("large", statement(2049)), ("full", statement(2048))])
    {
        write(&stage.directory.path().join(name), content);
    }
    for (options, parts) in [
        ("--external-id x", &["--external-id", "--then-role-arn"][..]),
        ("--source-identity x", &["--source-identity"]),
        ("--session-tag a=b", &["--session-tag"]),
        ("--then-role-arn arn:aws:iam::123456789012:role/b --session-tag a", &["--session-tag is no tag", "KEY=VALUE"]),
        ("--then-role-arn arn:aws:iam::123456789012:role/b --session-tag =a", &["is no tag"]),
        ("--then-role-arn x", &["--then-role-arn", "is no role ARN"]),
        ("--then-role-arn {nope}", &["--then-role-arn has an unknown placeholder"]),
        (
            "--then-role-arn arn:aws:iam::123456789012:role/b --then-role-arn arn:aws:iam::123456789012:role/b",
            &["has one already"],
        ),
        ("--then-role-arn b=arn:aws:iam::123456789012:role/b", &["no --role-arn is for that profile"]),
        ("--session-policy absent", &["--session-policy, a value of 6 characters", "cannot be read: no such file"]),
        ("--session-policy ./absent", &["/absent cannot be read: no such file"]),
        ("--session-policy .", &["cannot be read"]),
        ("--session-policy no", &["/no is no JSON"]),
        ("--session-policy list", &["has no Statement"]),
        ("--session-policy empty", &["has no Statement"]),
        ("--session-policy large", &["2049 characters", "2048", "--policy-arn"]),
    ] {
        refused(&stage, 125, &format!("{options} -- touch ran"), parts);
    }
    once(&stage, &format!("{THEN} --session-policy full"));
    assert_eq!(newest(&stage).session_policy.map(|policy| policy.len()), Some(2048));
    // What is too large together only AWS can say.
    let both = stage.run(words(&format!("{THEN} --session-policy full --session-tag a=b -- true")));
    both.assert_failed(125, &["PackedPolicyTooLarge", "shorten --session-policy"]);
}

#[test]
fn a_refresh_goes_both_ways() {
    let stage = chained(None);
    stage.sandbox.set_credential_lifetime(Duration::from_secs(6));
    let held = hold(&stage, THEN);
    wait_for(&stage, 2, ASSUME_SECOND);
    sessions(&stage);
    // Trouble with the second hop is trouble that passes.
    stage.sandbox.fault(Service::Sts, Fault::status(503, "").times(2).on(ASSUME_SECOND));
    wait_for(&stage, 6, ASSUME_SECOND);
    let outcome = held.release(&stage);
    outcome.assert_succeeded();
    let (one, two) = (asked(&stage, ASSUME_ROLE), asked(&stage, ASSUME_SECOND));
    assert!(one == two || one == two + 1, "{one} {two}");
    let warnings: Vec<_> = outcome.events().into_iter().filter(|event| !event.field("next_try").is_empty()).collect();
    assert_eq!(warnings.len(), 2, "{}", outcome.stderr);
    assert!(warnings.iter().all(|event| event.sentence().contains(SECOND)), "{}", outcome.stderr);
}

#[test]
fn second_roles_by_profile_and_by_template() {
    let builder =
        with_roles(&["fedboot-demo", "reader"]).role(Role::trusting_role(arn("worker"), &arn("reader"), None));
    let stage = Stage::with(builder.role(Role::trusting_role(SECOND, &arn("fedboot-demo"), None)));
    let roles = format!("--role-arn {} --role-arn reader={} --require reader", arn("fedboot-demo"), arn("reader"));
    let options = format!("{roles} --then-role-arn reader={}", arn("{service_account}"));
    // Without a profile it is the first role's; each may have its own.
    for (options, first, sessions) in
        [(&options, &arn("fedboot-demo"), 3), (&format!("{options} {THEN}"), &SECOND.into(), 4)]
    {
        let before = stage.sandbox.issued().len();
        once(&stage, options);
        assert_eq!(stage.sandbox.issued().len() - before, sessions);
        assert_eq!(&role_of(&stage, &filed(&stage, "default").expect("keys")), first);
        let line = process_line(&stage, "reader");
        assert_eq!(role_of(&stage, &key(&run_line(&line, &surroundings(&stage)))), arn("worker"));
    }
}
