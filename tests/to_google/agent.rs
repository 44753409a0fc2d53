//! `fedboot agent` and `fedboot status` on the way to Google: for shells, startup scripts, init containers, notebooks.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fedboot_sandbox::{Fault, Sandbox, Service};
use serde_json::Value;

use crate::common::agents::{Agent, Front, agent_with, exported, within_patience};
use crate::common::launch::{descriptors_of, gone, has, kill};
use crate::common::{Outcome, Stage, asked, binary, eventually, wait};
use crate::{
    ACCESS, ACCOUNT, EXCHANGE, ID, cost, info, is_live, printed, refused, run, short_lived, side_by_side, simple, web,
    without_account, words,
};

impl Agent {
    fn address(&self) -> String {
        self.variable("GCE_METADATA_HOST")
    }
}

/// What another shell with the same home says, and its exit code.
fn status(stage: &Stage, line: &str) -> Outcome {
    let mut command = Command::new(binary());
    command.args(words(&format!("status {line}"))).env_clear().env("HOME", stage.home()).current_dir("/");
    command.output().expect("fedboot").into()
}

fn roles(stage: &Stage) -> (Vec<Value>, Option<i32>) {
    let outcome = status(stage, "--format json");
    let json: Value =
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.stderr));
    stage.assert_no_secret(&outcome.stdout);
    let agents = json["agents"].as_array().expect("agents").iter();
    (agents.flat_map(|agent| agent["roles"].as_array().expect("roles")).cloned().collect(), outcome.code())
}

#[test]
fn as_a_startup_script_does_it() {
    for shell in ["bash", "dash"] {
        if !has("as_a_startup_script_does_it", shell) {
            continue;
        }
        let stage = simple();
        let script = r#"set -eu; eval "$("$0" agent)" || exit 9
                        sh -c 'env | sed "s/^/export /"'"#;
        let mut command = stage.wrapper(shell);
        let agent = Agent::of(within_patience(command.args(["-c", script]).arg(binary())));
        assert!(is_live(&stage, &web::access_token(&agent.address()).0), "{shell}");
        assert_eq!(exported(&agent.exports, "GOOGLE_APPLICATION_CREDENTIALS"), None, "{shell}");
        assert_eq!(agent.variable("GCE_METADATA_ROOT"), agent.address());
        kill(agent.pid, libc::SIGTERM);
        gone(agent.pid);
        assert!(std::net::TcpStream::connect(agent.address()).is_err());
    }
}

#[test]
fn what_it_prints_and_holds() {
    let stage = simple();
    let agent = Agent::start(&stage, "--delivery metadata,access-token-file");
    let is_command = |line: &str| line.ends_with(';') && (line.starts_with("export ") || line.starts_with("unset "));
    assert!(agent.exports.lines().all(is_command), "{}", agent.exports);
    for name in ["GOOGLE_APPLICATION_CREDENTIALS", "NO_GCE_CHECK"] {
        assert!(agent.exports.lines().any(|line| line == format!("unset {name};")), "{}", agent.exports);
    }
    stage.assert_no_secret(&agent.exports);
    stage.assert_no_secret(&agent.stderr);
    assert!(agent.stderr.contains("Google credentials are ready"), "{}", agent.stderr);
    let open = descriptors_of(agent.pid);
    assert!(open.range(0..3).all(|(_, target)| target == "/dev/null"), "{open:?}");
    assert_eq!(fs::read_link(format!("/proc/{}/cwd", agent.pid)).expect("a directory"), Path::new("/"));
    let file = agent.variable("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE");
    assert!(is_live(&stage, &fs::read_to_string(&file).expect("a token")));
    kill(agent.pid, libc::SIGTERM);
    gone(agent.pid);
    assert!(!Path::new(&file).exists(), "it is left");
}

