//! Transparency and conduct: what the command gets is what it would get without fedboot, and the agent beside it is
//! noticed by nobody.

#![allow(unsafe_code, reason = "processes are put into states that have no safe interface")]
#![allow(clippy::disallowed_methods, reason = "tests look at the real world")]

mod common;
#[path = "common/probe.rs"]
mod probe;

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::launch::{
    Held, Launch, Pidfd, children_of, descriptors_of, entry, figure, gone, has, kill, may_unshare, stat, state, stop,
};
use common::{Outcome, Stage, agents_of, binary, eventually, wait};
use fedboot_sandbox::{Fault, Sandbox, Service};

type Prepare = Arc<dyn Fn() + Send + Sync>;

/// What fedboot sets for the command, and what it takes from it: design §3.
const SET: [&str; 4] = [
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];
const UNSET: [&str; 14] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CREDENTIAL_FILE",
    "BOTO_CONFIG",
];

/// The argv of a process.
fn words_of(pid: u32) -> Vec<String> {
    let argv = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    argv.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Runs the probe alone and under fedboot, and says what each was given.
struct Comparison {
    stage: Stage,
    arguments: Vec<Vec<u8>>,
    /// Behind the stage's own.
    environment: Vec<Vec<u8>>,
    prepare: Prepare,
}

impl Comparison {
    fn new() -> Self {
        let mut stage = Stage::new();
        stage.set("AWS_REGION", "eu-west-1").set("AWS_DEFAULT_REGION", "eu-west-1");
        Self { stage, arguments: Vec::new(), environment: Vec::new(), prepare: Arc::new(|| {}) }
    }

    fn probe(&self, under_fedboot: bool) -> probe::Report {
        let program = PathBuf::from(std::ffi::OsStr::from_bytes(probe::program().as_bytes()));
        let report = self.stage.directory.path().join("report");
        let _ = fs::remove_file(&report);
        let command = std::iter::once(program.as_os_str().as_bytes()).chain(self.arguments.iter().map(Vec::as_slice));
        let mut environment = self.stage.environment();
        environment.push(entry(probe::VARIABLE, &report));
        environment.extend(self.environment.iter().cloned());
        let file = if under_fedboot { binary() } else { program.clone() };
        let wrapper: &[&[u8]] = if under_fedboot { &[b"fedboot", b"--"] } else { &[] };
        let stderr_file = self.stage.directory.path().join("stderr");
        let stderr = OpenOptions::new().append(true).create(true).open(&stderr_file).expect("a file");
        let mut child = Launch::new(&file, wrapper.iter().copied().chain(command), environment)
            .prepare(self.prepare.clone())
            .spawn(self.stage.directory.path(), Stdio::null(), Stdio::null(), stderr.into());
        let pid = child.id().to_string();
        let status = wait(&mut child);
        let said = fs::read_to_string(&stderr_file).expect("stderr");
        assert_eq!(status.code(), Some(probe::EXIT_CODE), "under fedboot {under_fedboot}: {status:?} {said}");
        self.stage.assert_no_secret(&said);
        let mut report = probe::read(&report).expect("a report");
        assert_eq!(report["pid"], pid, "not the process that was started");
        for value in report.values_mut().filter(|value| **value == pid) {
            *value = "its own".into();
        }
        report
    }

    /// Both reports are alike but for the environment, whose differences are those that the design names.
    #[track_caller]
    fn assert_alike(&self, name: &str) -> probe::Report {
        let (alone, under) = (self.probe(false), self.probe(true));
        let differences: Vec<_> = alone
            .keys()
            .chain(under.keys())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .filter(|key| !key.starts_with("variable ") && alone.get(*key) != under.get(*key))
            .map(|key| format!("{key}: alone {:?}, under fedboot {:?}", alone.get(key), under.get(key)))
            .collect();
        assert!(differences.is_empty(), "{name}: {differences:#?}");
        assert_environment(name, &variables(&alone), &variables(&under));
        under
    }
}

fn variables(report: &probe::Report) -> Vec<String> {
    report.iter().filter(|(key, _)| key.starts_with("variable ")).map(|(_, value)| value.clone()).collect()
}

#[track_caller]
fn assert_environment(name: &str, alone: &[String], under: &[String]) {
    let names = |entry: &str, list: &[&str]| entry.split_once('=').is_some_and(|(name, _)| list.contains(&name));
    let foreign = |entries: &[String]| -> Vec<String> {
        entries.iter().filter(|entry| !names(entry, &SET) && !names(entry, &UNSET)).cloned().collect()
    };
    let had_region = alone.iter().any(|entry| entry.starts_with("AWS_REGION="));
    let mut expected = foreign(alone);
    if !had_region {
        expected.push("AWS_REGION=eu-west-1".into());
    }
    assert_eq!(foreign(under), expected, "{name}: what is nobody's business, in its order");
    for variable in SET {
        let count = under.iter().filter(|entry| names(entry, &[variable])).count();
        assert_eq!(count, 1, "{name}: {variable}");
    }
    for variable in UNSET {
        assert!(!under.iter().any(|entry| names(entry, &[variable])), "{name}: {variable} is still there");
    }
}

/// A mask as `/proc` shows it, but for the two signals that the C library ignores in what it spawns.
fn mask(text: &str) -> u64 {
    u64::from_str_radix(text, 16).expect("a mask") & !(0b11 << 31)
}

/// Rows: a state to be in before, as what only may be called between fork and exec can make it.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_process_is_what_it_would_be_without_fedboot() {
    let mut comparison = Comparison::new();
    let unlinked = comparison.stage.directory.path().join("unlinked");
    fs::create_dir(&unlinked).expect("a directory");
    let unlinked_handle = File::open(&unlinked).expect("a directory");
    fs::remove_dir(&unlinked).expect("its end");
    let rows: Vec<(&str, Prepare)> = vec![
        ("plain", Arc::new(|| {})),
        (
            "process group of its own",
            Arc::new(|| unsafe {
                libc::setpgid(0, 0);
            }),
        ),
        (
            "session of its own",
            Arc::new(|| unsafe {
                libc::setsid();
            }),
        ),
        ("SIGPIPE ignored", Arc::new(|| disposition(libc::SIGPIPE, libc::SIG_IGN))),
        ("SIGPIPE default", Arc::new(|| disposition(libc::SIGPIPE, libc::SIG_DFL))),
        ("SIGCHLD ignored", Arc::new(|| disposition(libc::SIGCHLD, libc::SIG_IGN))),
        (
            "SIGTERM, SIGINT, SIGHUP ignored",
            Arc::new(|| {
                for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
                    disposition(signal, libc::SIG_IGN);
                }
            }),
        ),
        ("every signal ignored", Arc::new(|| (1..=64).for_each(|signal| disposition(signal, libc::SIG_IGN)))),
        ("every signal default", Arc::new(|| (1..=64).for_each(|signal| disposition(signal, libc::SIG_DFL)))),
        ("every signal blocked", Arc::new(|| block(1..=64))),
        ("SIGCHLD blocked", Arc::new(|| block([libc::SIGCHLD]))),
        (
            "SIGCHLD blocked and ignored",
            Arc::new(|| {
                block([libc::SIGCHLD]);
                disposition(libc::SIGCHLD, libc::SIG_IGN);
            }),
        ),
        (
            "signals pending",
            Arc::new(|| {
                block(1..=64);
                for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1, libc::SIGPIPE, 40, 64] {
                    raise(signal);
                }
            }),
        ),
        (
            "umask 0000",
            Arc::new(|| unsafe {
                libc::umask(0);
            }),
        ),
        (
            "umask 0777",
            Arc::new(|| unsafe {
                libc::umask(0o777);
            }),
        ),
        (
            "directory unlinked",
            Arc::new(move || unsafe {
                libc::fchdir(unlinked_handle.as_raw_fd());
            }),
        ),
        (
            "limits",
            Arc::new(|| {
                for (resource, soft, hard) in [
                    (libc::RLIMIT_NOFILE, 200, 300),
                    (libc::RLIMIT_CORE, 0, 4096),
                    (libc::RLIMIT_STACK, 1 << 20, 2 << 20),
                    (libc::RLIMIT_FSIZE, 1 << 20, 1 << 21),
                    (libc::RLIMIT_CPU, 1000, 1001),
                    (libc::RLIMIT_MEMLOCK, 4096, 8192),
                    (libc::RLIMIT_DATA, 1 << 30, 1 << 31),
                    (libc::RLIMIT_AS, 1 << 33, 1 << 34),
                    (libc::RLIMIT_MSGQUEUE, 1000, 2000),
                    (libc::RLIMIT_SIGPENDING, 900, 901),
                ] {
                    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
                    unsafe { libc::setrlimit(resource, &raw const limit) };
                }
            }),
        ),
        (
            "nice 5",
            Arc::new(|| unsafe {
                libc::setpriority(libc::PRIO_PROCESS, 0, 5);
            }),
        ),
        (
            "batch scheduling, idle i/o, one CPU",
            Arc::new(|| unsafe {
                let parameters = libc::sched_param { sched_priority: 0 };
                libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters);
                libc::syscall(libc::SYS_ioprio_set, 1, 0, 3 << 13);
                let mut cpus: libc::cpu_set_t = std::mem::zeroed();
                libc::CPU_SET(0, &mut cpus);
                libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const cpus);
            }),
        ),
        (
            "a timer that runs",
            Arc::new(|| unsafe {
                let value = |seconds| libc::timeval { tv_sec: seconds, tv_usec: 0 };
                let timer = libc::itimerval { it_interval: value(2000), it_value: value(1000) };
                libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut());
            }),
        ),
        (
            "a signal at the parent's death, timer slack",
            Arc::new(|| unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR2);
                libc::prctl(libc::PR_SET_TIMERSLACK, 77_000);
            }),
        ),
        (
            "no new privileges, fixed addresses",
            Arc::new(|| unsafe {
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong);
            }),
        ),
        (
            "first to be killed when memory is short",
            Arc::new(|| unsafe {
                let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                libc::write(file, c"444".as_ptr().cast(), 3);
                libc::close(file);
            }),
        ),
        // These need root, and without it change nothing.
        (
            "fewer capabilities, other groups",
            Arc::new(|| unsafe {
                libc::prctl(libc::PR_CAPBSET_DROP, 25, 0, 0, 0);
                let groups = [4242, 4343];
                libc::setgroups(groups.len(), groups.as_ptr());
            }),
        ),
        ("closed stdin", Arc::new(|| close([0]))),
        ("closed stdout", Arc::new(|| close([1]))),
        ("closed stderr", Arc::new(|| close([2]))),
        ("closed stdin and stdout", Arc::new(|| close(0..=1))),
        ("closed stdin, stdout and stderr", Arc::new(|| close(0..=2))),
        (
            "a child that ended before",
            Arc::new(|| unsafe {
                let child = libc::fork();
                if child == 0 {
                    libc::_exit(7);
                }
                let mut information: libc::siginfo_t = std::mem::zeroed();
                let id = libc::id_t::try_from(child).unwrap_or_default();
                libc::waitid(libc::P_PID, id, &raw mut information, libc::WEXITED | libc::WNOWAIT);
            }),
        ),
        (
            "a child that runs",
            Arc::new(|| unsafe {
                let parent = libc::getpid();
                if libc::fork() == 0 {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    // Nobody's descriptors, so that nobody waits for them: the test's wait for the exec is one.
                    libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0);
                    // The parent may have been quicker than the call above.
                    while libc::getppid() == parent {
                        libc::pause();
                    }
                    libc::_exit(0);
                }
            }),
        ),
    ];
    for (name, prepare) in rows {
        comparison.prepare = prepare;
        let report = comparison.assert_alike(name);
        // The row was there at all.
        let has = |key: &str, value: &str| report.get(key).is_some_and(|found| found.contains(value));
        let seen = match name {
            "session of its own" => has("session", "its own"),
            "process group of its own" => has("process group", "its own"),
            "SIGPIPE ignored" => has("status SigIgn", "0000000000001000"),
            "SIGPIPE default" => has("status SigIgn", "0000000000000000"),
            "every signal blocked" => {
                has("status SigBlk", "fffffffe7ffbfeff") || has("status SigBlk", "fffffffffffbfeff")
            }
            "signals pending" => has("status SigPnd", "5201") || has("status ShdPnd", "5201"),
            "umask 0777" => has("status Umask", "0777"),
            "directory unlinked" => has("directory", "(deleted)"),
            "nice 5" => has("nice", "5"),
            "limits" => has("limit Max open files", "200 300"),
            "a timer that runs" => has("real timer", "runs every 2000"),
            "a child that ended before" => has("children", "one that ended with 1792"),
            "a child that runs" => has("children", "that run"),
            "plain" => has("children", "[], then ECHILD"),
            "closed stderr" => !report.contains_key("descriptor 002") && report.contains_key("descriptor 001"),
            "closed stdin, stdout and stderr" => !report.keys().any(|key| key.starts_with("descriptor ")),
            _ => true,
        };
        assert!(seen, "{name}: the row is not what it says: {report:#?}");
    }
}

