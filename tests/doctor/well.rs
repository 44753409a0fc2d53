//! What works, and how it is said.

use std::fs;
use std::time::{Duration, Instant};

use fedboot_sandbox::{AwsPlace, Sandbox};

use crate::common::Stage;
use crate::common::launch::{figure, terminal};
use crate::{ACCOUNT, ROLE, Report, on_aws, on_google};

/// Nothing stays behind: no file, no directory.
#[track_caller]
fn assert_nothing_left(stage: &Stage) {
    let left: Vec<_> = fs::read_dir(stage.home()).expect("a home").flatten().map(|entry| entry.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn to_aws() {
    let mut stage = on_google(Sandbox::builder());
    stage.set("AWS_REGION", "us-east-1");
    let started = Instant::now();
    let report = Report::of(&stage, "-- sh -c true");
    let elapsed = started.elapsed();
    figure(&format!("doctor on the way to AWS: {} ms", elapsed.as_millis()));
    assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
    assert_eq!(report.outcome.code(), Some(0), "{}", report.outcome.stdout);
    assert_eq!(report.with("failure").count(), 0, "{}", report.outcome.stdout);
    for (check, part) in [
        ("options", "--role-arn is arn:aws:iam::123456789012:role/fedboot-demo, by FEDBOOT_ROLE_ARN"),
        ("options", "--region is us-east-1, by AWS_REGION"),
        ("options", "by default: "),
        ("direction", "Google → AWS, by FEDBOOT_ROLE_ARN"),
        ("network", "the metadata server, http://127.0.0.1:"),
        ("network", "(certificate by fedboot sandbox)"),
        ("clock", "within "),
        ("token", &format!("email={ACCOUNT}")),
        ("token", "aud=sts.amazonaws.com"),
        ("exchange", &format!("AWS gives {ROLE} as ")),
        ("exchange", " for 60 min, in "),
        ("delivery", ".aws/credentials with mode 0600: user "),
        ("delivery", "the credentials endpoint, on 127.0.0.1"),
        ("command", "sh is a program for this machine"),
        ("agent", "none runs"),
    ] {
        assert!(report.ok(check).contains(part), "no {part:?} in {check}: {}", report.outcome.stdout);
    }
    assert_nothing_left(&stage);
}

#[test]
fn to_google() {
    for (place, source) in [
        (AwsPlace::Environment, "found in environment"),
        (AwsPlace::WebIdentity, "found in web-identity"),
        (AwsPlace::Ecs, "found in container"),
    ] {
        let stage = on_aws(place, Sandbox::builder());
        let started = Instant::now();
        let report = Report::of(&stage, "");
        let elapsed = started.elapsed();
        figure(&format!("doctor on the way to Google, {place:?}: {} ms", elapsed.as_millis()));
        assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
        assert_eq!(report.with("failure").count(), 0, "{}", report.outcome.stdout);
        assert_eq!(report.outcome.code(), Some(0));
        for (check, part) in [
            ("direction", "AWS → Google, by GOOGLE_APPLICATION_CREDENTIALS"),
            ("identity", source),
            ("identity", "arn:aws:sts::123456789012:assumed-role/fedboot-demo/"),
            ("exchange", "Google STS takes the proof"),
            ("exchange", &format!("an access token of {ACCOUNT} for 60 min")),
            ("delivery", "the metadata server, on 127.0.0.1, at any free port: "),
        ] {
            assert!(report.ok(check).contains(part), "no {part:?} in {check}: {}", report.outcome.stdout);
        }
        assert_nothing_left(&stage);
    }
}

/// Further roles, a second one, tokens of another account and tokens for clients are tried as well.
#[test]
fn other_setups() {
    let reader = "reader@other-project.iam.gserviceaccount.com";
    for (words, part) in [
        (format!("--role-arn {ROLE} --role-arn other={ROLE}"), ROLE),
        (format!("--impersonate-service-account {reader}"), reader),
        ("--delivery token-file".into(), ROLE),
        ("--delivery env".into(), ROLE),
    ] {
        let stage = on_google(Sandbox::builder().impersonable(reader));
        let report = Report::of(&stage, &words);
        assert_eq!(report.with("failure").count(), 0, "{words}: {}", report.outcome.stdout);
        assert!(report.outcome.stdout.contains(part), "{words}: {}", report.outcome.stdout);
        assert_nothing_left(&stage);
    }
}

/// The role in a metadata attribute, as on Dataflow.
#[test]
fn an_attribute() {
    let mut stage =
        on_google(Sandbox::builder().attribute("fedboot-role-arn", ROLE).attribute("job_id", "2026-11-27_x"));
    stage.unset("FEDBOOT_ROLE_ARN").unset("KUBERNETES_SERVICE_HOST");
    let report = Report::of(&stage, "");
    assert_eq!(report.with("failure").count(), 0, "{}", report.outcome.stdout);
    let options = report.ok("options");
    assert!(options.contains(&format!("{ROLE}, by the metadata attribute fedboot-role-arn")), "{options}");
}

/// Without a network nothing is asked, and what can be known is said.
#[test]
fn offline() {
    for stage in [on_google(Sandbox::builder()), on_aws(AwsPlace::Ecs, Sandbox::builder())] {
        stage.sandbox.forget_requests();
        let report = Report::of(&stage, "--offline -- sh");
        assert_eq!(report.outcome.code(), Some(0), "{}", report.outcome.stdout);
        assert!(stage.sandbox.requests().is_empty() && stage.sandbox.connections().is_empty());
        assert!(report.skipped().contains(&"exchange"), "{}", report.outcome.stdout);
        assert!(report.ok("command").contains("sh is a program"), "{}", report.outcome.stdout);
        assert_nothing_left(&stage);
    }
}

/// Lines for people: marks and colours on a terminal alone, and not where nobody wants them.
#[test]
fn for_people() {
    let mut stage = on_google(Sandbox::builder());
    let outcome = stage.run(["doctor"]);
    assert_eq!(outcome.code(), Some(0), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains('\x1b') && !outcome.stdout.contains('✓'), "{}", outcome.stdout);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert!(lines.iter().all(|line| line.starts_with("ok       ") || line.starts_with("warning  ")), "{lines:?}");
    assert!(lines.last().expect("a summary").starts_with("ok       summary   "), "{lines:?}");
    for (no_color, coloured) in [("", true), ("1", false)] {
        stage.set("NO_COLOR", no_color);
        let [outside, inside] = terminal();
        let mut child = stage.command(["doctor", "--offline"]).stdout(inside).spawn().expect("fedboot");
        let text = read_terminal(&outside, &mut child);
        assert_eq!(text.contains("\x1b[32m✓ ok"), coloured, "{text}");
    }
}

/// What a program prints on a terminal until it ends.
fn read_terminal(outside: &std::os::fd::OwnedFd, child: &mut std::process::Child) -> String {
    crate::common::wait(child);
    let mut text = Vec::new();
    let mut part = [0; 4096];
    let flags = nix::fcntl::OFlag::O_NONBLOCK;
    nix::fcntl::fcntl(outside, nix::fcntl::FcntlArg::F_SETFL(flags)).expect("a flag");
    while let Ok(count @ 1..) = nix::unistd::read(outside, &mut part) {
        text.extend_from_slice(&part[..count]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// How it is called wrongly.
#[test]
fn called_wrongly() {
    let stage = on_google(Sandbox::builder());
    for (words, part) in [
        ("doctor --format token", "--format is none of"),
        ("doctor --frob", "unknown option --frob"),
        ("doctor python", "a word that belongs to no option"),
        ("doctor --strict=yes", "takes no value"),
    ] {
        let outcome = stage.run(words.split(' '));
        assert_eq!(outcome.code(), Some(2), "{words}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(part) && outcome.stdout.is_empty(), "{words}: {}", outcome.stderr);
    }
}

/// An agent that runs beside is asked how it is.
#[test]
fn a_running_agent() {
    let stage = on_google(Sandbox::builder());
    let agent = crate::common::agents::Agent::start(&stage, "");
    let report = Report::of(&stage, "");
    assert!(
        report.ok("agent").contains(&format!("keeps credentials of {ROLE}: fresh, until ")),
        "{}",
        report.outcome.stdout
    );
    drop(agent);
}
