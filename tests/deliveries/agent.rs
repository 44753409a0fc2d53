//! `fedboot agent`: the same without a command, for shells, for containers beside others and before them.

use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fedboot_sandbox::{Fault, Sandbox, Service};

use crate::common::agents::{Agent, Front, agent_with, exported, pid_in, within_patience};
use crate::common::launch::{children_of, descriptors_of, environment_of, gone, has, kill, may_unshare};
use crate::common::{Stage, agents_of, binary, eventually, wait, write};
use crate::{ASSUME_ROLE, URI, arn, asked, aws, filed, live_key, mode, names_in, newest, newest_key, refused};
use crate::{role_of, short_lived, wait_for, with_roles};

impl Agent {
    /// The key that its endpoint answers, if it is live.
    fn live_key(&self, stage: &Stage) -> Option<String> {
        live_key(stage, &self.variable(URI), "")
    }

    /// It takes its files with it.
    #[track_caller]
    fn ends(self, stage: &Stage) {
        gone(self.pid);
        assert_eq!(names_in(aws(stage)), ["credentials"]);
    }
}

impl Front {
    #[track_caller]
    fn ends(mut self, stage: &Stage) {
        assert_eq!(wait(&mut self.child).code(), Some(0));
        assert_eq!(names_in(aws(stage)), ["credentials"]);
    }
}

#[test]
fn as_ssh_agent_does_it() {
    for shell in ["bash", "dash"] {
        if !has("as_ssh_agent_does_it", shell) {
            continue;
        }
        let mut stage = Stage::new();
        let file = stage.directory.path().join("it's \"a\" $(x) `y` \\/credentials");
        stage.set("AWS_ACCESS_KEY_ID", "inherited").set("AWS_PROFILE", "inherited");
        stage.set("AWS_SHARED_CREDENTIALS_FILE", &file);
        // A child of the shell has it all.
        let script = r#"set -eu; eval "$("$0" agent)" || exit 9; sh -c 'env | sed "s/^/export /"'"#;
        let agent = Agent::of(within_patience(stage.wrapper(shell).args(["-c", script]).arg(binary())));
        assert_eq!(agent.live_key(&stage), Some(newest_key(&stage)), "{shell}");
        assert_eq!(agent.variable("AWS_PROFILE"), "fedboot");
        assert_eq!(agent.variable("AWS_SHARED_CREDENTIALS_FILE"), file.display().to_string());
        assert_eq!(exported(&agent.exports, "AWS_ACCESS_KEY_ID"), None);
        kill(agent.pid, libc::SIGTERM);
        gone(agent.pid);
    }
}

#[test]
fn it_holds_nothing_of_the_callers() {
    let stage = Stage::new();
    let agent = Agent::start(&stage, "");
    assert_eq!(agent.live_key(&stage), Some(newest_key(&stage)));
    let open = descriptors_of(agent.pid);
    assert!(open.range(0..3).all(|(_, target)| target == "/dev/null"), "{open:?}");
    assert!(!open.values().any(|target| target.starts_with("pipe:")), "{open:?}");
    assert_eq!(fs::read_link(format!("/proc/{}/cwd", agent.pid)).expect("a directory"), std::path::Path::new("/"));
    assert!(agent.stderr.contains("AWS credentials are ready"), "{}", agent.stderr);
    stage.assert_no_secret(&agent.stderr);
    // For a shell to read, each line is a command.
    let is_command = |line: &str| line.ends_with(';') && (line.starts_with("export ") || line.starts_with("unset "));
    assert!(agent.exports.lines().all(is_command), "{}", agent.exports);
}

#[test]
fn signals_end_it() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let stage = Stage::new();
        let agent = Agent::start(&stage, "");
        kill(agent.pid, signal);
        agent.ends(&stage);
        let front = Front::start(&mut agent_with(&stage, "--foreground"));
        kill(front.child.id(), signal);
        front.ends(&stage);
    }
}

#[test]
fn signals_end_it_as_pid_1() {
    let flags = ["--pid", "--fork", "--mount-proc"];
    if !may_unshare("signals_end_it_as_pid_1", &flags) {
        return;
    }
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let stage = Stage::new();
        let mut unshare = stage.wrapper("unshare");
        unshare.args(flags).args(["--kill-child", "--"]).arg(binary()).args(["agent", "--foreground"]);
        let front = Front::start(&mut unshare);
        assert_eq!(pid_in(&front.exports), 1);
        kill(children_of(front.child.id())[0], signal);
        front.ends(&stage);
    }
}

