//! How things stand: `fedboot status` for people and probes, `GET /status` for programs.

use std::fs;
use std::process::Command;

use fedboot_sandbox::{Fault, Sandbox, Service};
use serde_json::Value;

use crate::common::agents::Agent;
use crate::common::launch::{gone, kill, may_unshare, stop};
use crate::common::web::parts;
use crate::common::{Outcome, Stage, binary, eventually};
use crate::{Environment, URI, arn, aws, environment, get, hold, newest, newest_key, refused, short_lived, with_roles};

/// `fedboot status` in this environment alone.
fn ask(environment: &Environment, options: &[&str]) -> Outcome {
    let mut command = Command::new(binary());
    command.arg("status").args(options).env_clear().current_dir("/").envs(environment.iter().cloned());
    command.output().expect("fedboot starts").into()
}

/// Another shell knows no more than this.
fn home(stage: &Stage) -> Environment {
    vec![("HOME".into(), stage.home().display().to_string())]
}

/// What it says of the roles, and its exit code.
fn roles(environment: &Environment) -> (Vec<Value>, Option<i32>) {
    let outcome = ask(environment, &["--format", "json"]);
    let json: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|e| panic!("{e}: {}", outcome.stderr));
    let agents = json["agents"].as_array().expect("agents").iter();
    (agents.flat_map(|agent| agent["roles"].as_array().expect("roles")).cloned().collect(), outcome.code())
}

fn by_home(stage: &Stage) -> (Vec<Value>, Option<i32>) {
    roles(&home(stage))
}

fn says(role: &Value, name: &str, part: &str) -> bool {
    role[name].as_str().is_some_and(|text| text.contains(part))
}

#[test]
fn fresh() {
    for delivery in ["file,endpoint", "endpoint", "file", "process"] {
        let stage = Stage::new();
        let held = hold(&stage, &format!("--delivery {delivery} --role-session-name me"));
        let issued = newest(&stage);
        let expiration = fedboot::system::log::timestamp(issued.expires_at);
        for environment in [environment(&held), home(&stage)] {
            let outcome = ask(&environment, &[]);
            assert_eq!((outcome.code(), outcome.stderr.as_str()), (Some(0), ""), "{delivery}: {}", outcome.stdout);
            let parts = ["fresh ", &issued.role_arn, "session=me", &issued.access_key_id, &expiration];
            let parts = parts.into_iter().chain(["last_refresh=", "next_refresh=", "failures=0"]);
            assert!(parts.into_iter().all(|part| outcome.stdout.contains(part)), "{delivery}: {}", outcome.stdout);
            assert_eq!(outcome.stdout.lines().count(), 1);
            stage.assert_no_secret(&outcome.stdout);
            let (roles, code) = roles(&environment);
            assert_eq!((roles.len(), code), (1, Some(0)), "{delivery}: {roles:?}");
            for (name, value) in [
                ("state", "fresh".into()),
                ("profile", Value::Null),
                ("role", issued.role_arn.as_str().into()),
                ("session", "me".into()),
                ("access_key_id", issued.access_key_id.as_str().into()),
                ("expiration", expiration.as_str().into()),
                ("failures", 0.into()),
                ("last_error", "".into()),
            ] {
                assert_eq!(roles[0][name], value, "{delivery}: {name} in {roles:?}");
            }
            let time = |name: &str| roles[0][name].as_str().expect(name);
            assert!(time("last_refresh") < time("next_refresh") && time("next_refresh") < time("expiration"));
        }
        held.release(&stage).assert_succeeded();
        assert_eq!(ask(&home(&stage), &[]).code(), Some(2), "{delivery}");
    }
}