fn disposition(signal: i32, action: libc::sighandler_t) {
    // SAFETY: SIG_IGN and SIG_DFL only. The kernel's own call, as the C library keeps two signals for itself.
    unsafe {
        let action = [action, 0, 0, 0];
        libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), std::ptr::null::<usize>(), 8);
    }
}

fn block(signals: impl IntoIterator<Item = i32>) {
    let mask = signals.into_iter().fold(0_u64, |mask, signal| mask | 1 << (signal - 1));
    // SAFETY: reads eight bytes. Again the kernel's own call.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, std::ptr::null::<u64>(), 8);
    }
}

fn close(descriptors: impl IntoIterator<Item = i32>) {
    for descriptor in descriptors {
        // SAFETY: between fork and exec nobody uses it.
        unsafe { libc::close(descriptor) };
    }
}

fn raise(signal: i32) {
    // SAFETY: a signal to this process, which blocks it.
    unsafe { libc::kill(libc::getpid(), signal) };
}

#[test]
fn a_pending_sigchld_of_the_callers_stays() {
    let mut comparison = Comparison::new();
    for (name, prepare) in [
        (
            "raised",
            Arc::new(|| {
                block([libc::SIGCHLD]);
                raise(libc::SIGCHLD);
            }) as Prepare,
        ),
        (
            "of a child that ended",
            Arc::new(|| unsafe {
                block([libc::SIGCHLD]);
                let child = libc::fork();
                if child == 0 {
                    libc::_exit(7);
                }
                let mut information: libc::siginfo_t = std::mem::zeroed();
                let id = libc::id_t::try_from(child).unwrap_or_default();
                libc::waitid(libc::P_PID, id, &raw mut information, libc::WEXITED | libc::WNOWAIT);
            }) as Prepare,
        ),
    ] {
        comparison.prepare = prepare;
        let report = comparison.assert_alike(name);
        let pending = |key: &str| u64::from_str_radix(&report[key], 16).expect("a mask");
        assert_eq!(pending("status SigPnd") | pending("status ShdPnd"), 1 << (libc::SIGCHLD - 1), "{name}");
    }
}

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
    common::write(&path, "0123456789");
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