/// `eval` of nothing would be a success.
#[test]
fn a_failure_is_noticed() {
    let mut stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::error("AccessDenied").always()));
    let outcome = stage.run(["agent"]);
    outcome.assert_failed(1, &["AccessDenied", "trust policy"]);
    assert_eq!(outcome.stdout, "false\n");
    let mut shell = stage.wrapper("sh");
    shell.args(["-c", r#"eval "$("$0" agent)" || exit 9"#]).arg(binary()).stdin(Stdio::null());
    assert_eq!(within_patience(&mut shell).code(), Some(9));
    stage.run(["agent", "--foreground"]).assert_failed(1, &["AccessDenied", "trust policy"]);
    // Unless it shall go on trying.
    let agent = Agent::start(&stage, "--on-failure run");
    assert_eq!(agent.live_key(&stage), None);
    stage.sandbox.clear_faults();
    eventually("it has some", || agent.live_key(&stage).is_some());
    for line in ["agent --timeot=5", "agent --role-arn x", "agent x", "agent -- touch ran"] {
        assert_eq!(refused(&stage, 2, line, &[]).stdout, "false\n", "{line}");
    }
    for options in ["--foreground", "--follow-pid 1", "--log-file x"] {
        refused(&stage, 125, &format!("{options} -- touch ran"), &["has no meaning here"]);
    }
    stage.set("FEDBOOT_ROLE_ARN", "x");
    refused(&stage, 2, "agent --foreground", &["is no role ARN"]);
}

/// Somebody pressed ^C: what nobody knows of must not stay.
#[test]
fn nobody_waits_for_it() {
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::delay(Duration::from_secs(2))));
    let mut child = agent_with(&stage, "").spawn().expect("fedboot starts");
    eventually("STS is asked", || !stage.sandbox.requests_to(Service::Sts).is_empty());
    let home = [b"HOME=", stage.home().as_os_str().as_bytes()].concat();
    let pid = agents_of(0).into_iter().find(|pid| environment_of(*pid).contains(&home)).expect("an agent");
    let _agent = Agent { pid, exports: String::new(), stderr: String::new() };
    kill(child.id(), libc::SIGTERM);
    assert_eq!(wait(&mut child).code(), None);
    gone(pid);
    assert!(!names_in(aws(&stage)).iter().any(|name| name.starts_with(".fedboot")));
}

#[test]
fn it_follows() {
    let stage = Stage::new();
    let sleep = || Command::new("sleep").arg("1000").spawn().expect("sleep");
    let followed = |mut child: Child, agent: Agent| {
        assert!(agent.live_key(&stage).is_some());
        child.kill().and_then(|()| child.wait()).expect("killed");
        agent.ends(&stage);
    };
    let child = sleep();
    let pid = child.id().to_string();
    followed(child, Agent::start(&stage, &format!("--follow-pid {pid}")));
    // A container that is there before the main one knows its pid file alone. It looks once a second; a process that
    // ends before that has ended all the same.
    let (child, file) = (sleep(), stage.directory.path().join("pid"));
    let agent = Agent::start(&stage, "--follow-pid pid");
    write(&file, "");
    write(&file, format!("{}\n", child.id()));
    followed(child, agent);
    for pid in [pid.as_str(), "0", "-1", "999999999"] {
        refused(&stage, 2, &format!("agent --follow-pid={pid}"), &["--follow-pid", pid, "no such process"]);
    }
}