/// In front, as a sidecar or under systemd, with each delivery.
#[test]
fn in_front() {
    let rows = ["", "--delivery metadata", "--delivery access-token-file", "--delivery metadata,access-token-file"];
    side_by_side(rows, |delivery| {
        let stage = short_lived(4, Sandbox::builder());
        let mut front = Front::start(&mut agent_with(&stage, &format!("--foreground {delivery}")));
        let pid = exported(&front.exports, "FEDBOOT_AGENT_PID");
        assert_eq!(pid, Some(front.child.id().to_string()), "{delivery:?}: {}", front.exports);
        stage.assert_no_secret(&front.exports);
        let before = asked(&stage, ACCESS);
        eventually("it is refreshed", || asked(&stage, ACCESS) > before);
        kill(front.child.id(), libc::SIGTERM);
        assert_eq!(wait(&mut front.child).code(), Some(0), "{delivery:?}");
    });
    // Once, as an init container.
    let stage = simple();
    let outcome =
        run(&stage, "agent --foreground --no-refresh --delivery access-token-file --access-token-file shared/token");
    outcome.assert_succeeded();
    assert!(is_live(&stage, &fs::read_to_string(stage.directory.path().join("shared/token")).expect("it stays")));
    stage.assert_no_secret(&outcome.stdout);
}

#[test]
fn a_failure_is_noticed() {
    let stage = simple();
    stage.sandbox.fault(Service::GoogleSts, Fault::error("unauthorized_client").always());
    let outcome = run(&stage, "agent");
    outcome.assert_failed(1, &["unauthorized_client", "attribute condition"]);
    assert_eq!(outcome.stdout, "false\n");
    run(&stage, "agent --foreground").assert_failed(1, &["unauthorized_client"]);
    let agent = Agent::start(&stage, "--on-failure run");
    assert_ne!(web::metadata(&agent.address(), "/instance/service-accounts/default/token").status, 200);
    assert_eq!(roles(&stage).1, Some(2));
    stage.sandbox.clear_faults();
    eventually("it has one", || {
        web::metadata(&agent.address(), "/instance/service-accounts/default/token").status == 200
    });
    assert_eq!(roles(&stage).1, Some(0));
}

#[test]
fn it_follows_a_process() {
    let stage = simple();
    let mut followed = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("sleep");
    let agent = Agent::start(&stage, &format!("--follow-pid {}", followed.id()));
    assert!(is_live(&stage, &web::access_token(&agent.address()).0));
    followed.kill().and_then(|()| followed.wait()).expect("killed");
    gone(agent.pid);
}

/// The same place for a DAG's tasks that come and go: a port that is known, and an agent that is there already.
#[test]
fn one_after_the_other_on_one_port() {
    let stage = simple();
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let options = format!("--metadata-port {port}");
    let agent = Agent::start(&stage, &options);
    let outcome = refused(
        &stage,
        1,
        &format!("agent {options}"),
        &["open the metadata server", &port.to_string(), "another agent"],
    );
    assert_eq!(outcome.stdout, "false\n");
    assert!(is_live(&stage, &web::access_token(&agent.address()).0), "the first one is as it was");
    kill(agent.pid, libc::SIGTERM);
    gone(agent.pid);
    let again = Agent::start(&stage, &options);
    assert_eq!(again.address(), agent.address());
}

/// Two agents for two accounts in one home do not hand out each other's tokens.
#[test]
fn two_of_them() {
    let other = "other@demo-project.iam.gserviceaccount.com";
    let builder = Sandbox::builder().impersonable(other).settings(|settings| {
        for email in [ACCOUNT, other] {
            let member = format!("principalSet://iam.googleapis.com/{}/*", crate::POOL);
            settings.workload_identity_users.insert(email.into(), vec![member]);
        }
    });
    let stage = crate::at_with(fedboot_sandbox::AwsPlace::Environment, builder);
    let more = format!("--impersonate-service-account {other}");
    let (one, two) = (Agent::start(&stage, ""), Agent::start(&stage, &more));
    assert_eq!(cost(&stage), [2, 2, 0]);
    for (agent, flags, email) in [(&one, "", ACCOUNT), (&two, more.as_str(), other)] {
        let token = web::access_token(&agent.address()).0;
        assert_eq!(info(&stage, &token)["email"], email);
        assert_eq!(printed(&stage, &format!("token access {flags}")), token);
    }
    assert_eq!(cost(&stage), [2, 2, 0], "each from its agent");
    let (of, code) = roles(&stage);
    let mut emails: Vec<_> = of.iter().map(|role| role["service_account"].as_str().expect("an address")).collect();
    emails.sort_unstable();
    assert_eq!((emails, code), (vec![other, ACCOUNT], Some(0)));
    kill(one.pid, libc::SIGTERM);
    gone(one.pid);
    // The one that is left does not stand in for it.
    assert_eq!(info(&stage, &printed(&stage, "token access"))["email"], ACCOUNT);
    assert_eq!(asked(&stage, EXCHANGE), 3);
    assert_eq!(asked(&stage, ID), 0);
}

