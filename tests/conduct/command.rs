//! Arguments, environment, descriptors, terminal, exit codes and signals of the command, and how it is found.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use crate::common::launch::{Held, Launch, Pidfd, entry, has, kill, state};
use crate::common::{Stage, binary, eventually, wait};
use crate::comparison::{Comparison, SET, UNSET, mask, variables};
use crate::{hold_without_core, probe};

#[test]
fn arguments_are_bytes() {
    let mut comparison = Comparison::new();
    for (name, arguments) in [
        ("none", vec![]),
        ("empty ones", vec![b"".to_vec(), b"".to_vec(), b"x".to_vec(), b"".to_vec()]),
        ("not UTF-8", vec![b"\xff\xfe".to_vec(), b"caf\xe9".to_vec(), (1..=255).collect()]),
        ("dashes", vec![b"--".to_vec(), b"--help".to_vec(), b"--version".to_vec(), b"-".to_vec(), b"--".to_vec()]),
        ("200 kB in two", vec![vec![b'a'; 100_000], vec![0xfe; 100_000]]),
        ("200 kB in 4000", (0..4000).map(|index| format!("{index:050}").into_bytes()).collect()),
        ("the longest one", vec![vec![b'z'; 131_071]]),
    ] {
        comparison.arguments = arguments;
        let report = comparison.assert_alike(name);
        let count = report.keys().filter(|key| key.starts_with("argument ")).count();
        assert_eq!(count, comparison.arguments.len() + 1, "{name}");
    }
}

#[test]
fn the_environment_is_bytes_too() {
    let mut comparison = Comparison::new();
    for name in UNSET.iter().chain(&SET) {
        if *name != "AWS_SHARED_CREDENTIALS_FILE" {
            comparison.environment.push(entry(name, "inherited"));
        }
    }
    // Doubled, malformed, foreign bytes, names that begin like those that are touched.
    for text in [
        &b"DOUBLE=1"[..],
        b"DOUBLE=2",
        b"AWS_PROFILE=again",
        b"AWS_SESSION_TOKEN=again",
        b"NO_EQUALS_SIGN",
        b"AWS_PROFILE",
        b"AWS_ACCESS_KEY_ID",
        b"=value without a name",
        b"=C:=C:\\",
        b"",
        b"EMPTY=",
        b"LINES=one\ntwo\n",
        b"BYTES=\xff\xfe\x01",
        b"\xff\xfe=1",
        b"aws_profile=small",
        b"AWS_PROFILE_OTHER=1",
        b"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE_OTHER=1",
        b"EQUALS=a=b=c",
        b"LAST=1",
    ] {
        comparison.environment.push(text.to_vec());
    }
    comparison.environment.push(entry("LONG", "x".repeat(120_000)));
    let report = comparison.assert_alike("with a region");
    assert!(variables(&report).contains(&"AWS_REGION=eu-west-1".into()));

    // Where the caller has no AWS_REGION, the command gets one: that of AWS_DEFAULT_REGION here.
    comparison.stage.unset("AWS_REGION");
    comparison.assert_alike("without a region");
    comparison.environment.push(entry("AWS_REGION", "us-gov-west-1"));
    let report = comparison.assert_alike("with a region of its own");
    assert!(variables(&report).contains(&"AWS_REGION=us-gov-west-1".into()));
}

#[test]
fn descriptors_pass_through() {
    let mut comparison = Comparison::new();
    let path = comparison.stage.directory.path().join("file");
    crate::common::write(&path, "0123456789");
    let mut file = OpenOptions::new().read(true).append(true).open(&path).expect("a file");
    file.seek(SeekFrom::Start(4)).expect("a position");
    let (pipe_reader, pipe_writer) = std::io::pipe().expect("a pipe");
    let (socket, _other_end) = UnixStream::pair().expect("a socket");
    socket.set_nonblocking(true).expect("a flag");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let all: Vec<OwnedFd> = vec![file.into(), pipe_reader.into(), pipe_writer.into(), socket.into(), listener.into()];
    comparison.prepare = Arc::new(move || {
        for (number, file) in [3, 4, 5, 57, 199].into_iter().zip(&all) {
            // The numbers may be in use here, but what is in use is closed by exec.
            unsafe { libc::dup2(file.as_raw_fd(), number + 200) };
        }
        for number in [3, 4, 5, 57, 199] {
            unsafe { libc::dup2(number + 200, number) };
            unsafe { libc::close(number + 200) };
        }
    });
    let report = comparison.assert_alike("inherited descriptors");
    let numbers: Vec<_> = report.keys().filter_map(|key| key.strip_prefix("descriptor ")).collect();
    assert_eq!(numbers, ["000", "001", "002", "003", "004", "005", "057", "199"]);
    assert!(report["descriptor 003"].ends_with("at 4"), "{}", report["descriptor 003"]);
}

