//! One line an event: what a healthy boot says, in which form, and to whom.

use std::fs;
use std::io::Read;
use std::time::SystemTime;

use fedboot_sandbox::{Effect, Fault, Sandbox, Service};

use crate::common::launch::terminal;
use crate::common::{Stage, write};
use crate::{delivers, refused};

#[test]
fn ready() {
    let stage = Stage::new();
    let before = SystemTime::now();
    let outcome = delivers(&stage, &["--role-session-name", "me", "--duration", "2h"]);
    let events = outcome.events();
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    let event = &events[0];
    let issued = stage.sandbox.issued().pop().expect("credentials");
    assert_eq!((event.severity(), event.message()), ("INFO", "AWS credentials are ready"));
    assert_eq!(event.field("role"), issued.role_arn);
    assert_eq!(event.field("session"), "me");
    assert_eq!(event.field("access_key_id"), issued.access_key_id);
    assert_eq!(event.field("expiration"), fedboot::system::log::timestamp(issued.expires_at));
    assert!(event.field("elapsed_ms").parse::<u32>().is_ok_and(|elapsed| elapsed < 60_000), "{event:?}");
    assert_eq!(event.field("failures"), "");
    let time = humantime::parse_rfc3339(event.field("time")).expect("a time");
    assert!(time.duration_since(before).is_ok_and(|after| after.as_secs() < 60), "{event:?}");
    // Half the lifetime, give or take a tenth.
    let refresh = humantime::parse_rfc3339(event.field("next_refresh")).expect("a time");
    let wait = refresh.duration_since(time).expect("later").as_secs();
    assert!((3600 * 9 / 10 - 2..=3600 * 11 / 10 + 2).contains(&wait), "{event:?}");
    // Cloud Logging reads severity and time from the line's own fields; people read them first.
    assert!(outcome.stderr.starts_with("{\"severity\":\"INFO\",\"time\":\""), "{}", outcome.stderr);
}

#[test]
fn text() {
    let stage = Stage::new();
    let outcome = delivers(&stage, &["--log-format", "text", "--role-session-name", "me"]);
    let line = outcome.stderr.strip_suffix('\n').expect("a line");
    let (time, rest) = line.strip_prefix("fedboot: ").and_then(|line| line.split_once(' ')).expect("a time");
    humantime::parse_rfc3339(time).expect(time);
    let key = stage.sandbox.issued().pop().expect("credentials").access_key_id;
    let start = "INFO AWS credentials are ready role=arn:aws:iam::123456789012:role/fedboot-demo session=me ";
    let who = "identity=worker@demo-project.iam.gserviceaccount.com (by the metadata server) ";
    assert!(rest.starts_with(&format!("{start}{who}access_key_id={key} expiration=")), "{line}");
    assert!(!line.contains('\n'));
}

/// `docker run -it … bash`: what stands on the terminal is the command's own, unless something is wrong.
#[test]
fn on_a_terminal() {
    let on_terminal = |stage: &Stage, arguments: &[&str]| {
        let [master, slave] = terminal();
        let copy = || slave.try_clone().expect("a copy");
        let mut command = stage.command(arguments);
        let child = command.stdout(copy()).stderr(copy()).spawn().expect("fedboot starts");
        drop((command, stage.finish(child), slave));
        let mut text = Vec::new();
        // It ends with an error once nobody has the other side.
        let _ = fs::File::from(master).read_to_end(&mut text);
        String::from_utf8_lossy(&text).replace("\r\n", "\n")
    };
    let stage = Stage::new();
    assert_eq!(on_terminal(&stage, &["--", "echo", "hello"]), "hello\n");
    for arguments in [
        &["--log-level", "info", "--", "echo", "hello"][..],
        &["agent", "--foreground", "--no-refresh", "--delivery", "file"],
    ] {
        let text = on_terminal(&stage, arguments);
        assert!(text.contains(" INFO AWS credentials are ready"), "{text}");
    }
    // What is wrong in three rows, and the statement to paste alone in the last line.
    stage.sandbox.fault(Service::Sts, Fault::error("AccessDenied"));
    let text = on_terminal(&stage, &["--", "echo", "hello"]);
    let rows: Vec<_> = text.lines().collect();
    assert!((2..=4).contains(&rows.len()) && text.contains("[FB201]"), "{text}");
    let (statement, rows) = rows.split_last().expect("lines");
    serde_json::from_str::<serde_json::Value>(statement).expect("a statement that can be pasted");
    assert!(rows.iter().all(|row| row.chars().count() <= 100), "{text}");
    stage.sandbox.fault(Service::Sts, Fault::status(503, ""));
    let text = on_terminal(&stage, &["--", "echo", "hello"]);
    assert!(text.starts_with("fedboot: ") && text.contains(" WARNING ") && text.ends_with("hello\n"), "{text}");
    assert!(!text.contains("INFO"), "{text}");
}