fn hold_without_core(stage: &Stage) -> Held {
    stage.hold_with(&[], |command| {
        let no_core = || {
            let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
            Ok(())
        };
        // SAFETY: one system call.
        unsafe { command.pre_exec(no_core) };
    })
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
        common::write(&path, format!("#!/bin/sh\necho \"$0 $# $1\" '{}'\n", path.file_name().unwrap().display()));
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
    common::write(&tool, "#!/bin/sh\necho tool\n");
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
        common::write(&here.join(name), text);
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

// While it boots.

/// A stage on which STS never answers.
fn hanging_stage() -> Stage {
    Stage::with(Sandbox::builder().fault(Service::Sts, Fault::hang().always()))
}

/// What stands beside the credentials file.
fn directory_of(stage: &Stage) -> Vec<String> {
    let entries = fs::read_dir(stage.home().join(".aws")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_signal_during_boot_ends_it() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGKILL] {
        let stage = hanging_stage();
        common::write(&stage.credentials_file(), "[other]\nkey = value\n");
        let mut command = stage.command(["--", "touch", "ran"]);
        let no_core = || {
            let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
            Ok(())
        };
        // SAFETY: one system call.
        unsafe { command.pre_exec(no_core) };
        let child = command.spawn().expect("fedboot starts");
        eventually("STS is asked", || !stage.sandbox.requests_to(Service::Sts).is_empty());
        assert_eq!(agents_of(child.id()).len(), 1);
        kill(child.id(), signal);
        let outcome = stage.finish(child);
        assert_eq!(outcome.signal(), Some(signal), "{}", outcome.stderr);
        assert_eq!(directory_of(&stage), ["credentials"], "signal {signal} left something");
        assert_eq!(stage.credentials_text(), "[other]\nkey = value\n");
        assert!(!stage.directory.path().join("ran").exists());
    }
}

/// Boots that SIGTERM meets at `moment` of each; returns what stood beside the credentials file afterwards.
fn boots_that_are_ended(rounds: u32, moment: impl Fn(&Stage, u32)) -> Vec<String> {
    let stage = Stage::new();
    let before = "[other]\nkey = value\n";
    common::write(&stage.credentials_file(), before);
    let (mut ended, mut ran, mut left) = (0, 0, Vec::new());
    for round in 0..rounds {
        let child = stage.command(["--", "true"]).spawn().expect("fedboot starts");
        moment(&stage, round);
        // It may be over already.
        // SAFETY: plain system call; the child has not been waited for, so the number is its own.
        unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
        let outcome = stage.finish(child);
        match (outcome.signal(), outcome.code()) {
            (Some(libc::SIGTERM), None) => ended += 1,
            (None, Some(0)) => ran += 1,
            _ => panic!("{:?} {}", outcome.status, outcome.stderr),
        }
        let text = stage.credentials_text();
        let whole = text.contains("[default]\naws_access_key_id = ASIA") && text.ends_with("region = us-east-1\n");
        assert!(text == before || whole && text.starts_with(before), "{text}");
        left.extend(directory_of(&stage).into_iter().filter(|name| name != "credentials"));
    }
    figure(&format!("conduct: of {rounds} boots {ended} were ended by SIGTERM, {ran} ran; left: {}", left.len()));
    assert!(ended > 0, "no signal came in time");
    left
}

#[test]
fn a_signal_at_any_moment_of_boot_leaves_the_file_whole() {
    boots_that_are_ended(60, |_, round| std::thread::sleep(Duration::from_micros(u64::from(round) * 700)));
}

/// The moments after STS has answered, when the file is written.
#[test]
fn a_signal_while_the_file_is_written_leaves_nothing_beside_it() {
    let left = boots_that_are_ended(60, |stage, round| {
        let count = round as usize + 1;
        stage.sandbox.wait_for(count, "AssumeRoleWithWebIdentity", common::PATIENCE).expect("an exchange");
        std::thread::sleep(Duration::from_micros(u64::from(round) * 100));
    });
    assert!(left.is_empty(), "{left:?}");
}

/// fedboot as pid 1 of a pid namespace; the signal goes to it from outside, as a container runtime sends it.
struct Container {
    unshare: Child,
    fedboot: u32,
}

fn contain(stage: &Stage, shell: &str) -> Container {
    let unshare = unshare(stage, shell);
    let pid = unshare.id();
    let mut child = Vec::new();
    eventually("a namespace", || {
        child = children_of(pid);
        !child.is_empty()
    });
    Container { unshare, fedboot: child[0] }
}

fn unshare(stage: &Stage, shell: &str) -> Child {
    stage
        .wrapper("unshare")
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", "--", "sh", "-c", shell, "sh"])
        .arg(binary())
        .spawn()
        .expect("unshare starts")
}

const NAMESPACE: [&str; 3] = ["--pid", "--fork", "--mount-proc"];

#[test]
fn as_pid_1_signals_end_the_boot() {
    if !may_unshare("as_pid_1_signals_end_the_boot", &NAMESPACE) {
        return;
    }
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
        let stage = hanging_stage();
        let container = contain(&stage, "exec \"$1\" -- touch ran");
        eventually("STS is asked", || !stage.sandbox.requests_to(Service::Sts).is_empty());
        kill(container.fedboot, signal);
        let outcome = stage.finish(container.unshare);
        assert_eq!(outcome.code(), Some(128 + signal), "{:?} {}", outcome.status, outcome.stderr);
        assert!(!stage.directory.path().join("ran").exists());
        assert!(!stage.credentials_file().exists());
    }
    // A signal that the caller has ignored stays ignored.
    let stage = hanging_stage();
    let container = contain(&stage, "trap '' TERM; exec \"$1\" -- touch ran");
    eventually("STS is asked", || !stage.sandbox.requests_to(Service::Sts).is_empty());
    kill(container.fedboot, libc::SIGTERM);
    kill(container.fedboot, libc::SIGINT);
    let outcome = stage.finish(container.unshare);
    assert_eq!(outcome.code(), Some(130), "{:?} {}", outcome.status, outcome.stderr);
}