#[test]
fn the_controlling_terminal_is_the_commands() {
    let stage = Stage::new();
    let mut seen = Vec::new();
    for under_fedboot in [false, true] {
        let (mut master, mut slave) = (0, 0);
        // SAFETY: writes two numbers there; both are this test's.
        let (master, slave) = unsafe {
            let none = std::ptr::null_mut();
            assert_eq!(libc::openpty(&raw mut master, &raw mut slave, none, none.cast(), none.cast()), 0);
            for fd in [master, slave] {
                libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
            }
            (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
        };
        let number = slave.as_raw_fd();
        let program = PathBuf::from(std::ffi::OsStr::from_bytes(probe::program().as_bytes()));
        let report = stage.directory.path().join("report");
        let _ = fs::remove_file(&report);
        let mut environment = stage.environment();
        environment.push(entry(probe::VARIABLE, &report));
        let wrapper: &[&[u8]] = if under_fedboot { &[b"fedboot", b"--"] } else { &[] };
        let file = if under_fedboot { binary() } else { program.clone() };
        let argv = wrapper.iter().copied().chain([program.as_os_str().as_bytes()]);
        let mut child = Launch::new(&file, argv, environment)
            .prepare(Arc::new(move || unsafe {
                libc::setsid();
                libc::ioctl(number, libc::TIOCSCTTY, 0);
                (0..=2).for_each(|fd| {
                    libc::dup2(number, fd);
                });
            }))
            .spawn(stage.directory.path(), Stdio::null(), Stdio::null(), Stdio::null());
        let pid = child.id().to_string();
        assert_eq!(wait(&mut child).code(), Some(probe::EXIT_CODE));
        let report = probe::read(&report).expect("a report");
        let device = nix::sys::stat::fstat(&slave).expect("a terminal").st_rdev.to_string();
        assert_eq!(report["terminal"], device, "under fedboot: {under_fedboot}");
        assert_eq!(report["foreground group"], pid, "under fedboot: {under_fedboot}");
        assert_eq!(report["session"], pid, "under fedboot: {under_fedboot}");
        seen.push((0..3).map(|fd| report[&format!("descriptor {fd:03}")].contains("/dev/pts/")).collect::<Vec<_>>());
        drop((master, slave));
    }
    assert_eq!(seen, [vec![true; 3], vec![true; 3]]);
}

#[test]
fn exit_codes_pass_through() {
    let stage = Stage::new();
    for code in [0, 1, 2, 32, 42, 64, 100, 125, 126, 127, 128, 137, 254, 255] {
        assert_eq!(stage.run_shell(&[], &format!("exit {code}")).code(), Some(code));
    }
    for signal in
        [libc::SIGKILL, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGSEGV, libc::SIGABRT, libc::SIGPIPE]
    {
        assert_eq!(stage.run_shell(&[], &format!("ulimit -c 0; kill -{signal} $$")).signal(), Some(signal));
    }
}

#[test]
fn signals_reach_the_command() {
    let stage = Stage::new();
    // What ends a process ends this one, by that very signal.
    for signal in (1..=31).chain([34, 50, 64]) {
        let lives = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH].contains(&signal);
        let stops = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal);
        if lives || stops {
            continue;
        }
        let mut held = hold_without_core(&stage);
        let agent = Pidfd::open(held.agent());
        kill(held.pid, signal);
        let status = wait(held.child.as_mut().expect("held"));
        assert_eq!(status.signal(), Some(signal));
        assert!(agent.ended(Duration::from_secs(5)), "the agent lives on after signal {signal}");
    }
    // What stops it stops it, and it goes on.
    let held = hold_without_core(&stage);
    for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGSTOP] {
        kill(held.pid, signal);
        eventually("it stops", || state(held.pid) == Some('T'));
        kill(held.pid, libc::SIGCONT);
        eventually("it goes on", || state(held.pid) == Some('S'));
    }
    held.release(&stage).assert_succeeded();
    // And what is caught is caught.
    let script = "trap 'echo caught; exit 9' TERM; echo held; while :; do read word || sleep 0.01; done";
    let mut command = stage.command(["--", "sh", "-c", script]);
    let held = Held::from(command.spawn().expect("fedboot starts"));
    kill(held.pid, libc::SIGTERM);
    let outcome = held.release(&stage);
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (Some(9), "caught\n"));
}