#[test]
fn how_it_stands() {
    let stage = simple();
    assert_eq!(status(&stage, "").code(), Some(2));
    for delivery in ["metadata", "access-token-file", "metadata,access-token-file"] {
        let agent = Agent::start(&stage, &format!("--delivery {delivery}"));
        let outcome = status(&stage, "");
        assert_eq!((outcome.code(), outcome.stderr.as_str()), (Some(0), ""), "{delivery}: {}", outcome.stdout);
        assert_eq!(outcome.stdout.lines().count(), 1, "{}", outcome.stdout);
        for part in ["fresh ", ACCOUNT, "expiration=", "last_refresh=", "next_refresh=", "failures=0"] {
            assert!(outcome.stdout.contains(part), "no {part} in {}", outcome.stdout);
        }
        stage.assert_no_secret(&outcome.stdout);
        let (of, _) = roles(&stage);
        assert_eq!(of.len(), 1, "{delivery}");
        let text = |name: &str| of[0][name].as_str().unwrap_or_default();
        assert_eq!((text("state"), text("service_account"), text("last_error")), ("fresh", ACCOUNT, ""), "{of:?}");
        assert!(text("last_refresh") < text("next_refresh") && text("next_refresh") < text("expiration"), "{of:?}");
        kill(agent.pid, libc::SIGTERM);
        gone(agent.pid);
        assert_eq!(status(&stage, "").code(), Some(2));
    }
    // In the agent's own environment, a container's, its options stand in variables.
    let mut stage = simple();
    stage.set("FEDBOOT_DELIVERY", "metadata,access-token-file").set("FEDBOOT_SCOPE", crate::CLOUD_PLATFORM);
    let _agent = Agent::start(&stage, "");
    let outcome = run(&stage, "status");
    assert_eq!(outcome.code(), Some(0), "{}{}", outcome.stdout, outcome.stderr);
    // The pool, where there is no account.
    let mut stage = simple();
    without_account(&mut stage);
    let _agent = Agent::start(&stage, "");
    let outcome = status(&stage, "");
    assert!(outcome.code() == Some(0) && outcome.stdout.contains(crate::POOL), "{}{}", outcome.stdout, outcome.stderr);
}

#[test]
fn stale_then_none_then_fresh() {
    let stage = short_lived(6, Sandbox::builder());
    let agent = Agent::start(&stage, "--log-file log");
    stage.sandbox.fault(Service::GoogleSts, Fault::error("invalid_target").always());
    stage.sandbox.fault(Service::IamCredentials, Fault::status(503, "overloaded").always());
    eventually("a refresh has failed", || roles(&stage).1 == Some(1));
    let (of, _) = roles(&stage);
    assert!(
        of[0]["failures"].as_u64() >= Some(1) && of[0]["last_error"].as_str().is_some_and(|error| !error.is_empty()),
        "{of:?}"
    );
    let text = status(&stage, "").stdout;
    assert!(text.starts_with("stale ") && text.contains("last_error=cannot "), "{text}");
    stage.assert_no_secret(&text);
    eventually("it ends", || roles(&stage).1 == Some(2));
    let log = || fs::read_to_string(stage.directory.path().join("log")).expect("a log");
    stage.sandbox.clear_faults();
    let start = Instant::now();
    eventually("it recovers", || roles(&stage).1 == Some(0));
    assert!(start.elapsed() < Duration::from_secs(20), "nobody has a token for {:?}", start.elapsed());
    assert!(log().contains("WARNING"), "{}", log());
    stage.assert_no_secret(&log());
    assert!(is_live(&stage, &web::access_token(&agent.address()).0));
}