#[test]
fn as_pid_1_the_command_becomes_pid_1() {
    if !may_unshare("as_pid_1_the_command_becomes_pid_1", &NAMESPACE) {
        return;
    }
    let mut stage = short_lived();
    let report = stage.directory.path().join("report");
    stage.set("PROBE", std::ffi::OsStr::from_bytes(probe::program().as_bytes()));
    let shell = "exec \"$1\" -- sh -c 'trap \"\" USR1; echo $$; read word; \
                 PROBE_REPORT=$PWD/report exec \"$PROBE\"'";
    let mut container = contain(&stage, shell);
    let stdin = container.unshare.stdin.take();
    // Refreshes go on beside it. Its only child is the guard, whose child is the agent.
    stage.sandbox.wait_for(3, "AssumeRoleWithWebIdentity", common::PATIENCE).expect("refreshes");
    let is = |pid: u32, word: &str| words_of(pid).get(1).is_some_and(|found| found == word);
    let [guard] = children_of(container.fedboot)[..] else { panic!("a zombie, or more") };
    let [agent] = children_of(guard)[..] else { panic!("not one agent") };
    assert!(is(guard, "--fedboot-guard") && is(agent, "--fedboot-agent"));
    assert_ne!(stat(agent).expect("its stat")[3], stat(container.fedboot).expect("its stat")[3], "its session");
    drop(stdin);
    let outcome = stage.finish(container.unshare);
    assert_eq!(outcome.code(), Some(probe::EXIT_CODE), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "1\n");
    gone(agent);
    gone(guard);
    let report = probe::read(&report).expect("a report");
    assert_eq!(report["pid"], "1");
    assert_eq!(report["status SigCgt"], "0000000000000000");
    assert_eq!(mask(&report["status SigIgn"]), 1 << (libc::SIGUSR1 - 1));
    // A program that waits for all its children comes to an end of that.
    assert_eq!(report["children"], "[], then ECHILD");
}