#[test]
fn stale_then_none_then_fresh() {
    let stage = short_lived(8, Sandbox::builder());
    let held = hold(&stage, "");
    stage.sandbox.fault(Service::Sts, Fault::error("AccessDenied").always());
    eventually("a refresh has failed", || by_home(&stage).1 == Some(1));
    let (of, _) = by_home(&stage);
    assert!(says(&of[0], "state", "stale") && says(&of[0], "access_key_id", &newest_key(&stage)), "{of:?}");
    assert!(of[0]["failures"].as_u64() >= Some(1) && says(&of[0], "last_error", "AccessDenied"), "{of:?}");
    let text = ask(&environment(&held), &[]).stdout;
    assert!(text.starts_with("stale ") && text.contains("last_error=cannot assume role"), "{text}");
    stage.assert_no_secret(&text);
    eventually("they expire", || by_home(&stage).1 == Some(2));
    assert!(ask(&home(&stage), &[]).stdout.starts_with("none "));
    stage.sandbox.clear_faults();
    eventually("it recovers", || by_home(&stage).1 == Some(0));
    assert_eq!(by_home(&stage).0[0]["failures"], 0);
    held.release(&stage).assert_succeeded();
}

#[test]
fn none() {
    let stage = Stage::new();
    let nothing = ask(&home(&stage), &[]);
    assert_eq!((nothing.code(), nothing.stderr.as_str()), (Some(2), ""));
    assert!(nothing.stdout.starts_with("none: no agent"), "{}", nothing.stdout);
    assert_eq!(by_home(&stage), (vec![], Some(2)));
    assert!(!aws(&stage).exists(), "a question makes no directory");
    let held = hold(&stage, "");
    assert_eq!(by_home(&stage).1, Some(0));
    held.kill_agent_for_good();
    eventually("it is gone", || by_home(&stage) == (vec![], Some(2)));
    held.release(&stage).assert_succeeded();
    for option in ["--role-arn x", "--delivery file", "--timeout 5", "--on-failure run", "--no-refresh", "--scope x"] {
        refused(&stage, 2, &format!("status {option}"), &["has no meaning here"]);
    }
    for line in ["status --format xml", "status --formt json", "status x", "status -- touch ran"] {
        refused(&stage, 2, line, &[]);
    }
}

/// The command starts without, and a probe sees it.
#[test]
fn none_yet() {
    let stage = Stage::new();
    stage.sandbox.fault(Service::Sts, Fault::error("AccessDenied").always());
    let held = hold(&stage, "--on-failure run");
    let (of, code) = by_home(&stage);
    assert_eq!((code, &of[0]["state"], &of[0]["access_key_id"]), (Some(2), &"none".into(), &"".into()));
    assert!(says(&of[0], "last_error", "AccessDenied"), "{of:?}");
    stage.sandbox.clear_faults();
    eventually("it has some", || by_home(&stage).1 == Some(0));
    held.release(&stage).assert_succeeded();
}

#[test]
fn at_the_endpoint() {
    let stage = Stage::new();
    let agent = Agent::start(&stage, "");
    let uri = agent.variable(URI);
    let (address, _, token) = parts(&uri);
    let (status, body) = get(&format!("{uri}/status"), "").expect("an answer");
    let json: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &json["agent"]), (200, &agent.pid.into()));
    assert!(says(&json["roles"][0], "access_key_id", &newest_key(&stage)), "{json}");
    assert_eq!(json["roles"], Value::from(by_home(&stage).0));
    stage.assert_no_secret(&body);
    assert!(!body.contains(token));
    assert_eq!(get(&format!("http://{address}/status"), token).map(|(status, _)| status), Some(200));
    for wrong in ["", "x", &token[1..]] {
        let (status, body) = get(&format!("http://{address}/status"), wrong).expect("an answer");
        assert!(status == 401 && !body.contains("arn:"), "{status} {body}");
    }
}

#[test]
fn of_several_roles_and_agents() {
    let stage = Stage::with(with_roles(&["fedboot-demo", "reader"]));
    let first = format!("--role-arn {}", arn("fedboot-demo"));
    let held = hold(&stage, &format!("{first} --role-arn reader={} --require reader", arn("reader")));
    let (of, code) = by_home(&stage);
    assert_eq!((of.len(), code, &of[0]["profile"], &of[1]["profile"]), (2, Some(0), &Value::Null, &"reader".into()));
    assert!(says(&of[0], "role", "fedboot-demo") && says(&of[1], "role", "reader"), "{of:?}");
    // Another agent beside it, one of whose roles has nothing: the worst counts.
    let other = hold(&stage, &format!("{first} --role-arn none={}", arn("nobody")));
    eventually("it was refused", || by_home(&stage).0.iter().any(|role| role["failures"].as_u64() >= Some(1)));
    let (of, code) = by_home(&stage);
    assert_eq!((of.len(), code), (4, Some(2)), "{of:?}");
    let text = ask(&home(&stage), &[]).stdout;
    let count = |part: &str| text.matches(part).count();
    assert_eq!((text.lines().count(), count("fresh "), count("profile=none")), (4, 3, 1), "{text}");
    let bad = of.iter().find(|role| role["profile"] == "none").expect("a role");
    assert!(says(bad, "last_error", "AccessDenied") && says(bad, "role", &arn("nobody")), "{bad}");
    other.release(&stage).assert_succeeded();
    assert_eq!(by_home(&stage).1, Some(0));
    held.release(&stage).assert_succeeded();
}