#[test]
fn dashes_end_the_options_once() {
    let mut stage = Stage::new();
    stage.set("PATH", "/usr/bin:/bin");
    let outcome = stage.run(["--log-level=error", "--", "printf", "%s|", "--", "--log-level=x", "--", "-h"]);
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (Some(0), "--|--log-level=x|--|-h|"));
    stage.run(["--", "--", "true"]).assert_failed(127, &["--"]);
    stage.run(["true"]).assert_failed(125, &["--"]);
    stage.run(["--"]).assert_failed(125, &["COMMAND"]);
    assert!(stage.run(["--help"]).stdout.contains("fedboot [OPTIONS] -- COMMAND"));
    assert_eq!(stage.run(["--", "printf", "--help"]).code(), Some(0), "an option of the command's");
}

#[test]
fn the_command_is_found_as_a_shell_finds_it() {
    let mut stage = Stage::new();
    let here = stage.directory.path().to_owned();
    let script = |path: &str, mode: u32| {
        let path = here.join(path);
        crate::common::write(
            &path,
            format!("#!/bin/sh\necho \"$0 $# $1\" '{}'\n", path.file_name().unwrap().display()),
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    };
    script("tool", 0o755);
    script("bin/tool", 0o755);
    script("bin/other", 0o755);
    script("forbidden/tool", 0o644);
    script("with space/tool", 0o755);
    fs::create_dir_all(here.join("directory/tool")).expect("a directory");
    symlink("bin/other", here.join("link")).expect("a link");
    symlink("nowhere", here.join("dangling")).expect("a link");
    let absolute = here.join("bin").display().to_string();
    let mut different = Vec::new();
    for (path, command) in [
        ("bin", "tool"),
        ("./bin/", "tool"),
        ("with space:bin", "tool"),
        ("forbidden:bin", "tool"),
        ("directory:bin", "tool"),
        ("nowhere:/nonexistent:bin", "other"),
        (":bin", "tool"),
        ("bin:", "other"),
        ("nowhere:", "tool"),
        ("nowhere::bin", "tool"),
        (absolute.as_str(), "other"),
        ("/nonexistent", "./tool"),
        ("/nonexistent", "bin/tool"),
        ("/nonexistent", "./link"),
        ("nowhere", "tool"),
        ("forbidden", "tool"),
        ("directory", "tool"),
        ("bin", "./dangling"),
        ("bin", "tool/"),
        ("bin", "./directory"),
    ] {
        stage.set("PATH", path);
        let shell = stage
            .wrapper("/bin/sh")
            .args(["-c", "exec \"$@\"", "sh", command, "argument"])
            .current_dir(&here)
            .output()
            .expect("a shell");
        let outcome = stage.run(["--", command, "argument"]);
        // An empty element is `.`; shells differ in whether they show that.
        let dot = |text: &str| text.strip_prefix("./").unwrap_or(text).to_owned();
        let shells = (shell.status.code(), dot(&String::from_utf8_lossy(&shell.stdout)));
        let fedboots = (outcome.code(), dot(&outcome.stdout));
        if fedboots != shells {
            different.push(format!("PATH={path} {command:?}: {fedboots:?}, in a shell {shells:?} {}", outcome.stderr));
        }
    }
    assert!(different.is_empty(), "{different:#?}");
    // Without any PATH the usual places count, as in the shell.
    stage.unset("PATH");
    let outcome = stage.run(["--", "sh", "-c", "echo found"]);
    assert_eq!(outcome.stdout, "found\n", "{}", outcome.stderr);
}

#[test]
fn an_empty_path_is_the_working_directory_alone() {
    let mut stage = Stage::new();
    let tool = stage.directory.path().join("tool");
    crate::common::write(&tool, "#!/bin/sh\necho tool\n");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("a mode");
    stage.set("PATH", "");
    assert_eq!(stage.run(["--", "tool"]).stdout, "tool\n");
    assert_eq!(stage.run(["--", "sh", "-c", "exit 0"]).code(), Some(127));
}

#[test]
fn scripts_get_their_interpreter() {
    let stage = Stage::new();
    let here = stage.directory.path();
    let file = |name: &str, text: &str| {
        crate::common::write(&here.join(name), text);
        fs::set_permissions(here.join(name), fs::Permissions::from_mode(0o755)).expect("a mode");
    };
    file("script", "#!/bin/sh -e\necho \"$0 $*\"\n");
    file("orphan", "#!/nonexistent/interpreter\n");
    file("bare", "echo no first line\n");
    file("garbage", "\u{1}\u{2}\u{3}\n");
    let outcome = stage.run(["--", "./script", "a b", "", "c"]);
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (Some(0), "./script a b  c\n"));
    stage.run(["--", "./orphan"]).assert_failed(126, &["orphan", "interpreter"]);
    stage.run(["--", "./bare"]).assert_failed(126, &["bare", "#!"]);
    stage.run(["--", "./garbage"]).assert_failed(126, &["garbage"]);
}