#[test]
fn as_pid_1_failures_have_their_exit_codes() {
    if !may_unshare("as_pid_1_failures_have_their_exit_codes", &NAMESPACE) {
        return;
    }
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::error("AccessDenied").always()));
    for (shell, code) in [("exec \"$1\" -- true", 125), ("exec \"$1\" -- /nonexistent", 127), ("exec \"$1\" -- /", 126)]
    {
        let outcome = stage.finish(unshare(&stage, shell));
        assert_eq!(outcome.code(), Some(code), "{}", outcome.stderr);
        assert_eq!(outcome.error().severity(), "ERROR");
    }
}

// The agent.

/// Credentials that are renewed every two seconds. Not shorter: on a machine that is busy with other things they would
/// be seen to have expired on arrival, and then the agent waits a minute.
fn short_lived() -> Stage {
    Stage::with(Sandbox::builder().credential_lifetime(Duration::from_secs(4)))
}

/// Waits for `count` more exchanges than there have been.
#[track_caller]
fn refreshes(stage: &Stage, count: usize) {
    let so_far = stage.sandbox.requests_to(Service::Sts).len();
    let wanted = so_far + count;
    stage.sandbox.wait_for(wanted, "AssumeRoleWithWebIdentity", common::PATIENCE).expect("refreshes go on");
}