#[test]
fn its_log() {
    let stage = short_lived(4, Sandbox::builder());
    let (log, stderr) = (stage.directory.path().join("log"), stage.directory.path().join("stderr"));
    let read = |file| fs::read_to_string(file).expect("a log");
    let agent = Agent::start(&stage, "--log-file log --log-format text");
    assert_eq!((agent.stderr.as_str(), mode(&log)), ("", 0o600));
    // A file that is stderr already is not given up.
    let mut to_file = agent_with(&stage, "");
    let _other = Agent::of(within_patience(to_file.stderr(fs::File::create(&stderr).expect("a file"))));
    for file in [&log, &stderr] {
        eventually("a refresh is logged", || read(file).contains("credentials are refreshed"));
        stage.assert_no_secret(&read(file));
    }
    let _in_home = Agent::start(&stage, "--log-file ~/log");
    eventually("it is written", || stage.home().join("log").exists());
    assert!(!names_in(stage.directory.path()).iter().any(|name| name == "~"));
    let problem = ["--log-file", "cannot be opened: no such file"];
    refused(&stage, 2, "agent --log-file no/such/directory/log", &problem);
}

#[test]
fn in_front() {
    let stage = short_lived(4, Sandbox::builder());
    let front = Front::start(&mut agent_with(&stage, "--foreground"));
    let variable = |name: &str| exported(&front.exports, name).unwrap_or_default();
    let (uri, token_file) = (variable(URI), variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"));
    // A container's output stands in its log.
    let token = fs::read_to_string(token_file).expect("a token");
    assert!(!front.exports.contains(&token), "{}", front.exports);
    assert_eq!(pid_in(&front.exports), front.child.id());
    let first = live_key(&stage, &uri, &token).expect("live credentials");
    eventually("it is refreshed", || live_key(&stage, &uri, &token).is_some_and(|key| key != first));
}

/// As an init container, which ends before the main one starts.
#[test]
fn in_front_once() {
    let stage = Stage::new();
    for delivery in ["file", "file,process", "env,file"] {
        let outcome =
            within_patience(&mut agent_with(&stage, &format!("--foreground --no-refresh --delivery {delivery}")));
        // What stands in a container's log is read by many.
        let issued = newest(&stage);
        for secret in [&issued.secret_access_key, &issued.session_token] {
            assert!(!outcome.stdout.contains(secret), "{delivery}: {}", outcome.stdout);
        }
        if delivery.contains("env") {
            continue;
        }
        outcome.assert_succeeded();
        assert_eq!(filed(&stage, "default"), Some(issued.access_key_id), "{delivery}");
        assert!(outcome.stderr.contains("they are not refreshed"), "{delivery}: {}", outcome.stderr);
        assert_eq!(asked(&stage, ASSUME_ROLE), stage.sandbox.issued().len());
    }
}

#[test]
fn modes() {
    for (text, file, directory) in
        [("0600", 0o600, 0o700), ("600", 0o600, 0o700), ("0640", 0o640, 0o750), ("0644", 0o644, 0o755)]
    {
        let stage = Stage::new();
        let agent = Agent::start(&stage, &format!("--file-mode {text}"));
        let token_file = agent.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        assert_eq!((mode(stage.credentials_file()), mode(token_file)), (file, file), "{text}");
        assert_eq!(mode(aws(&stage)), directory, "{text}");
    }
    let stage = short_lived(4, Sandbox::builder());
    for text in ["0666", "0777", "0400", "0", "u=rw", "0x180", "-600", "9", "99999999999"] {
        refused(&stage, 2, &format!("agent --file-mode={text}"), &["--file-mode is no mode", "0640 for a group"]);
    }
    // It stays so with each refresh, whatever somebody makes of it.
    let _agent = Agent::start(&stage, "--file-mode 0640");
    fs::set_permissions(stage.credentials_file(), Permissions::from_mode(0o600)).expect("a mode");
    wait_for(&stage, 2, ASSUME_ROLE);
    eventually("its mode is put back", || mode(stage.credentials_file()) == 0o640);
}

/// Two agents for two roles, as two shells may have them.
#[test]
fn two_of_them() {
    let stage = Stage::with(with_roles(&["fedboot-demo", "other"]));
    let one = Agent::start(&stage, "");
    let two = Agent::start(&stage, &format!("--role-arn {} --aws-profile other", arn("other")));
    let role = |agent: &Agent| role_of(&stage, &agent.live_key(&stage).expect("live credentials"));
    assert_eq!((role(&one), role(&two)), (arn("fedboot-demo"), arn("other")));
    let text = stage.credentials_text();
    assert!(text.contains("[fedboot]") && text.contains("[other]"), "{text}");
    kill(one.pid, libc::SIGTERM);
    gone(one.pid);
    assert_eq!(role(&two), arn("other"));
}