/// What tini's own tests ask of `tini -- COMMAND`, and dumb-init's of `dumb-init COMMAND`: the same here, or better,
/// as there is no process in between.
#[test]
fn at_least_as_transparent_as_tini_and_dumb_init() {
    let stage = Stage::new();
    let fedboot = binary().display().to_string();
    let mut wrappers = vec![("fedboot", vec![fedboot.as_str(), "--"])];
    for (name, words) in [("tini", vec!["tini", "-s", "--"]), ("dumb-init", vec!["dumb-init", "--"])] {
        if has(&format!("at_least_as_transparent_as_{name}"), name) {
            wrappers.push((name, words));
        }
    }
    let run = |wrapper: &[&str], command: &[&str], input: &str| {
        let mut child =
            stage.wrapper(wrapper[0]).args(&wrapper[1..]).args(command).spawn().expect("the wrapper starts");
        child.stdin.take().expect("stdin").write_all(input.as_bytes()).expect("input");
        stage.finish(child)
    };
    let masks = |wrapper: &[&str]| -> Vec<u64> {
        let seen = run(wrapper, &["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"], "").stdout;
        seen.lines().filter_map(|line| line.split_whitespace().nth(1)).map(mask).collect()
    };
    let without = masks(&["env"]);
    for (name, wrapper) in &wrappers {
        // dumb-init's test_exit_status_regular_exit.
        for code in [0, 1, 2, 32, 64, 127, 254, 255] {
            assert_eq!(run(wrapper, &["sh", "-c", &format!("exit {code}")], "").code(), Some(code), "{name}");
        }
        // dumb-init's test_exit_status_terminated_by_signal: theirs say 128 + n, where without them it is a signal.
        for signal in [1, 2, 9, 15] {
            let outcome = run(wrapper, &["sh", "-c", &format!("kill -{signal} $$")], "");
            let (code, by) = if *name == "fedboot" { (None, Some(signal)) } else { (Some(128 + signal), None) };
            assert_eq!((outcome.code(), outcome.signal()), (code, by), "{name}");
        }
        // Standard input and output are the command's.
        assert_eq!(run(wrapper, &["cat"], "through\n").stdout, "through\n", "{name}");
        // tini's exit codes of its own; dumb-init's are 2.
        if *name != "dumb-init" {
            assert_eq!(run(wrapper, &["/nonexistent"], "").code(), Some(127), "{name}");
            assert_eq!(run(wrapper, &["/dev/null"], "").code(), Some(126), "{name}");
        }
        // tini's sigconf-test: no signal more is blocked or ignored for the command.
        assert_eq!(masks(wrapper), without, "{name}");
        // Theirs put a process in between.
        let pid = run(wrapper, &["sh", "-c", "echo $PPID"], "").stdout;
        assert_eq!(pid.trim() == std::process::id().to_string(), *name == "fedboot", "{name}: {pid}");
    }
}
