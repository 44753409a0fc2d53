//! Starts a program in states that `std::process::Command` cannot make: any environ, any signal state, closed
//! descriptors. And what a test that needs root, namespaces or another program asks before.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::{Outcome, Stage, eventually};

/// A program with everything it is given.
pub struct Launch {
    program: CString,
    argv: Vec<CString>,
    environment: Vec<CString>,
    /// What the new process does before it becomes the program; only what may be done after a fork.
    prepare: Arc<dyn Fn() + Send + Sync>,
}

impl Launch {
    pub fn new<A: AsRef<[u8]>, E: AsRef<[u8]>>(
        program: &Path,
        argv: impl IntoIterator<Item = A>,
        environment: impl IntoIterator<Item = E>,
    ) -> Self {
        let c_string = |bytes: &[u8]| CString::new(bytes).expect("no NUL");
        Self {
            program: c_string(program.as_os_str().as_bytes()),
            argv: argv.into_iter().map(|argument| c_string(argument.as_ref())).collect(),
            environment: environment.into_iter().map(|entry| c_string(entry.as_ref())).collect(),
            prepare: Arc::new(|| {}),
        }
    }

    pub fn prepare(mut self, prepare: Arc<dyn Fn() + Send + Sync>) -> Self {
        self.prepare = prepare;
        self
    }

    /// Starts it, in this directory, with these as standard descriptors.
    pub fn spawn(self, directory: &Path, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Child {
        let Self { program, argv, environment, prepare } = self;
        let pointers = |strings: &[CString]| -> Vec<usize> {
            strings.iter().map(|string| string.as_ptr() as usize).chain([0]).collect()
        };
        let (argv_pointers, environment_pointers) = (pointers(&argv), pointers(&environment));
        let mut command = Command::new("/nonexistent");
        command.current_dir(directory).stdin(stdin).stdout(stdout).stderr(stderr);
        let become_it = move || {
            // What the test's own caller left open is not what is compared.
            // SAFETY: changes flags of descriptors.
            unsafe {
                libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
                // By the kernel's own call: the C library keeps two signals for itself.
                let default = [libc::SIG_DFL, 0, 0, 0];
                for signal in 1..=64 {
                    libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null::<usize>(), 8);
                }
            }
            prepare();
            // SAFETY: the strings live in this closure, each list ends with a null pointer.
            unsafe {
                libc::execve(program.as_ptr(), argv_pointers.as_ptr().cast(), environment_pointers.as_ptr().cast());
            }
            let error = io::Error::last_os_error();
            // Keeps them for as long as the pointers to them are used.
            let _ = (&argv, &environment);
            Err(error)
        };
        // SAFETY: nothing in there allocates or takes a lock.
        unsafe { command.pre_exec(become_it) };
        command.spawn().expect("the program starts")
    }
}

/// fedboot in front of a command that waits until the test lets it go.
pub struct Held {
    pub child: Option<Child>,
    pub pid: u32,
    /// `environ` as the command got it.
    pub environment: Vec<Vec<u8>>,
    stdout: BufReader<ChildStdout>,
}

/// What [`Held`]'s command does.
pub const HOLD: [&str; 4] = ["--", "sh", "-c", "echo held; read word; exit 0"];

