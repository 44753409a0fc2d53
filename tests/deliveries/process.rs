//! `fedboot credential-process`: one answer, from a cache that all callers share.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

use fedboot::config::option_table::{CREDENTIAL_PROCESS, OPTIONS};
use fedboot_sandbox::{Fault, Role, Sandbox, Service};
use serde_json::Value;

use crate::common::{Event, Outcome, Stage, eventually, write};
use crate::{
    ASSUME_ROLE, NOBODY, answer, arn, asked, aws, caches_in, hold, key, mode, names_in, newest, newest_key,
    process_line,
};
use crate::{refused, run_line, short_lived, surroundings, with_roles, words};

const PROCESS: &str = "credential-process";

fn run(stage: &Stage, options: &str) -> Outcome {
    stage.finish(start(stage, options))
}

fn start(stage: &Stage, options: &str) -> Child {
    stage.command([PROCESS].into_iter().chain(words(options))).spawn().expect("fedboot starts")
}

/// Exit code 1, nothing on stdout, and one line that says each of `parts`.
#[track_caller]
fn none(outcome: &Outcome, parts: &[&str]) {
    outcome.assert_failed(1, parts);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.lines().count()), ("", 1), "{}", outcome.stderr);
}

/// The last good credentials, and why they are not newer.
#[track_caller]
fn last_good(outcome: &Outcome, expected: &str, parts: &[&str]) {
    assert_eq!(key(outcome), expected, "{}", outcome.stderr);
    let events = outcome.events();
    let severities: Vec<_> = events.iter().map(Event::severity).collect();
    assert_eq!(severities, ["WARNING"], "{}", outcome.stderr);
    assert!(parts.iter().all(|part| events[0].sentence().contains(part)), "{}", outcome.stderr);
}

fn cache_of(stage: &Stage) -> PathBuf {
    caches_in(&stage.home().join(".cache/fedboot")).pop().expect("a cache")
}

/// Moves the times of a cache by so many seconds, so that no test need wait for them.
fn shift(cache: &PathBuf, fields: &[&str], seconds: i64) {
    let mut json: Value = serde_json::from_slice(&fs::read(cache).expect("a cache")).expect("JSON");
    for field in fields {
        let time = humantime::parse_rfc3339(json[field].as_str().expect("a time")).expect("a time");
        let by = Duration::from_secs(seconds.unsigned_abs());
        let time = if seconds < 0 { time - by } else { time + by };
        json[field] = humantime::format_rfc3339_nanos(time).to_string().into();
    }
    fs::write(cache, json.to_string()).expect("a cache");
}

/// Credentials of an hour that are due for refresh.
fn due() -> (Stage, PathBuf, String) {
    let stage = Stage::new();
    let first = key(&run(&stage, ""));
    let cache = cache_of(&stage);
    shift(&cache, &["Issued"], -7200);
    (stage, cache, first)
}

#[test]
fn the_answer() {
    let stage = Stage::new();
    let outcome = run(&stage, "");
    let json = answer(&outcome);
    let names: BTreeSet<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"]));
    assert_eq!(json["Version"], 1);
    let issued = newest(&stage);
    let text = |name: &str| json[name].as_str().expect("a string");
    let keys = [text("AccessKeyId"), text("SecretAccessKey"), text("SessionToken")];
    assert_eq!(keys, [&issued.access_key_id, &issued.secret_access_key, &issued.session_token].map(String::as_str));
    // A minute early: some clients ask only once the credentials are past their end.
    assert_eq!(text("Expiration"), fedboot::system::log::timestamp(issued.expires_at - Duration::from_secs(60)));
    assert_eq!((outcome.stdout.lines().count(), outcome.stderr.as_str()), (1, ""));
    assert_eq!((mode(cache_of(&stage)), mode(stage.home().join(".cache/fedboot"))), (0o600, 0o700));
    // From then on no cloud is needed.
    stage.sandbox.refuse_connections(Service::Sts, Duration::from_secs(600));
    stage.sandbox.refuse_connections(Service::Metadata, Duration::from_secs(600));
    let again = run(&stage, "");
    assert_eq!((again.stdout, again.stderr), (outcome.stdout, String::new()));
    assert_eq!(asked(&stage, ASSUME_ROLE), 1);
}

