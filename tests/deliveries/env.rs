//! `fedboot env`: what an agent's command was given, for shells that know nothing of it.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use fedboot_sandbox::{AwsPlace, Fault, Sandbox, Service};

use crate::common::agents::{Agent, agent_with, exported, within_patience};
use crate::common::launch::{Held, kill, may_unshare, skip, stop};
use crate::common::{Outcome, Stage, agents_of, binary, eventually};
use crate::{hold, refused};

/// Another user, of whom nothing else runs.
const STRANGER: u32 = 54_321;

/// `fedboot VERB` in a shell that knows the home alone.
fn question(stage: &Stage, verb: &str, options: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg(verb).args(options).env_clear().env("HOME", stage.home()).current_dir("/");
    command
}

fn ask(stage: &Stage, options: &[&str]) -> Outcome {
    question(stage, "env", options).output().expect("fedboot starts").into()
}

/// What it says where there is nothing to print: one line on stderr, and `false` for the shell that evaluates it.
#[track_caller]
fn assert_none(outcome: &Outcome, code: i32, parts: &[&str]) {
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (Some(code), "false\n"), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    for part in parts {
        assert!(outcome.stderr.contains(part), "no {part:?} in {}", outcome.stderr);
    }
}

/// The variables of a shell with `preset` after it has evaluated what is printed for the stage's home.
#[track_caller]
fn evaluated(stage: &Stage, preset: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"eval "$(HOME="$1" "$0" env)" && exec env -0"#]).arg(binary()).arg(stage.home());
    let output = shell.env_clear().envs(preset).output().expect("sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    // What a shell sets by itself is not what is compared.
    let entries = text.split('\0').filter_map(|entry| entry.split_once('=')).filter(|(name, _)| !own(name));
    entries.map(|(name, value)| (name.into(), value.into())).collect()
}

fn own(name: &str) -> bool {
    ["PWD", "OLDPWD", "SHLVL", "_"].contains(&name)
}

fn variables(entries: &[Vec<u8>]) -> BTreeMap<String, String> {
    let entries = entries.iter().map(|entry| String::from_utf8(entry.clone()).expect("text"));
    let pairs = entries.filter_map(|entry| entry.split_once('=').map(|(name, value)| (name.into(), value.into())));
    pairs.filter(|(name, _): &(String, String)| !own(name)).collect()
}

/// A shell that starts as the container does comes to stand where the command does, both ways.
#[test]
fn a_second_shell_has_what_the_command_has() {
    let to_google = || {
        let mut stage = Stage::with(Sandbox::builder().aws(AwsPlace::Environment));
        for (name, value) in stage.sandbox.env() {
            stage.set(&name, value);
        }
        stage
    };
    for (mut stage, options) in [
        (Stage::new(), ""),
        (Stage::new(), "--delivery endpoint"),
        (Stage::new(), "--delivery file"),
        (Stage::new(), "--delivery process"),
        (Stage::new(), "--delivery token-file"),
        (to_google(), ""),
        (to_google(), "--delivery metadata,access-token-file"),
    ] {
        // What a value may hold, and what the command loses.
        if options != "--delivery process" {
            let file = stage.directory.path().join("it's $(touch ran)`x`/\"keys\\");
            stage.set("AWS_SHARED_CREDENTIALS_FILE", file);
        }
        stage.set("AWS_DEFAULT_PROFILE", "");
        let held = hold(&stage, options);
        let container = variables(&stage.environment());
        for _ in 0..2 {
            assert_eq!(evaluated(&stage, &container), variables(&held.environment), "{options}");
            // The next agent says the same.
            let agent = held.agent();
            kill(agent, libc::SIGKILL);
            eventually("there is another one", || agents_of(held.pid).iter().any(|next| *next != agent));
        }
        held.release(&stage).assert_succeeded();
    }
}

#[test]
fn as_the_agent_printed_it() {
    let stage = Stage::new();
    let agent = Agent::start(&stage, "");
    let outcome = ask(&stage, &[]);
    assert_eq!((outcome.code(), outcome.stdout, outcome.stderr.as_str()), (Some(0), agent.exports.clone(), ""));
    // Without a word of it in what others print.
    let uri = agent.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let secret = uri.rsplit('/').next().expect("a path");
    for format in ["text", "json"] {
        let status = question(&stage, "status", &["--format", format]).output().expect("fedboot starts");
        assert!(!String::from_utf8_lossy(&status.stdout).contains(secret), "{format}");
    }
}

#[test]
fn without_an_agent() {
    let mut stage = Stage::new();
    let held = hold(&stage, "");
    held.kill_agent_for_good();
    held.release(&stage).assert_succeeded();
    if !may_unshare("without_an_agent", &["--mount"]) {
        return;
    }
    // Where the agents of other tests are no neighbours.
    let mut command = stage.wrapper("unshare");
    let outcome = command.arg("--mount").arg(binary()).arg("env").stdin(Stdio::null()).output().expect("unshare");
    let home = stage.credentials_file().display().to_string();
    assert_none(&outcome.into(), 2, &["no agent of user 0", &home, "fedboot agent"]);
    let mut shell = stage.wrapper("unshare");
    shell.args(["--mount", "sh", "-c", r#"eval "$("$0" env)" || exit 9"#]).arg(binary()).stdin(Stdio::null());
    assert_eq!(within_patience(&mut shell).code(), Some(9));
    for line in ["env --role-arn x", "env --format json", "env --delivery file", "env x", "env -- touch ran"] {
        assert_eq!(refused(&stage, 2, line, &[]).stdout, "false\n", "{line}");
    }
    stage.set("FEDBOOT_TIMEOUT", "x");
    refused(&stage, 2, "env", &["FEDBOOT_TIMEOUT"]);
}

/// One that keeps another file is meant where it is the only one.
#[test]
fn the_only_one_in_the_container() {
    if !may_unshare("the_only_one_in_the_container", &["--mount"]) {
        return;
    }
    let stage = Stage::new();
    let mut command = stage.wrapper("unshare");
    command.arg("--mount").arg(binary()).args(["--credentials-file", "volume/keys", "--", "sh", "-c"]);
    let held = Held::from(command.arg("echo held; read word; exit 0").spawn().expect("unshare"));
    let ask = || -> Outcome {
        let mut command = stage.wrapper("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", held.pid)).arg(binary()).arg("env").stdin(Stdio::null());
        command.output().expect("nsenter").into()
    };
    let outcome = ask();
    outcome.assert_succeeded();
    let uri = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    assert_eq!(exported(&outcome.stdout, uri), Some(held.variable(uri)));
    held.release(&stage).assert_succeeded();
}

#[test]
fn of_several_none_is_chosen() {
    let stage = Stage::new();
    let one = Agent::start(&stage, "");
    let two = Agent::start(&stage, "--credentials-file volume/keys");
    assert_eq!(exported(&ask(&stage, &[]).stdout, "FEDBOOT_AGENT_PID"), Some(one.pid.to_string()));
    let file = stage.directory.path().join("volume/keys").display().to_string();
    let other = ask(&stage, &["--credentials-file", &file]);
    assert_eq!(exported(&other.stdout, "FEDBOOT_AGENT_PID"), Some(two.pid.to_string()));
    let three = Agent::start(&stage, "");
    assert_none(&ask(&stage, &[]), 2, &["several", &one.pid.to_string(), &three.pid.to_string(), "--credentials-file"]);
}

/// One for each cloud in front of the same command is no contradiction.
#[test]
fn of_both_clouds() {
    let stage = Stage::new();
    let mut other = Stage::with(Sandbox::builder().aws(AwsPlace::Environment));
    for (name, value) in other.sandbox.env() {
        other.set(&name, value);
    }
    other.set("HOME", stage.home()).unset("AWS_SHARED_CREDENTIALS_FILE");
    let (one, two) = (Agent::start(&other, ""), Agent::start(&stage, ""));
    let printed = ask(&stage, &[]).stdout;
    assert_eq!(printed, format!("{}{}", two.exports, one.exports));
}

/// `docker exec` may come first.
#[test]
fn before_the_first_credentials() {
    let late = Fault::delay(Duration::from_millis(2500));
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, late));
    let mut starting = agent_with(&stage, "");
    thread::scope(|scope| {
        let agent = scope.spawn(|| Agent::of(within_patience(&mut starting)));
        eventually("STS is asked", || !stage.sandbox.requests_to(Service::Sts).is_empty());
        assert_none(&ask(&stage, &["--timeout", "1"]), 1, &["no credentials yet"]);
        assert_eq!(ask(&stage, &[]).stdout, agent.join().expect("an agent").exports);
    });
    // One that the command does not wait for either.
    stage.sandbox.fault(Service::Sts, Fault::error("AccessDenied").always());
    let elsewhere = stage.directory.path().join("volume/keys").display().to_string();
    let options = ["--credentials-file", elsewhere.as_str()];
    let agent = Agent::start(&stage, &format!("--on-failure run {}", options.join(" ")));
    assert_eq!(ask(&stage, &options).stdout, agent.exports);
}

