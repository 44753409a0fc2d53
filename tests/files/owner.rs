//! `--owner`: another user's files at that user's home, made with that user's rights alone.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::agents::{Agent, Front, agent_with};
use crate::common::launch::{HOLD, Held, gone, has, kill, may_unshare, parent_of};
use crate::common::{self, Stage, binary, eventually};
use crate::{beside, may_become_another, mode};

/// The user that the entrypoint will become, with a group of the same number.
const APP: u32 = 4242;
const FURTHER_GROUP: u32 = 4343;

/// A stage that anybody may look at, with a home of APP's.
fn stage() -> (Stage, PathBuf) {
    let mut stage = Stage::new();
    let home = stage.directory.path().join("app");
    fs::create_dir(&home).expect("a home");
    chown(&home, Some(APP), Some(APP)).expect("an owner");
    fs::set_permissions(stage.directory.path(), Permissions::from_mode(0o755)).expect("a mode");
    fs::set_permissions(stage.sandbox.directory(), Permissions::from_mode(0o755)).expect("a mode");
    // Root's home is root's alone.
    fs::set_permissions(stage.home(), Permissions::from_mode(0o700)).expect("a mode");
    // Where a private directory is made, instead of /dev/shm.
    let run = stage.directory.path().join("run");
    fs::create_dir(&run).expect("a directory");
    fs::set_permissions(&run, Permissions::from_mode(0o1777)).expect("a mode");
    stage.set("XDG_RUNTIME_DIR", run);
    (stage, home)
}

/// fedboot where `/etc/passwd` knows `app` and `/etc/group` its groups, unless there is `no` such file.
fn with_passwd(stage: &Stage, home: &Path, options: &str, no: &str) -> Command {
    let etc = stage.directory.path().join("etc");
    let _ = fs::remove_dir_all(&etc);
    for (name, content) in [
        ("passwd", format!("root:x:0:0::/root:\napp:x:{APP}:{APP}::{}:\n", home.display())),
        ("group", format!("root:x:0:\napp:x:{APP}:\nfurther:x:{FURTHER_GROUP}:app\n")),
    ] {
        if name != no {
            common::write(&etc.join(name), content);
        }
    }
    let script = format!("mount --bind {} /etc && exec \"$0\" {options} \"$@\"", etc.display());
    let mut command = stage.wrapper("unshare");
    command.args(["--mount", "sh", "-c", &script]).arg(binary());
    command
}

fn held(stage: &Stage, home: &Path, options: &str) -> Held {
    Held::from(with_passwd(stage, home, options, "").args(HOLD).spawn().expect("fedboot starts"))
}