impl Held {
    /// Waits until the command runs.
    pub fn from(mut child: Child) -> Self {
        let mut stdout = BufReader::new(child.stdout.take().expect("its stdout"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("its word");
        if line != "held\n" {
            let mut said = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                let _ = io::Read::read_to_string(&mut stderr, &mut said);
            }
            panic!("the command did not start: {line}{said}");
        }
        let pid = child.id();
        let environment = environment_of(pid);
        Self { child: Some(child), pid, environment, stdout }
    }

    pub fn variable(&self, name: &str) -> String {
        let value = self.environment.iter().find_map(|entry| entry.strip_prefix(format!("{name}=").as_bytes()));
        String::from_utf8(value.unwrap_or_else(|| panic!("no {name}")).to_vec()).expect("text")
    }

    /// The agent's pid.
    pub fn agent(&self) -> u32 {
        let agents = super::agents_of(self.pid);
        assert_eq!(agents.len(), 1, "agents: {agents:?}");
        agents[0]
    }

    /// Kills guard and agent, so that there is nobody who could put another one in its place.
    #[track_caller]
    pub fn kill_agent_for_good(&self) {
        let agent = self.agent();
        let guard = parent_of(agent);
        kill(guard, libc::SIGSTOP);
        kill(agent, libc::SIGKILL);
        kill(guard, libc::SIGKILL);
        gone(guard);
        gone(agent);
    }

    /// Ends the command and waits for both.
    pub fn release(mut self, stage: &Stage) -> Outcome {
        let mut child = self.child.take().expect("held once");
        drop(child.stdin.take());
        let mut outcome = stage.finish(child);
        io::Read::read_to_string(&mut self.stdout, &mut outcome.stdout).expect("the rest of stdout");
        outcome
    }
}

impl Drop for Held {
    /// A test that failed leaves nothing behind.
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Stage {
    /// fedboot with these options and a command that waits.
    pub fn hold(&self, options: &[&str]) -> Held {
        let mut command = self.command(options.iter().copied().chain(HOLD));
        Held::from(command.stdin(Stdio::piped()).spawn().expect("fedboot starts"))
    }

    /// Another program on this stage, to start fedboot in its way.
    pub fn wrapper(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(&self.variables)
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// As [`Self::hold`], `change` having had a look at the process before it starts.
    pub fn hold_with(&self, options: &[&str], change: impl FnOnce(&mut Command)) -> Held {
        let mut command = self.command(options.iter().copied().chain(HOLD));
        command.stdin(Stdio::piped());
        change(&mut command);
        Held::from(command.spawn().expect("fedboot starts"))
    }
}

/// Raises the limit of this process as far as it may; returns how many of `wanted` connections that
/// allows beside what is `for_others`.
pub fn allow_descriptors(wanted: u64, for_others: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads and writes one structure.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max.min(wanted * 2 + 1000).max(limit.rlim_cur);
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
    wanted.min(limit.rlim_cur.saturating_sub(for_others))
}

/// Has the process have no more than 64 open files.
pub fn few_descriptors(command: &mut Command) {
    let low = || {
        let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
        // SAFETY: reads one structure.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: one system call.
    unsafe { command.pre_exec(low) };
}

/// A terminal: whoever sits before it, and what programs have.
pub fn terminal() -> [OwnedFd; 2] {
    let (mut master, mut slave) = (-1, -1);
    let none = std::ptr::null_mut::<libc::c_char>();
    // SAFETY: fills two numbers, which are nobody else's.
    unsafe {
        assert_eq!(libc::openpty(&raw mut master, &raw mut slave, none, none.cast(), none.cast()), 0);
        [master, slave].map(|fd| {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
            OwnedFd::from_raw_fd(fd)
        })
    }
}

/// What started the tests may ignore signals (nohup does), and every process here would inherit that.
pub fn stop_ignoring_signals() {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2] {
        // SAFETY: no handler is installed.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// `environ` of a process as it started.
pub fn environment_of(pid: u32) -> Vec<Vec<u8>> {
    let block = fs::read(format!("/proc/{pid}/environ")).expect("its environ");
    block.strip_suffix(b"\0").unwrap_or(&block).split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

/// Sends a signal to one process.
#[track_caller]
pub fn kill(pid: u32, signal: i32) {
    // SAFETY: plain system call.
    let sent = unsafe { libc::kill(i32::try_from(pid).expect("a pid"), signal) };
    assert_eq!(sent, 0, "signal {signal} to {pid}: {}", io::Error::last_os_error());
}

/// A process that can be waited for without being its parent.
pub struct Pidfd(OwnedFd);

impl Pidfd {
    pub fn open(pid: u32) -> Self {
        // SAFETY: plain system call; what it returns is nobody else's.
        unsafe {
            let fd = libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), 0);
            assert!(fd >= 0, "pidfd of {pid}: {}", io::Error::last_os_error());
            Self(OwnedFd::from_raw_fd(i32::try_from(fd).expect("a descriptor")))
        }
    }

    /// Whether it has ended within `timeout`.
    pub fn ended(&self, timeout: Duration) -> bool {
        let mut ready = [nix::poll::PollFd::new(self.0.as_fd(), nix::poll::PollFlags::POLLIN)];
        let timeout = nix::poll::PollTimeout::try_from(timeout).expect("a timeout");
        nix::poll::poll(&mut ready, timeout).expect("poll") == 1
    }
}

/// Stops a process, and waits until it has.
pub fn stop(pid: u32) {
    kill(pid, libc::SIGSTOP);
    eventually("it stops", || state(pid) == Some('T'));
}

/// Waits until the process has ended; a zombie has.
#[track_caller]
pub fn gone(pid: u32) {
    eventually("the process ends", || state(pid).is_none_or(|state| "ZX".contains(state)));
}

/// The processes whose parent it is.
pub fn children_of(pid: u32) -> Vec<u32> {
    let wanted = pid.to_string();
    fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|child| stat(*child).is_some_and(|fields| fields.get(1) == Some(&wanted)))
        .collect()
}

/// The process whose child it is.
#[track_caller]
pub fn parent_of(pid: u32) -> u32 {
    stat(pid).expect("its stat")[1].parse().expect("a pid")
}

/// What its descriptors lead to, by number.
pub fn descriptors_of(pid: u32) -> BTreeMap<u32, String> {
    let listed = fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").flatten();
    listed
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, target.to_string_lossy().into_owned()))
        })
        .collect()
}