#[test]
fn the_agent_keeps_to_itself() {
    let stage = Stage::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (socket, _other_end) = UnixStream::pair().expect("a socket");
    let file = File::create(stage.directory.path().join("file")).expect("a file");
    let all: Vec<OwnedFd> = vec![writer.into(), socket.into(), file.into()];
    let held = stage.hold_with(&[], |command| {
        let give = move || {
            unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
            for (number, fd) in (350..).zip(&all) {
                unsafe { libc::dup2(fd.as_raw_fd(), number) };
            }
            Ok(())
        };
        // SAFETY: system calls only.
        unsafe { command.pre_exec(give) };
    });
    let agent = held.agent();
    let (of_agent, of_command) = (stat(agent).expect("its stat"), stat(held.pid).expect("its stat"));
    for (index, name) in [(2, "process group"), (3, "session")] {
        assert_ne!(of_agent[index], of_command[index], "its {name} is the command's");
    }
    assert_ne!(of_agent[1], held.pid.to_string(), "it is a child of the command's");
    assert!(children_of(held.pid).is_empty(), "the command has children");
    assert_eq!(of_agent[4], "0", "it has a controlling terminal");
    eventually("it gives the working directory up", || {
        fs::read_link(format!("/proc/{agent}/cwd")).is_ok_and(|directory| directory == Path::new("/"))
    });
    let (of_agent, of_command) = (descriptors_of(agent), descriptors_of(held.pid));
    assert_eq!(of_command.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 350, 351, 352]);
    assert_eq!((of_agent[&0].as_str(), of_agent[&1].as_str()), ("/dev/null", "/dev/null"));
    assert_eq!(of_agent[&2], of_command[&2], "its log is not on stderr");
    for (number, target) in of_command.iter().filter(|(number, _)| **number != 2) {
        let shared = of_agent.values().any(|held| held == target && target != "/dev/null");
        assert!(!shared, "the agent holds the command's {number}: {target}");
    }
    // So whoever reads from it sees its end at once, whatever the agent does.
    drop(reader);
    held.release(&stage).assert_succeeded();
}

#[test]
fn the_agent_ends_with_the_command() {
    let stage = Stage::new();
    let mut delays = Vec::new();
    for round in 0..20 {
        let mut held = stage.hold(&[]);
        let agent = Pidfd::open(held.agent());
        assert!(!agent.ended(Duration::ZERO));
        let child = held.child.as_mut().expect("held");
        if round % 2 == 0 {
            drop(child.stdin.take());
        } else {
            kill(held.pid, libc::SIGKILL);
        }
        child.wait().expect("its end");
        let start = Instant::now();
        assert!(agent.ended(Duration::from_secs(5)), "the agent lives on");
        delays.push(start.elapsed());
        let token_file = held.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        assert!(!Path::new(&token_file).exists(), "the token file is left");
    }
    delays.sort();
    figure(&format!(
        "conduct: the agent ended {:.1} ms after the command (median of 20; longest {:.1} ms)",
        delays[10].as_secs_f64() * 1e3,
        delays[19].as_secs_f64() * 1e3
    ));
    assert!(delays[10] < Duration::from_millis(100), "{delays:?}");
}

#[test]
fn the_ends_of_stdout_and_stderr_are_not_delayed() {
    let stage = Stage::new();
    // A stopped agent would hold stdout open for ever, if it held it.
    let mut command = stage.command(common::launch::HOLD);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("fedboot starts");
    let mut stdout = child.stdout.take().expect("stdout");
    let mut word = [0; 5];
    stdout.read_exact(&mut word).expect("its word");
    let agent = agents_of(child.id())[0];
    stop(agent);
    drop(child.stdin.take());
    child.wait().expect("its end");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("the end");
    assert_eq!(state(agent), Some('T'), "the agent was not there to hold it");
    kill(agent, libc::SIGCONT);
    gone(agent);

    let mut delays = Vec::new();
    for _ in 0..20 {
        let mut held = stage.hold(&[]);
        let mut child = held.child.take().expect("held");
        let mut stderr = child.stderr.take().expect("stderr");
        drop(child.stdin.take());
        child.wait().expect("its end");
        let start = Instant::now();
        stderr.read_to_end(&mut Vec::new()).expect("the end");
        delays.push(start.elapsed());
    }
    delays.sort();
    figure(&format!(
        "conduct: stderr ended {:.1} ms after the command (median of 20; longest {:.1} ms)",
        delays[10].as_secs_f64() * 1e3,
        delays[19].as_secs_f64() * 1e3
    ));
    assert!(delays[10] < Duration::from_millis(100), "{delays:?}");
}

#[test]
fn a_killed_agent_harms_nobody() {
    let stage = short_lived();
    let held = stage.hold(&[]);
    refreshes(&stage, 1);
    let agent = held.agent();
    kill(agent, libc::SIGKILL);
    eventually("it is gone", || state(agent).is_none());
    assert_eq!(state(held.pid), Some('S'), "the command");
    assert!(children_of(held.pid).is_empty(), "a zombie is left to the command");
    let text = stage.credentials_text();
    let issued = stage.sandbox.issued();
    assert!(issued.iter().any(|issued| text.contains(&issued.session_token)), "{text}");
    assert!(text.ends_with("region = us-east-1\n"), "{text}");
    held.release(&stage).assert_succeeded();
}