#[test]
fn called_wrongly() {
    let mut stage = Stage::new();
    for (options, part) in [
        ("--rol-arn x", "did you mean --role-arn?"),
        ("--role-arn x", "is no role ARN"),
        ("--role-arn arn:aws:iam::123456789012:role/a --role-arn b=arn:aws:iam::123456789012:role/b", "one --role-arn"),
        ("--timeout soon", "--timeout"),
        ("-- touch ran", "takes no command"),
        ("touch", "a word that belongs to no option"),
    ] {
        refused(&stage, 2, &format!("{PROCESS} {options}"), &[part]);
    }
    // Options of the way to Google, and of an agent.
    for option in OPTIONS.iter().filter(|option| option.verbs & CREDENTIAL_PROCESS == 0) {
        let value = if option.value.is_empty() { "" } else { " 7" };
        let part = format!("--{} has no meaning here", option.name);
        refused(&stage, 2, &format!("{PROCESS} --{}{value}", option.name), &[&part]);
    }
    // Their variables are somebody else's.
    stage.set("FEDBOOT_SCOPE", "x").set("FEDBOOT_METADATA_PORT", "7");
    run(&stage, "").assert_succeeded();
    stage.unset("FEDBOOT_ROLE_ARN");
    refused(&stage, 2, PROCESS, &["no role to assume"]);
    stage.set("GCE_METADATA_HOST", NOBODY);
    none(&run(&stage, ""), &["no role to assume"]);
}

/// Variables that tell the fedboot in front of a command where to deliver say nothing to this one.
#[test]
fn options_of_others() {
    for (variable, value) in [
        ("FEDBOOT_DELIVERY", "token-file"),
        ("FEDBOOT_DELIVERY", "env"),
        ("FEDBOOT_REQUIRE", "reader"),
        ("FEDBOOT_FOLLOW_PID", "1"),
        ("FEDBOOT_ROLE_ARN", "arn:aws:iam::123456789012:role/a b=arn:aws:iam::123456789012:role/b"),
    ] {
        let mut stage = Stage::new();
        stage.set(variable, value).set("FEDBOOT_AWS_PROFILE", if value == "env" { "none" } else { "mine" });
        let outcome = run(&stage, &format!("--role-arn {}", arn("fedboot-demo")));
        assert_eq!(outcome.code(), Some(0), "{variable}={value}: {}", outcome.stderr);
        assert_eq!(key(&outcome), newest_key(&stage));
    }
}

#[test]
fn places_of_the_cache() {
    for (variable, value, options, place) in [
        ("XDG_CACHE_HOME", "/xdg", "", "xdg/fedboot"),
        ("XDG_CACHE_HOME", "relative", "", "home/.cache/fedboot"),
        ("FEDBOOT_CACHE_FILE", "named/cache", "", "named"),
        ("FEDBOOT_CACHE_FILE", "other", "--cache-file named/cache", "named"),
    ] {
        let mut stage = Stage::new();
        let directory = stage.directory.path().display().to_string();
        stage.set(variable, if value.starts_with('/') { directory + value } else { value.into() });
        key(&run(&stage, options));
        let names = names_in(stage.directory.path().join(place));
        let [cache, lock] = &names[..] else { panic!("{variable}={value}: {names:?}") };
        assert_eq!(lock, &format!("{cache}.lock"));
        for name in &names {
            assert_eq!(mode(stage.directory.path().join(place).join(name)), 0o600, "{name}");
        }
        assert_eq!(key(&run(&stage, options)), newest_key(&stage));
        assert_eq!(asked(&stage, ASSUME_ROLE), 1, "{variable}={value}");
    }
}

#[test]
fn no_two_requests_share_a_cache() {
    let second = Role::trusting_role(arn("second"), &arn("fedboot-demo"), None);
    let stage = Stage::with(with_roles(&["fedboot-demo", "other"]).role(second));
    write(&stage.directory.path().join("policy"), r#"{"Statement":[]}"#);
    write(&stage.directory.path().join("token"), stage.sandbox.id_token("sts.amazonaws.com"));
    let rows = [
        "",
        "--role-arn arn:aws:iam::123456789012:role/other",
        "--role-session-name somebody",
        "--duration 30m",
        "--region eu-west-2",
        "--policy-arn arn:aws:iam::aws:policy/ReadOnlyAccess",
        "--session-policy policy",
        "--google-token-file token",
        "--then-role-arn arn:aws:iam::123456789012:role/second",
        "--then-role-arn arn:aws:iam::123456789012:role/second --external-id me",
        "--then-role-arn arn:aws:iam::123456789012:role/second --source-identity me",
        "--then-role-arn arn:aws:iam::123456789012:role/second --session-tag team=data",
    ];
    let keys = rows.map(|options| key(&run(&stage, options)));
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), rows.len());
    assert_eq!(rows.map(|options| key(&run(&stage, options))), keys);
    assert_eq!(asked(&stage, ASSUME_ROLE), rows.len());
    // In one file the last one stands, and nobody else believes it.
    for options in rows {
        let before = newest_key(&stage);
        let fresh = key(&run(&stage, &format!("{options} --cache-file cache")));
        assert!(fresh != before && fresh == newest_key(&stage), "{options}");
    }
}