/// A line of `/proc/PID/status`, its words joined by blanks.
fn status_of(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect(name);
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_files_are_the_owners_at_home() {
    if !may_unshare("the_files_are_the_owners_at_home", &["--mount"]) {
        return;
    }
    for (owner, groups) in [("app", "4242 4343"), ("4242", "4242 4343"), ("app:7", "7")] {
        let (stage, home) = stage();
        let held = held(&stage, &home, &format!("--owner {owner}"));
        let file = home.join(".aws/credentials");
        assert_eq!(held.variable("AWS_SHARED_CREDENTIALS_FILE"), file.display().to_string());
        assert_eq!(held.variable("HOME"), stage.home().display().to_string(), "COMMAND's own home");
        let group = groups.split(' ').next().expect("a group");
        let token = PathBuf::from(held.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"));
        for path in [&home.join(".aws"), &file, &token] {
            let metadata = fs::metadata(path).expect("it is there");
            assert_eq!((metadata.uid(), metadata.gid().to_string()), (APP, group.into()), "{}", path.display());
        }
        assert_eq!((mode(&home.join(".aws")), mode(&file)), (0o700, 0o600));
        assert_eq!(fs::read_dir(stage.home()).expect("a home").count(), 0, "something in root's home");
        // COMMAND is still root's with all that it may.
        let own = std::process::id();
        for name in ["Uid", "Gid", "Groups", "CapPrm", "CapEff"] {
            assert_eq!(status_of(held.pid, name), status_of(own, name), "{name} of COMMAND");
        }
        let may_do_nothing = |pid: u32| {
            for (name, wanted) in [
                ("Uid", [&APP.to_string(); 4].map(String::as_str).join(" ")),
                ("Gid", [group; 4].join(" ")),
                ("Groups", groups.to_owned()),
            ] {
                assert_eq!(status_of(pid, name), wanted, "{name} with {owner}");
            }
            for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                assert_eq!(status_of(pid, name).trim_matches('0'), "", "{name} with {owner}");
            }
            // Nobody but root may look into it, or it would be its owner's.
            assert_eq!(fs::metadata(format!("/proc/{pid}/mem")).expect("its memory").uid(), 0);
        };
        let agent = held.agent();
        let guard = parent_of(agent);
        may_do_nothing(guard);
        may_do_nothing(agent);
        // The next agent is no more than that, and neither is one that takes its guard's place.
        kill(agent, libc::SIGKILL);
        gone(agent);
        eventually("another agent", || common::agents_of(held.pid).iter().any(|next| *next != agent));
        may_do_nothing(held.agent());
        held.release(&stage).assert_succeeded();
        assert_eq!(beside(&file), ["credentials"]);
    }
}

/// Where there is no list of groups the user's own counts.
#[test]
fn a_distroless_image() {
    if !may_unshare("a_distroless_image", &["--mount"]) {
        return;
    }
    let (stage, home) = stage();
    let mut command = with_passwd(&stage, &home, "--owner app", "group");
    let held = Held::from(command.args(HOLD).spawn().expect("fedboot starts"));
    assert_eq!(status_of(held.agent(), "Groups"), APP.to_string());
    held.release(&stage).assert_succeeded();
    let mut command = with_passwd(&stage, &home, "--owner app", "passwd");
    let outcome = common::Outcome::from(command.args(["--", "true"]).output().expect("it ends"));
    outcome.assert_failed(125, &["--owner", "nor a number", "a number needs no entry"]);
}

/// A number without an entry has no home: as without HOME, the files go to a private directory.
#[test]
fn a_number_without_an_entry() {
    if !may_become_another("a_number_without_an_entry") {
        return;
    }
    let (stage, _) = stage();
    let held = stage.hold(&["--owner", "4242"]);
    let file = PathBuf::from(held.variable("AWS_SHARED_CREDENTIALS_FILE"));
    assert_eq!(file, stage.directory.path().join("run/fedboot-4242/credentials"));
    assert_eq!(fs::metadata(&file).expect("the file").uid(), APP);
    let outcome = held.release(&stage);
    outcome.assert_succeeded();
    assert!(outcome.stderr.contains("/etc/passwd knows no home"), "{}", outcome.stderr);
}

/// What the owner lays in the way is not stepped over with root's rights.
#[test]
fn the_owner_cannot_have_roots_files_written() {
    if !may_unshare("the_owner_cannot_have_roots_files_written", &["--mount"]) {
        return;
    }
    let (stage, home) = stage();
    let roots = stage.home().join("roots");
    common::write(&roots.join("credentials"), "root's\n");
    symlink(&roots, home.join(".aws")).expect("a link");
    std::os::unix::fs::lchown(home.join(".aws"), Some(APP), Some(APP)).expect("an owner");
    let held = held(&stage, &home, "--owner app");
    assert_eq!(
        PathBuf::from(held.variable("AWS_SHARED_CREDENTIALS_FILE")),
        stage.directory.path().join("run/fedboot-4242/credentials")
    );
    held.release(&stage).assert_succeeded();
    assert_eq!(beside(&roots.join("credentials")), ["credentials"]);
    assert_eq!(fs::read_to_string(roots.join("credentials")).expect("a file"), "root's\n");
    // Nor where root itself has named a file of root's, the log's too.
    let named = roots.join("named").display().to_string();
    for line in [
        vec!["--credentials-file", &named, "--", "true"],
        vec!["--delivery=file", "--credentials-file", &named, "--", "true"],
    ] {
        stage.run([&["--owner", "4242"], &line[..]].concat()).assert_failed(125, &["permission denied"]);
    }
    stage
        .run(["agent", "--owner", "4242", "--log-file", &named])
        .assert_failed(2, &["--log-file", "permission denied"]);
    assert_eq!(beside(&roots.join("credentials")), ["credentials"]);
}

#[test]
fn who_cannot_be_the_owner() {
    if !may_become_another("who_cannot_be_the_owner") {
        return;
    }
    let (mut stage, _) = stage();
    for (owner, part) in [
        ("no-such-user", "nor a number"),
        ("root:root", "nor a number"),
        ("4294967295", "nor a number"),
        ("-1", "nor a number"),
        (":", "nor a number"),
    ] {
        stage.run([&format!("--owner={owner}"), "--", "touch", "ran"]).assert_failed(125, &["--owner", part]);
        stage.run(["status", &format!("--owner={owner}")]).assert_failed(2, &["--owner", part]);
    }
    // Root is root, by whatever name.
    stage.run(["--owner", "root", "--", "true"]).assert_succeeded();
    assert_eq!(fs::metadata(stage.credentials_file()).expect("the file").uid(), 0);
    // Whoever is not root can only be its own owner.
    let own = stage.directory.path().join("fedboot");
    assert!(Command::new("install").args(["-m", "755"]).args([&binary(), &own]).status().expect("install").success());
    chown(stage.home(), Some(APP), Some(APP)).expect("an owner");
    chown(stage.home().join(".aws"), Some(APP), Some(APP)).expect("an owner");
    chown(stage.credentials_file(), Some(APP), Some(APP)).expect("an owner");
    for (owner, fails) in [("4242", None), ("4242:7", None), ("4243", Some("only root")), ("root", Some("only root"))] {
        let child = stage.wrapper(&own).args(["--owner", owner, "--", "true"]).uid(APP).gid(APP).spawn();
        let outcome = stage.finish(child.expect("fedboot starts"));
        match fails {
            Some(part) => outcome.assert_failed(125, &["--owner", part]),
            None => outcome.assert_succeeded(),
        }
    }
    // What a variable says to the agent does not keep others from asking for themselves.
    stage.set("FEDBOOT_OWNER", "4243");
    let asked = stage.wrapper(&own).arg("status").uid(APP).gid(APP).output().expect("it ends");
    assert_eq!((asked.status.code(), &asked.stderr[..]), (Some(2), &b""[..]));
}

#[test]
fn a_container_that_lets_nobody_become_another() {
    const NAME: &str = "a_container_that_lets_nobody_become_another";
    if !may_become_another(NAME) || !has(NAME, "setpriv") {
        return;
    }
    let (stage, _) = stage();
    for (without, call) in [("setgid", "setgroups"), ("setuid", "setresuid")] {
        let mut command = stage.wrapper("setpriv");
        command.args([&format!("--bounding-set=-{without}"), "--"]).arg(binary());
        let child = command.args(["--owner", "4242", "--", "touch", "ran"]).spawn().expect("it starts");
        let outcome = stage.finish(child);
        outcome.assert_failed(125, &["become the user of --owner", call, "Operation not permitted", "SETUID"]);
        assert!(!stage.directory.path().join("ran").exists());
    }
}

/// Root asks as the owner, and so does the owner.
#[test]
fn the_agent_is_found() {
    if !may_become_another("the_agent_is_found") {
        return;
    }
    let (mut stage, _) = stage();
    let agent = Agent::start(&stage, "--owner 4242");
    assert_eq!(status_of(agent.pid, "Uid"), "4242 4242 4242 4242");
    let own = stage.directory.path().join("fedboot");
    assert!(Command::new("install").args(["-m", "755"]).args([&binary(), &own]).status().expect("install").success());
    let status = |stage: &Stage, user: u32, options: &[&str]| {
        let mut command = stage.wrapper(&own);
        let output = command.arg("status").args(options).uid(user).gid(user).stdin(Stdio::null()).output();
        common::Outcome::from(output.expect("it ends"))
    };
    let fresh = |outcome: &common::Outcome| outcome.code() == Some(0) && outcome.stdout.starts_with("fresh ");
    let by_flag = status(&stage, 0, &["--owner", "4242"]);
    assert!(fresh(&by_flag), "{}{}", by_flag.stdout, by_flag.stderr);
    let without = status(&stage, 0, &[]);
    assert_eq!(without.code(), Some(2), "{}", without.stdout);
    stage.set("FEDBOOT_OWNER", "4242");
    let by_variable = status(&stage, 0, &[]);
    assert!(fresh(&by_variable), "{}{}", by_variable.stdout, by_variable.stderr);
    // APP itself has no home either.
    stage.unset("HOME");
    let by_owner = status(&stage, APP, &[]);
    assert!(fresh(&by_owner), "{}{}", by_owner.stdout, by_owner.stderr);
    let by_another = status(&stage, APP + 1, &[]);
    assert_eq!(by_another.code(), Some(2), "{}", by_another.stdout);
    // And so is what its command was given.
    let env = stage.wrapper(&own).args(["env", "--owner=4242"]).stdin(Stdio::null()).output().expect("it ends");
    assert!(String::from_utf8_lossy(&env.stdout).contains("export AWS_PROFILE="), "{env:?}");
    drop(agent);
    // The same in front, where the process that was started becomes the owner itself.
    let front = Front::start(&mut agent_with(&stage, "--foreground"));
    assert_eq!(status_of(front.child.id(), "Uid"), "4242 4242 4242 4242");
    let in_front = status(&stage, 0, &[]);
    assert!(fresh(&in_front), "{}{}", in_front.stdout, in_front.stderr);
}

/// A cache that root asks for on the owner's behalf is the owner's.
#[test]
fn what_root_asks_for_is_the_owners() {
    if !may_become_another("what_root_asks_for_is_the_owners") {
        return;
    }
    let (mut stage, _) = stage();
    stage.set("FEDBOOT_OWNER", "4242");
    let outcome = stage.run(["credential-process"]);
    outcome.assert_succeeded();
    let directory = stage.directory.path().join("run/fedboot-4242");
    let cached: Vec<_> = fs::read_dir(&directory).expect("its directory").flatten().collect();
    assert!(!cached.is_empty());
    for entry in cached {
        assert_eq!(entry.metadata().expect("a file").uid(), APP, "{}", entry.path().display());
    }
    assert_eq!(fs::read_dir(stage.home()).expect("a home").count(), 0, "something in root's home");
}

#[test]
fn a_command_that_becomes_another_user_is_warned_about() {
    const NAME: &str = "a_command_that_becomes_another_user_is_warned_about";
    if !may_become_another(NAME) || !has(NAME, "setpriv") {
        return;
    }
    let (stage, _) = stage();
    let command = ["--", "env", "A=1", "setpriv", "--reuid", "4242", "--clear-groups", "true"];
    let warnings = |options: &[&str]| {
        let outcome = stage.run(options.iter().chain(&command));
        outcome.assert_succeeded();
        let warnings = outcome.events().into_iter().filter(|event| event.severity() == "WARNING");
        warnings.map(|event| event.message().to_owned()).collect::<Vec<_>>()
    };
    let found = warnings(&[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("user 4242") && found[0].ends_with("say --owner 4242"), "{found:?}");
    let found = warnings(&["--owner", "4242"]);
    assert!(found.iter().all(|warning| !warning.contains("--owner")), "{found:?}");
}
