//! Several roles in one agent: each with its own profile, schedule and fate.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use fedboot_sandbox::{Fault, Role, Service};

use crate::common::{Stage, eventually, write};
use crate::{ASSUME_ROLE, Environment, arn, asked, environment, filed, hold, key, live, once, process_line, refused};
use crate::{role_of, run_line, short_lived, surroundings, with_roles, words};

const NAMES: [&str; 3] = ["fedboot-demo", "reader", "writer"];
/// The options of a first role and of one further.
const TWO: &str = "--role-arn arn:aws:iam::123456789012:role/fedboot-demo \
                   --role-arn reader=arn:aws:iam::123456789012:role/reader";
const WRITER: &str = "--role-arn w.2=arn:aws:iam::123456789012:role/writer";

/// The role for which the line of a profile answers, in an environment that says nothing of it.
fn answers_for(stage: &Stage, profile: &str) -> String {
    answers_for_in(stage, profile, &surroundings(stage))
}

fn answers_for_in(stage: &Stage, profile: &str, environment: &Environment) -> String {
    role_of(stage, &key(&run_line(&process_line(stage, profile), environment)))
}

#[test]
fn each_role_has_its_profile() {
    let stage = Stage::with(with_roles(&NAMES));
    for delivery in ["file,endpoint", "endpoint", "file", "process", "env"] {
        let before = asked(&stage, ASSUME_ROLE);
        let held = hold(&stage, &format!("--delivery {delivery} {TWO} {WRITER} --require reader,w.2"));
        assert_eq!((answers_for(&stage, "reader"), answers_for(&stage, "w.2")), (arn("reader"), arn("writer")));
        assert_eq!(asked(&stage, ASSUME_ROLE), before + 3, "{delivery}");
        assert_eq!(crate::in_section(&stage.credentials_text(), "reader", "region"), Some("us-east-1"));
        match delivery {
            "process" => assert_eq!(answers_for(&stage, "fedboot"), arn("fedboot-demo")),
            "file,endpoint" => {
                assert_eq!(filed(&stage, "default"), live(&stage, &held));
                assert_eq!(role_of(&stage, &live(&stage, &held).expect("live ones")), arn("fedboot-demo"));
            }
            _ => {}
        }
        let outcome = held.release(&stage);
        outcome.assert_succeeded();
        let of = |profile: &str| outcome.events().iter().filter(|event| event.field("profile") == profile).count();
        assert_eq!((of("reader"), of("w.2"), of("")), (1, 1, 1), "{delivery}: {}", outcome.stderr);
        // Without the agent the lines still work.
        assert_eq!(answers_for(&stage, "w.2"), arn("writer"), "{delivery}");
        fs::remove_file(stage.credentials_file()).expect("gone");
    }
}

#[test]
fn each_role_is_refreshed() {
    let stage = short_lived(6, with_roles(&NAMES));
    let held = hold(&stage, TWO);
    let mut seen = BTreeSet::new();
    eventually("the line gives new ones", || {
        let outcome = run_line(&process_line(&stage, "reader"), &vec![]);
        outcome.code() == Some(0) && seen.insert(key(&outcome)) && seen.len() == 3
    });
    let of = |name: &str| stage.sandbox.issued().iter().filter(|issued| issued.role_arn == arn(name)).count();
    assert!((2..=5).contains(&of("fedboot-demo")) && (3..=5).contains(&of("reader")));
    held.release(&stage).assert_succeeded();
}

#[test]
fn one_role_that_is_refused() {
    let stage = Stage::with(with_roles(&NAMES));
    let (nobody, refused) = (format!("{TWO} --role-arn none={}", arn("nobody")), ["AccessDenied", "role/nobody"]);
    let held = hold(&stage, &nobody);
    assert!(live(&stage, &held).is_some());
    eventually("all were asked for", || asked(&stage, ASSUME_ROLE) == 3);
    assert_eq!(answers_for(&stage, "reader"), arn("reader"));
    let before = asked(&stage, ASSUME_ROLE);
    run_line(&process_line(&stage, "none"), &surroundings(&stage)).assert_failed(1, &refused);
    assert!(asked(&stage, ASSUME_ROLE) <= before + 1, "the agent alone asks");
    let outcome = held.release(&stage);
    outcome.assert_succeeded();
    let errors: Vec<_> = outcome.events().into_iter().filter(|event| event.severity() == "ERROR").collect();
    assert!(!errors.is_empty() && errors.iter().all(|event| event.field("profile") == "none"), "{}", outcome.stderr);
    // Unless the command needs it. The first one always is.
    let first = format!("--role-arn {} --role-arn reader={}", arn("nobody"), arn("reader"));
    for options in [nobody + " --require none", first] {
        stage.run(words(&format!("{options} -- touch ran"))).assert_failed(125, &refused);
        assert!(!stage.directory.path().join("ran").exists());
    }
}