/// Whatever is done to a cache, the worst is one more exchange.
#[test]
fn a_cache_that_is_no_use() {
    let stage = Stage::new();
    key(&run(&stage, ""));
    let cache = cache_of(&stage);
    let good = fs::read(&cache).expect("a cache");
    let half = &good[..good.len() / 2];
    for content in
        [&b""[..], b"{", half, b"\xff\0\xfe", b"null", b"[]", b"\"\"", b"{\"Request\": 7}", &vec![b' '; 1 << 20]]
    {
        fs::write(&cache, content).expect("a cache");
        let before = asked(&stage, ASSUME_ROLE);
        assert_eq!(key(&run(&stage, "")), newest_key(&stage));
        assert_eq!(key(&run(&stage, "")), newest_key(&stage));
        assert_eq!(asked(&stage, ASSUME_ROLE), before + 1, "{content:?}");
        assert_eq!(mode(&cache), 0o600);
    }
    // A clock that was set back, one that ran ahead, one that jumps.
    for (field, seconds) in [("Issued", 3600), ("Issued", -7200), ("Expiration", -7200)] {
        shift(&cache, &[field], seconds);
        let before = asked(&stage, ASSUME_ROLE);
        assert_eq!(key(&run(&stage, "")), newest_key(&stage));
        assert_eq!(asked(&stage, ASSUME_ROLE), before + 1, "{field} {seconds}");
    }
    fs::remove_file(&cache).expect("gone");
    fs::create_dir(&cache).expect("a directory");
    last_good(&run(&stage, ""), &newest_key(&stage), &["cache-"]);
}

/// An answer is worth more than its cache.
#[test]
fn a_cache_that_cannot_be_written() {
    let mut stage = Stage::new();
    write(&stage.directory.path().join("file"), "");
    last_good(&run(&stage, "--cache-file file/cache"), &newest_key(&stage), &["file/cache"]);
    // Without a home the cache has another place, though not one for everybody.
    write(&stage.home().join(".cache"), "");
    let runtime = stage.directory.path().join("runtime");
    fs::create_dir(&runtime).expect("a directory");
    stage.set("XDG_RUNTIME_DIR", &runtime);
    let first = key(&run(&stage, ""));
    assert_eq!(key(&run(&stage, "")), first);
    let private = runtime.join(names_in(&runtime).first().expect("a private directory"));
    assert_eq!((mode(&private), names_in(&private).len()), (0o700, 2));
}

/// Also when it is refused.
#[test]
fn many_calls_at_once_are_one_exchange() {
    for fault in [Fault::pass(), Fault::error("AccessDenied")] {
        let stage = Stage::with(Sandbox::builder().fault(Service::Sts, fault.after(Duration::from_secs(4)).always()));
        let children: Vec<_> = (0..200).map(|_| start(&stage, "")).collect();
        let outcomes: Vec<_> = children.into_iter().map(|child| stage.finish(child)).collect();
        let codes: BTreeSet<_> = outcomes.iter().map(Outcome::code).collect();
        let answers: BTreeSet<_> = outcomes.iter().map(|outcome| outcome.stdout.as_str()).collect();
        assert_eq!((codes.len(), answers.len()), (1, 1), "{codes:?} {answers:?}");
        assert_eq!(asked(&stage, ASSUME_ROLE), 1);
        if codes == BTreeSet::from([Some(1)]) {
            let messages: BTreeSet<_> = outcomes.iter().map(|outcome| outcome.error().message().to_owned()).collect();
            assert_eq!(messages.len(), 1, "{messages:?}");
            none(&outcomes[0], &["AccessDenied", "trust policy"]);
        } else {
            assert_eq!(key(&outcomes[0]), newest_key(&stage));
        }
    }
}