#[test]
fn a_stopped_agent_goes_on_when_it_is_continued() {
    let stage = short_lived();
    let held = stage.hold(&[]);
    let agent = held.agent();
    refreshes(&stage, 1);
    // Not in the middle of it: what arrives when it has expired already is another matter.
    eventually("the file has the newest ones", || {
        let issued = stage.sandbox.issued();
        issued.last().is_some_and(|last| stage.credentials_text().contains(&last.access_key_id))
    });
    stop(agent);
    let stopped_at = stage.sandbox.requests_to(Service::Sts).len();
    let expired = || stage.sandbox.issued().iter().all(|issued| !issued.is_live());
    eventually("all credentials have expired", expired);
    assert_eq!(stage.sandbox.requests_to(Service::Sts).len(), stopped_at, "it was not stopped");
    kill(agent, libc::SIGCONT);
    refreshes(&stage, 2);
    eventually("the file has live credentials", || {
        let text = stage.credentials_text();
        stage.sandbox.issued().iter().any(|issued| issued.is_live() && text.contains(&issued.access_key_id))
    });
    held.release(&stage).assert_succeeded();
}

#[test]
fn signals_meant_for_the_command_do_not_end_the_agent() {
    let stage = short_lived();
    let held = stage.hold(&[]);
    let agent = held.agent();
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGPIPE] {
        kill(agent, signal);
    }
    refreshes(&stage, 2);
    assert_eq!(held.agent(), agent);
    held.release(&stage).assert_succeeded();
}

/// The endpoint's answer, as a client with little patience gets it.
fn fetch(held: &Held) -> Option<String> {
    let uri = held.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let (address, path) = uri.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a URI");
    let mut stream = TcpStream::connect(address).expect("the endpoint listens");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Fills a pipe to its last byte, and returns both ends.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    fill(&mut writer);
    (reader, writer)
}

fn fill(writer: &mut impl AsRawFd) {
    let flags = |flags: i32| unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, flags) };
    flags(libc::O_NONBLOCK | libc::O_WRONLY);
    let mut size = 4096;
    while size > 0 {
        if unsafe { libc::write(writer.as_raw_fd(), vec![b'.'; size].as_ptr().cast(), size) } < 0 {
            size /= 2;
        }
    }
    flags(libc::O_WRONLY);
}

#[test]
fn a_full_stderr_that_nobody_reads_stops_nothing() {
    let stage = short_lived();
    let (reader, writer) = full_pipe();
    let held = stage.hold_with(&["--log-level=debug"], |command| {
        command.stderr(writer);
    });
    refreshes(&stage, 3);
    assert!(fetch(&held).is_some_and(|answer| answer.starts_with("HTTP/1.1 200")));
    held.release(&stage).assert_succeeded();
    drop(reader);
}