#[test]
fn required_roles_are_waited_for() {
    for waits in [true, false] {
        let stage = Stage::with(with_roles(&NAMES));
        // For one of them there is an answer at once.
        stage.sandbox.fault(Service::Sts, Fault::pass());
        stage.sandbox.fault(Service::Sts, Fault::delay(Duration::from_secs(3)));
        let start = Instant::now();
        let options = if waits { format!("{TWO} --require reader") } else { TWO.into() };
        let script = if waits { "sed -n 's/^credential_process = //p' ~/.aws/credentials | sh" } else { "exit 0" };
        let outcome = stage.run_shell(&words(&options), script);
        outcome.assert_succeeded();
        if waits {
            assert_eq!(role_of(&stage, &key(&outcome)), arn("reader"));
            assert!(start.elapsed() > Duration::from_secs(3), "{:?}", start.elapsed());
        }
        assert_eq!(asked(&stage, ASSUME_ROLE), 2);
    }
}

#[test]
fn roles_that_are_named_wrongly() {
    let stage = Stage::with(with_roles(&NAMES));
    for (more, parts) in [
        ("--role-arn arn:aws:iam::123456789012:role/b", &["further role", "needs a profile", "PROFILE="][..]),
        ("--role-arn reader=arn:aws:iam::123456789012:role/b", &["the profile reader would stand for two roles"]),
        ("--role-arn default=arn:aws:iam::123456789012:role/b", &["the profile default would stand for two"]),
        ("--role-arn fedboot=arn:aws:iam::123456789012:role/b", &["the profile fedboot would stand for two"]),
        ("--role-arn =arn:aws:iam::123456789012:role/b", &["no profile name"]),
        ("--role-arn b=", &["is no role ARN"]),
        ("--role-arn b=c", &["is no role ARN"]),
        ("--require writer", &["--require", "no --role-arn is for that profile"]),
        ("--require reader,writer", &["--require", "no --role-arn is for that profile"]),
        ("--require reader,", &["--require", "no --role-arn is for that profile"]),
        ("--require fedboot", &["--require", "no --role-arn is for that profile"]),
    ] {
        refused(&stage, 125, &format!("{TWO} {more} -- touch ran"), parts);
    }
    assert!(!stage.credentials_file().exists());
}

/// What the environment says is for the agent. A line has it all in its flags.
#[test]
fn lines_in_the_environment_of_the_command() {
    let second = Role::trusting_role(arn("second"), &arn("fedboot-demo"), Some("a7"));
    let third = Role::trusting_role(arn("third"), &arn("reader"), None);
    for (variable, value, of_first, of_reader) in [
        ("FEDBOOT_REQUIRE", "reader", "fedboot-demo", "reader"),
        ("FEDBOOT_THEN_ROLE_ARN", "reader=arn:aws:iam::123456789012:role/third", "fedboot-demo", "third"),
        ("FEDBOOT_THEN_ROLE_ARN", "arn:aws:iam::123456789012:role/second", "second", "reader"),
        ("FEDBOOT_CACHE_FILE", "cache", "fedboot-demo", "reader"),
        ("FEDBOOT_DURATION", "20m", "fedboot-demo", "reader"),
        ("FEDBOOT_GOOGLE_TOKEN_FILE", "a b/token", "fedboot-demo", "reader"),
    ] {
        let mut stage = Stage::with(with_roles(&NAMES).role(second.clone()).role(third.clone()));
        write(&stage.directory.path().join("a b/token"), stage.sandbox.id_token("sts.amazonaws.com"));
        stage.set("FEDBOOT_ROLE_ARN", format!("{} reader={}", arn("fedboot-demo"), arn("reader")));
        stage.set(variable, value).set("FEDBOOT_DELIVERY", "process");
        if of_first == "second" {
            stage.set("FEDBOOT_EXTERNAL_ID", "a7");
        }
        let held = hold(&stage, "--require reader");
        let count = stage.sandbox.requests_to(Service::Sts).len();
        for environment in [environment(&held), surroundings(&stage)] {
            assert_eq!(answers_for_in(&stage, "fedboot", &environment), arn(of_first), "{variable}={value}");
            assert_eq!(answers_for_in(&stage, "reader", &environment), arn(of_reader), "{variable}={value}");
        }
        assert_eq!(stage.sandbox.requests_to(Service::Sts).len(), count, "{variable}={value}: not from the cache");
        held.release(&stage).assert_succeeded();
    }
}