#[test]
fn one_that_does_not_answer() {
    let stage = Stage::new();
    let held = hold(&stage, "");
    let agent = held.agent();
    stop(agent);
    assert_none(&ask(&stage, &["--timeout", "1"]), 1, &["does not answer", "stopped"]);
    kill(agent, libc::SIGCONT);
    held.release(&stage).assert_succeeded();
}

/// `docker exec -u` with another user than the agent's, who hears neither credentials nor how things stand.
#[test]
fn of_another_user() {
    if !nix::unistd::geteuid().is_root() {
        return skip("of_another_user", "not root");
    }
    let stage = Stage::new();
    let held = hold(&stage, "");
    let as_stranger = |verb: &str, options: &[&str]| -> Outcome {
        question(&stage, verb, options).uid(STRANGER).gid(STRANGER).output().expect("fedboot starts").into()
    };
    let parts = ["agents of user 0", "docker exec -u 0", "root"];
    assert_none(&as_stranger("env", &[]), 2, &[&["no agent of user 54321"], &parts[..]].concat());
    let status = as_stranger("status", &[]);
    assert_eq!((status.code(), status.stdout.lines().count()), (Some(2), 1));
    assert!(status.stdout.starts_with("unknown: ") && parts.iter().all(|part| status.stdout.contains(part)));
    let json: serde_json::Value = serde_json::from_str(&as_stranger("status", &["--format", "json"]).stdout).expect("");
    assert_eq!(json, serde_json::json!({"state": "unknown", "agents": [], "others": [0]}));
    held.release(&stage).assert_succeeded();
}