/// Its state letter in `/proc`.
pub fn state(pid: u32) -> Option<char> {
    stat(pid)?.first()?.chars().next()
}

/// The fields of `/proc/PID/stat` behind the name: state, parent, process group, session, …
pub fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// Says that a test was not run, and why; `FEDBOOT_SKIPS` names a file that collects it.
pub fn skip(name: &str, reason: &str) {
    let line = format!("SKIP {name}: {reason}\n");
    // Not by a macro of the test harness, which would keep it to itself.
    let _ = io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os("FEDBOOT_SKIPS").filter(|file| !file.is_empty()) {
        let file = OpenOptions::new().append(true).create(true).open(file);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("FEDBOOT_SKIPS can be written");
    }
}

/// A measured figure, for people.
pub fn figure(text: &str) {
    let _ = io::stderr().write_all(format!("FIGURE {text}\n").as_bytes());
}

/// Whether this is root, and with the right to make namespaces.
pub fn may_unshare(name: &str, flags: &[&str]) -> bool {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        skip(name, "not root");
        return false;
    }
    let tried = Command::new("unshare").args(flags).arg("true").stderr(Stdio::null()).status();
    let may = tried.is_ok_and(|status| status.success());
    if !may {
        skip(name, "no right to make namespaces, or no unshare");
    }
    may
}

/// Runs `test` in a network of its own, with loopback up, and mounts of its own; so runs what it starts.
pub fn in_own_network(name: &str, test: impl FnOnce() + Send + 'static) {
    if !may_unshare(name, &["--net", "--mount"]) || !has(name, "ip") || !has(name, "curl") {
        return;
    }
    let test = move || {
        // SAFETY: this thread's namespaces alone, and nothing else of it is asked for afterwards.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) }, 0, "no namespaces");
        for line in ["mount --make-rprivate /", "ip link set lo up"] {
            assert!(sh(line), "{line}");
        }
        test();
    };
    if let Err(panic) = std::thread::spawn(test).join() {
        std::panic::resume_unwind(panic);
    }
}

/// Whether this line of shell succeeds.
pub fn sh(line: &str) -> bool {
    Command::new("sh").args(["-c", line]).status().is_ok_and(|status| status.success())
}

/// Whether the program is on `PATH`.
pub fn has(name: &str, program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if !found {
        skip(name, &format!("no {program} here"));
    }
    found
}

/// `name=value`.
pub fn entry(name: &str, value: impl AsRef<OsStr>) -> Vec<u8> {
    [name.as_bytes(), b"=", value.as_ref().as_bytes()].concat()
}