#[test]
fn roles_from_elsewhere() {
    let list = format!("{}\n  reader={}\t writer={} ", arn("fedboot-demo"), arn("reader"), arn("writer"));
    let mut stage = Stage::with(with_roles(&NAMES));
    stage.set("FEDBOOT_ROLE_ARN", &list).set("FEDBOOT_REQUIRE", "reader, writer");
    once(&stage, "");
    assert_eq!((answers_for(&stage, "reader"), answers_for(&stage, "writer")), (arn("reader"), arn("writer")));
    // From an attribute, as Dataflow lets no one set a worker's environment.
    let mut stage = Stage::with(with_roles(&NAMES).project_attribute("fedboot-role-arn", &list));
    stage.unset("FEDBOOT_ROLE_ARN");
    once(&stage, "--require reader,writer");
    assert_eq!((answers_for(&stage, "reader"), answers_for(&stage, "writer")), (arn("reader"), arn("writer")));
    assert_eq!(asked(&stage, ASSUME_ROLE), 3);
    // A template in a further role's ARN.
    let mut stage = Stage::with(with_roles(&["fedboot-demo", "worker"]));
    stage.set("FEDBOOT_ROLE_ARN", format!("{} own={}", arn("fedboot-demo"), arn("{service_account}")));
    once(&stage, "--require own");
    assert_eq!(answers_for(&stage, "own"), arn("worker"));
}

/// The command starts without what it waits for, and finds it later.
#[test]
fn the_command_runs_anyway() {
    let none = format!("{TWO} --role-arn none={} --on-failure run", arn("nobody"));
    let first = format!("--role-arn {} --role-arn reader={} --on-failure run", arn("nobody"), arn("reader"));
    for (options, has_first) in
        [(format!("{none} --require none,reader"), true), (format!("{first} --require reader"), false)]
    {
        let stage = Stage::with(with_roles(&NAMES));
        let held = hold(&stage, &options);
        assert_eq!((live(&stage, &held).is_some(), answers_for(&stage, "reader")), (has_first, arn("reader")));
        stage.sandbox.change(|settings| settings.roles[2].arn = arn("nobody")).expect("a role");
        eventually("all are there", || stage.run(["status"]).code() == Some(0));
        assert!(live(&stage, &held).is_some());
        held.release(&stage).assert_succeeded();
    }
    // Where no role is known yet, because no metadata server answers.
    for delivery in ["file,endpoint", "process", "token-file"] {
        let list = if delivery == "token-file" { arn("reader") } else { format!("{} reader={0}", arn("reader")) };
        let builder = with_roles(&NAMES).attribute("fedboot-role-arn", list);
        // Once for longer than it is asked in one go.
        let late = if delivery == "process" { 12 } else { 4 };
        let mut stage = Stage::with(builder.refuse_first(Service::Metadata, Duration::from_secs(late)));
        stage.unset("FEDBOOT_ROLE_ARN");
        let held = hold(&stage, &format!("--delivery {delivery} --timeout 1 --on-failure run"));
        assert_eq!(asked(&stage, ASSUME_ROLE), 0, "{delivery}");
        eventually("all are there", || stage.run(["status"]).code() == Some(0));
        match delivery {
            "process" => assert_eq!(answers_for(&stage, "fedboot"), arn("reader")),
            "token-file" => assert!(fs::read(held.variable("AWS_WEB_IDENTITY_TOKEN_FILE")).is_ok()),
            _ => assert!(live(&stage, &held).is_some()),
        }
        // The same role may have two profiles.
        if delivery != "token-file" {
            assert_eq!(answers_for(&stage, "reader"), arn("reader"));
        }
        let outcome = held.release(&stage);
        outcome.assert_succeeded();
        // What was read in vain is read again later, not earlier.
        let time = |text: &str| humantime::parse_rfc3339(text).expect("a time");
        let tries: Vec<_> = outcome.events().into_iter().filter(|event| !event.field("next_try").is_empty()).collect();
        assert!(delivery != "process" || !tries.is_empty(), "{}", outcome.stderr);
        for event in tries {
            assert!(time(event.field("next_try")) > time(event.field("time")), "{delivery}: {}", outcome.stderr);
        }
    }
}