/// The last good credentials, and no second exchange before its time.
#[test]
fn due_but_refused() {
    let (stage, cache, first) = due();
    stage.sandbox.fault(Service::Sts, Fault::error("AccessDenied").always());
    last_good(&run(&stage, ""), &first, &["AccessDenied", "trust policy"]);
    for _ in 0..3 {
        assert_eq!(key(&run(&stage, "")), first);
    }
    assert_eq!(asked(&stage, ASSUME_ROLE), 2);
    shift(&cache, &["NextTry", "FailedAt"], -600);
    last_good(&run(&stage, ""), &first, &["AccessDenied"]);
    assert_eq!(asked(&stage, ASSUME_ROLE), 3);
    // Past their end they are no answer.
    shift(&cache, &["Expiration", "NextTry", "FailedAt"], -7200);
    none(&run(&stage, ""), &["AccessDenied", "trust policy"]);
    stage.sandbox.clear_faults();
    let fresh = key(&run(&stage, ""));
    assert_eq!(fresh, newest_key(&stage));
    assert!(!fs::read_to_string(&cache).expect("a cache").contains("AccessDenied"));
}

/// Whoever has good credentials does not wait for a service in trouble.
#[test]
fn due_but_in_trouble() {
    let (stage, _, first) = due();
    stage.sandbox.fault(Service::Sts, Fault::status(503, "").always());
    let start = Instant::now();
    last_good(&run(&stage, "--timeout 30"), &first, &["answered 503"]);
    assert!(start.elapsed() < Duration::from_secs(15), "the answer took {:?}", start.elapsed());
}

#[test]
fn a_hung_sts() {
    let (stage, cache, first) = due();
    stage.sandbox.fault(Service::Sts, Fault::hang().always());
    let begun = Instant::now();
    let hanging = start(&stage, "--timeout 5");
    eventually("STS is asked", || asked(&stage, ASSUME_ROLE) == 2);
    for _ in 0..10 {
        let start = Instant::now();
        assert_eq!(key(&run(&stage, "")), first);
        assert!(start.elapsed() < Duration::from_secs(2), "it took {:?}", start.elapsed());
    }
    last_good(&stage.finish(hanging), &first, &["gave no answer"]);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    // Where nothing is good any more, everybody's time is limited.
    shift(&cache, &["Expiration", "NextTry", "FailedAt"], -7200);
    let hanging = [start(&stage, "--timeout 2"), start(&stage, "--timeout 2")];
    let begun = Instant::now();
    let outcomes = hanging.map(|child| stage.finish(child));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    for outcome in &outcomes {
        none(outcome, &["2"]);
    }
}

#[test]
fn an_agent_exchanges_for_all() {
    let stage = Stage::new();
    let held = hold(&stage, "--delivery process");
    let line = process_line(&stage, "fedboot");
    let ask = || run_line(&line, &surroundings(&stage));
    let first = key(&ask());
    let cache = caches_in(&aws(&stage)).pop().expect("a cache");
    assert_eq!(mode(&cache), 0o600);
    // Due or not, it is the agent's affair.
    shift(&cache, &["Issued"], -7200);
    for _ in 0..3 {
        assert_eq!(key(&ask()), first);
    }
    assert_eq!(asked(&stage, ASSUME_ROLE), 1);
    // Until there is none.
    held.kill_agent_for_good();
    eventually("the process takes over", || key(&ask()) != first);
    assert_eq!(asked(&stage, ASSUME_ROLE), 2);
    assert_eq!(key(&ask()), newest_key(&stage));
    held.release(&stage).assert_succeeded();
}

#[test]
fn an_agent_that_fails() {
    let stage = short_lived(4, Sandbox::builder());
    let held = hold(&stage, "--delivery process");
    let line = process_line(&stage, "fedboot");
    stage.sandbox.fault(Service::Sts, Fault::error("AccessDenied").always());
    let last = newest(&stage);
    let ask = || run_line(&line, &surroundings(&stage));
    while SystemTime::now() < last.expires_at - Duration::from_millis(500) {
        assert_eq!(key(&ask()), last.access_key_id);
    }
    eventually("they expire", || !last.is_live());
    let begun = Instant::now();
    none(&ask(), &["AccessDenied", "trust policy"]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    stage.sandbox.clear_faults();
    eventually("it recovers", || ask().code() == Some(0));
    held.release(&stage);
}