/// What a server says is shown on one line, whatever it holds.
#[test]
fn hostile_answers() {
    let hostile = "<b>\u{1b}[31mred\r\nfedboot: forged\u{7}\0 line</b>\n{\"severity\":\"INFO\"}";
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::status(400, hostile).always()));
    for format in ["text", "json"] {
        let outcome = stage.run_shell(&["--log-format", format], "exit 0");
        assert_eq!(outcome.code(), Some(125));
        let line = outcome.stderr.strip_suffix('\n').expect("a line");
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.contains("answered 400 Bad Request: <b> [31mred fedboot: forged line</b>"), "{line:?}");
    }
}

/// Some stores quote in their message what they were sent.
#[test]
fn a_message_that_quotes_the_token() {
    let stage = Stage::new();
    let token = stage.sandbox.id_token("sts.amazonaws.com");
    write(&stage.directory.path().join("token"), &token);
    for (code, message) in [("InvalidParameterValue", format!("bad token {token}")), ("AccessDenied", token.clone())] {
        let effect = Effect::Error { code: code.into(), message: Some(message), status: Some(400) };
        stage.sandbox.fault(Service::Sts, effect.into());
        let outcome = refused(&stage, &["--google-token-file", "token"], &[code]);
        let signature = token.rsplit('.').next().expect("a signature");
        assert!(!outcome.stderr.contains(signature), "the token was printed: {}", outcome.stderr);
    }
}

#[test]
fn a_message_without_an_end() {
    let message = Some("very long ".repeat(30_000));
    let effect = Effect::Error { code: "ValidationError".into(), message, status: None };
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::from(effect).always()));
    let outcome = refused(&stage, &[], &["ValidationError", "very long very long"]);
    assert!(outcome.stderr.len() < 10_000, "{} bytes for one event", outcome.stderr.len());
}

#[test]
fn errors_in_text() {
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::error("AccessDenied").always()));
    for options in [&["--log-format=text"][..], &["--log-format=text", "--log-level=error"]] {
        let outcome = stage.run_shell(options, "exit 0");
        assert_eq!(outcome.code(), Some(125));
        let line = outcome.stderr.strip_suffix('\n').expect("a line");
        assert!(line.starts_with("fedboot: ") && line.contains(" ERROR cannot assume role "), "{line}");
        assert!(!line.contains('\n') && !line.contains("step="), "{line}");
    }
}

#[test]
fn usage_errors_in_text() {
    let mut stage = Stage::new();
    stage.set("FEDBOOT_LOG_FORMAT", "text");
    for words in [&["--timeot=5", "--", "true"][..], &["--timeout=soon", "--", "true"], &["true"]] {
        let outcome = stage.run(words);
        assert_eq!(outcome.code(), Some(125));
        assert!(outcome.stderr.starts_with("fedboot: "), "{words:?}: {}", outcome.stderr);
    }
}

#[test]
fn levels() {
    let stage = Stage::new();
    for (level, lines) in [("debug", 1), ("info", 1), ("INFO", 1), ("warning", 0), ("error", 0), ("critical", 0)] {
        let outcome = delivers(&stage, &["--log-level", level]);
        assert_eq!(outcome.stderr.lines().count(), lines, "{level}: {}", outcome.stderr);
    }
    // Each try is one event at DEBUG, the first one a warning.
    for (level, severities) in [
        ("debug", &["WARNING", "DEBUG", "DEBUG", "INFO"][..]),
        ("info", &["WARNING", "INFO"]),
        ("warning", &["WARNING"]),
        ("error", &[]),
    ] {
        stage.sandbox.fault(Service::Sts, Fault::status(503, "").times(3));
        let outcome = delivers(&stage, &["--log-level", level]);
        let seen: Vec<_> = outcome.events().iter().map(|event| event.severity().to_owned()).collect();
        assert_eq!(seen, severities, "{level}");
    }
    refused(&stage, &["--log-level", "error", "--role-arn", "x"], &["is no role ARN"]);
}