/// The worst moment: stderr takes a line when it is asked and is full when the line comes.
#[test]
fn a_stderr_that_fills_in_between_stops_nothing() {
    let name = "a_stderr_that_fills_in_between_stops_nothing";
    if !has(name, "strace") {
        return;
    }
    let stage = short_lived();
    // With a name, by which strace knows its writes.
    let path = stage.directory.path().join("stderr");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let reader = OpenOptions::new().read(true).write(true).open(&path).expect("its one end");
    let mut writer = OpenOptions::new().write(true).open(&path).expect("its other end");
    let held = stage.hold_with(&[], |command| {
        command.stderr(OpenOptions::new().write(true).open(&path).expect("its other end"));
    });
    let agent = held.agent();
    // Each line of the agent's comes a second late.
    let mut strace = Command::new("strace")
        .args(["-f", "-q", "-o", "/dev/null", "-e", "trace=write", "-e", "inject=write:delay_enter=1000000", "-P"])
        .arg(&path)
        .args(["-p", &agent.to_string()])
        .stderr(Stdio::null())
        .spawn()
        .expect("strace starts");
    let traced = || fs::read_to_string(format!("/proc/{agent}/status")).is_ok_and(|s| !s.contains("TracerPid:\t0"));
    eventually("strace holds it", traced);
    let so_far = stage.sandbox.issued().len();
    eventually("new credentials", || stage.sandbox.issued().len() > so_far);
    let newest = stage.sandbox.issued().last().expect("one").access_key_id.clone();
    eventually("they are in the file", || stage.credentials_text().contains(&newest));
    // The line was announced by now, and is under way.
    std::thread::sleep(Duration::from_millis(400));
    fill(&mut writer);
    std::thread::sleep(Duration::from_secs(1));
    kill(strace.id(), libc::SIGINT);
    let _ = strace.wait();
    let answer = fetch(&held);
    // So that the agent sees the command's end, whatever became of it.
    drop(reader);
    drop(writer);
    assert!(answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")), "the endpoint does not answer");
    refreshes(&stage, 2);
    held.release(&stage).assert_succeeded();
}

/// Runs fedboot under strace, which makes one system call fail, and returns strace with fedboot's pid.
fn with_failing(stage: &Stage, fault: &str, call: &str) -> (Child, u32) {
    let mut strace = stage
        .wrapper("strace")
        .args(["-f", "-q", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", fault, "--"])
        .arg(binary())
        .args(common::launch::HOLD)
        .spawn()
        .expect("strace starts");
    let mut word = [0; 5];
    strace.stdout.as_mut().expect("stdout").read_exact(&mut word).expect("its word");
    let pid = children_of(strace.id())[0];
    (strace, pid)
}

#[test]
fn without_pidfds_the_agent_still_ends_with_the_command() {
    if !has("without_pidfds_the_agent_still_ends_with_the_command", "strace") {
        return;
    }
    let stage = short_lived();
    let (mut strace, pid) = with_failing(&stage, "inject=pidfd_open:error=ENOSYS", "pidfd_open");
    let agent = agents_of(pid)[0];
    assert!(!descriptors_of(agent).values().any(|target| target.contains("pidfd")), "the row has no effect");
    let watch = Pidfd::open(agent);
    refreshes(&stage, 2);
    assert!(!watch.ended(Duration::ZERO), "it ended before the command");
    drop(strace.stdin.take());
    eventually("the command ends", || state(pid).is_none_or(|state| state == 'Z'));
    let start = Instant::now();
    assert!(watch.ended(Duration::from_secs(10)), "the agent lives on");
    figure(&format!(
        "conduct: without pidfd_open the agent ended {:.0} ms after the command",
        start.elapsed().as_secs_f64() * 1e3
    ));
    assert!(stage.finish(strace).status.success());
}

#[test]
fn without_close_range_the_agent_still_holds_no_descriptor() {
    if !has("without_close_range_the_agent_still_holds_no_descriptor", "strace") {
        return;
    }
    let stage = Stage::new();
    let (strace, pid) = with_failing(&stage, "inject=close_range:error=ENOSYS", "close_range");
    let (of_agent, of_command) = (descriptors_of(agents_of(pid)[0]), descriptors_of(pid));
    for number in [0, 1] {
        assert!(!of_agent.values().any(|target| *target == of_command[&number]), "it holds {number}");
    }
    drop(of_agent);
    let mut strace = strace;
    drop(strace.stdin.take());
    assert!(stage.finish(strace).status.success());
}

#[test]
fn nothing_of_proc_is_needed() {
    if !may_unshare("nothing_of_proc_is_needed", &["--mount"]) {
        return;
    }
    let stage = Stage::new();
    let child = stage
        .wrapper("unshare")
        .args(["--mount", "--", "sh", "-c", "mount -t tmpfs none /proc && exec \"$1\" -- true", "sh"])
        .arg(binary())
        .spawn()
        .expect("unshare starts");
    stage.finish(child).assert_succeeded();
}

#[test]
fn closed_standard_descriptors_do_not_stop_refreshes() {
    let stage = short_lived();
    let done = CString::new(stage.directory.path().join("done").as_os_str().as_bytes()).expect("a path");
    for closed in [vec![0], vec![1], vec![2], vec![0, 1, 2]] {
        let _ = fs::remove_file(stage.directory.path().join("done"));
        let script = "while [ ! -e done ]; do sleep 0.05; done";
        let argv: [&[u8]; 5] = [b"fedboot", b"--", b"sh", b"-c", script.as_bytes()];
        let numbers = closed.clone();
        let mut child = Launch::new(&binary(), argv, stage.environment())
            .prepare(Arc::new(move || close(numbers.iter().copied())))
            .spawn(stage.directory.path(), Stdio::null(), Stdio::null(), Stdio::null());
        refreshes(&stage, 2);
        let agents = agents_of(child.id());
        assert_eq!(agents.len(), 1, "closed {closed:?}");
        let descriptors = descriptors_of(agents[0]);
        for number in 0..=2 {
            assert_eq!(descriptors.get(&number).map(String::as_str), Some("/dev/null"), "closed {closed:?}");
        }
        File::create(std::ffi::OsStr::from_bytes(done.as_bytes())).expect("a file");
        assert!(wait(&mut child).success(), "closed {closed:?}");
        gone(agents[0]);
    }
}

/// A failing boot says so in one line, and its exit code does not depend on whether anybody reads it.
#[test]
fn a_failing_boot_needs_no_reader() {
    let stage = Stage::new();
    let run = |prepare: Prepare, stderr: Stdio| {
        let argv: [&[u8]; 3] = [b"fedboot", b"--", b"/nonexistent"];
        let mut child = Launch::new(&binary(), argv, stage.environment()).prepare(prepare).spawn(
            stage.directory.path(),
            Stdio::null(),
            Stdio::null(),
            stderr,
        );
        wait(&mut child)
    };
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    assert_eq!(run(Arc::new(|| {}), writer.into()).code(), Some(127), "a broken pipe");
    assert_eq!(run(Arc::new(|| close([2])), Stdio::null()).code(), Some(127), "no stderr");
    let (_reader, writer) = full_pipe();
    let status = run(Arc::new(|| {}), writer.into());
    assert_eq!((status.code(), status.signal()), (Some(127), None), "a full pipe");
}

#[test]
fn nothing_of_a_run_is_left_behind() {
    let stage = Stage::new();
    let outcome: Outcome = stage.run(["--", "true"]);
    outcome.assert_succeeded();
    assert_eq!(directory_of(&stage), ["credentials"]);
    assert_eq!(outcome.events().len(), 1, "{}", outcome.stderr);
}