/// A container's variable that no shell has seen, asked from the container and from the command.
#[test]
fn by_a_name_in_the_home() {
    let mut stage = Stage::new();
    stage.set("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/keys");
    let held = stage.hold(&["--delivery", "file"]);
    let mut of_container = home(&stage);
    of_container.push(("AWS_SHARED_CREDENTIALS_FILE".into(), "~/.aws/keys".into()));
    // One that does not answer is found by its key alone.
    kill(held.agent(), libc::SIGSTOP);
    for environment in [of_container, environment(&held)] {
        let outcome = ask(&environment, &[]);
        assert!(outcome.stdout.contains("does not answer"), "{}", outcome.stdout);
    }
    kill(held.agent(), libc::SIGCONT);
    held.release(&stage).assert_succeeded();
}

/// A probe looks where the agent was told to write.
#[test]
fn elsewhere() {
    let stage = Stage::new();
    let file = stage.directory.path().join("volume/credentials").display().to_string();
    let held = stage.hold(&["--credentials-file", &file]);
    assert_eq!(ask(&environment(&held), &[]).code(), Some(0));
    assert_eq!(ask(&home(&stage), &["--credentials-file", &file]).code(), Some(0));
    assert_eq!(ask(&home(&stage), &[]).code(), Some(2));
    // A disk that is gone, or full, does not make an agent that serves look dead.
    fs::remove_dir_all(stage.directory.path().join("volume")).expect("gone");
    assert_eq!(ask(&environment(&held), &[]).code(), Some(0));
    held.release(&stage).assert_succeeded();
}

/// Containers that share a network see each other's sockets: an agent counts where it keeps the same directory, whatever
/// that is called there, and not where another one has the same name.
#[test]
fn from_another_container() {
    if !may_unshare("from_another_container", &["--mount"]) {
        return;
    }
    let stage = Stage::new();
    let held = hold(&stage, "");
    let (home, other) = (stage.home(), stage.directory.path().join("other"));
    fs::create_dir_all(other.join(".aws")).expect("a directory");
    let (home, other) = (home.display(), other.display());
    for (mount, at, code) in [
        ("true".to_owned(), home.to_string(), 0),
        (format!("mount --bind {home} {other}"), other.to_string(), 0),
        (format!("mount --bind {other} {home}"), home.to_string(), 2),
    ] {
        let mut command = stage.wrapper("unshare");
        let script = format!("{mount} && cd / && HOME={at} exec {} status", binary().display());
        let outcome: Outcome = command.args(["--mount", "sh", "-c", &script]).output().expect("unshare starts").into();
        assert_eq!(outcome.code(), Some(code), "{mount}: {}{}", outcome.stdout, outcome.stderr);
    }
    held.release(&stage).assert_succeeded();
}

/// A probe must not take an agent that is only slow for none.
#[test]
fn an_agent_that_does_not_answer() {
    let stage = Stage::new();
    let held = hold(&stage, "");
    let agent = held.agent();
    stop(agent);
    let outcome = ask(&home(&stage), &[]);
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stdout);
    assert!(outcome.stdout.starts_with("stale: ") && outcome.stdout.contains("does not answer"), "{}", outcome.stdout);
    kill(agent, libc::SIGCONT);
    eventually("it answers", || by_home(&stage).1 == Some(0));
    held.release(&stage).assert_succeeded();
    gone(agent);
}
