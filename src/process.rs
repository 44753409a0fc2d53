//! The only Unix corner: argv, spawning the agent, watching the command, becoming it. All `unsafe` is here.
#![allow(unsafe_code, reason = "fork, exec and friends have no safe interface; each use says why it is sound")]

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use nix::unistd::{ForkResult, Pid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::error::{Error, Kind, Result};

/// What argv\[1\] of the agent is; nothing that anybody would type.
pub const AGENT: &str = "--fedboot-agent";
/// The pid of an agent without a command.
const NOBODY: &str = "0";
/// Where a command is looked for when `PATH` is not set, as container runtimes have it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How often the command is looked at on a kernel that knows no pidfd.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Defines the C entry point, which calls `$run(&[OsString]) -> u8`.
///
/// Rust's own start-up would set SIGPIPE to ignored and open closed standard descriptors, and the command would
/// inherit both.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        /// # Safety
        /// Only for the C library to call.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn main(count: i32, argv: *const *const std::ffi::c_char) -> i32 {
            // SAFETY: these are the C library's own.
            i32::from($run(&unsafe { $crate::process::arguments(count, argv) }))
        }
    };
}

/// argv as the C library hands it over; std's own copy of it is there only on glibc.
///
/// # Safety
/// `argv` points to `count` pointers to NUL-terminated strings.
#[doc(hidden)]
pub unsafe fn arguments(count: i32, argv: *const *const std::ffi::c_char) -> Vec<OsString> {
    (0..usize::try_from(count).unwrap_or(0))
        .map(|index| {
            // SAFETY: the caller says so.
            let argument = unsafe { CStr::from_ptr(*argv.add(index)) };
            OsString::from_vec(argument.to_bytes().to_vec())
        })
        .collect()
}

/// The parent's end of a started agent.
pub struct Agent {
    report: OwnedFd,
}

/// Starts the own executable again as the agent: a session of its own, an orphan, with none of the command's
/// descriptors but stderr. Its standard input is a pidfd of this process (which outlives an exec), its standard
/// output the pipe of its report. With `has_command` it ends with this process.
///
/// # Errors
/// What the kernel refused.
pub fn spawn_agent(options: &[OsString], has_command: bool) -> Result<Agent> {
    let failed = |what: &str, errno: Errno| {
        Error::new(Kind::Fatal, "start the agent", "", format!("{what} failed: {}", errno.desc()))
    };
    let (report, agent_report) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed("pipe", errno))?;
    // Where the caller closed 0, 1 or 2, the kernel hands them out again: those numbers are the command's.
    let report = above_standard(report).map_err(|errno| failed("fcntl", errno))?;
    let agent_report = above_standard(agent_report).map_err(|errno| failed("fcntl", errno))?;
    let own = nix::unistd::getpid();
    let watched = match pidfd_open(own) {
        Ok(pidfd) => above_standard(pidfd),
        Err(_) => open_null(),
    }
    .map_err(|errno| failed("open", errno))?;
    let followed = if has_command { own.to_string() } else { NOBODY.into() };
    let mut argv = vec![c"fedboot".to_owned(), c_string(AGENT.as_ref()), c_string(followed.as_ref())];
    argv.extend(options.iter().map(|option| c_string(option)));
    let pending = child_signal_is_pending();
    // SAFETY: this process has one thread, so the child may go on as an ordinary process.
    match unsafe { nix::unistd::fork() }.map_err(|errno| failed("fork", errno))? {
        ForkResult::Parent { child } => {
            let _ = nix::sys::wait::waitpid(child, None);
            if !pending {
                forget_child_signal();
            }
            Ok(Agent { report })
        }
        ForkResult::Child => {
            let _ = nix::unistd::setsid();
            // SAFETY: as above. The second fork makes the agent an orphan, so that no `wait` of the command's meets it.
            match unsafe { nix::unistd::fork() } {
                Ok(ForkResult::Child) => become_agent(&watched, &agent_report, &argv),
                _ => exit_now(0),
            }
        }
    }
}

fn become_agent(watched: &OwnedFd, report: &OwnedFd, argv: &[CString]) -> ! {
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    // SAFETY: the numbers 0 and 1 belong to nobody in this process; `watched` and `report` are above 2.
    unsafe {
        libc::dup2(watched.as_raw_fd(), 0);
        libc::dup2(report.as_raw_fd(), 1);
        if libc::fcntl(2, libc::F_GETFD) < 0 && libc::open(c"/dev/null".as_ptr(), libc::O_WRONLY) > 2 {
            exit_now(1);
        }
    }
    close_inherited();
    let errno = nix::unistd::execv(c"/proc/self/exe", argv).err();
    let reason = match errno {
        // The only way the parent can learn of it.
        Some(errno) => format!("cannot execute /proc/self/exe: {} (is /proc mounted?)", errno.desc()),
        None => String::new(),
    };
    let _ = nix::unistd::write(report, reason.as_bytes());
    exit_now(1)
}

/// Marks everything above the standard descriptors to be closed by exec.
fn close_inherited() {
    // SAFETY: plain system call; it changes flags of descriptors that this process does not use after the exec.
    if unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) } == 0 {
        return;
    }
    for entry in fs::read_dir("/proc/self/fd").into_iter().flatten().flatten() {
        if let Some(fd) = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()).filter(|fd| *fd > 2) {
            // SAFETY: as above.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

fn child_signal_is_pending() -> bool {
    let mut set = SigSet::empty();
    // SAFETY: the pointer is to a live set; `SigSet` has the C type's layout.
    unsafe { libc::sigpending((&raw mut set).cast()) == 0 && set.contains(Signal::SIGCHLD) }
}

/// The exit of the first child may stand as a pending SIGCHLD where the caller blocks it; the command must not see it.
fn forget_child_signal() {
    let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    // SAFETY: both pointers are to live values.
    unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), &raw const none) };
}

impl Agent {
    /// Reads the agent's report until it is complete or the agent closes its end.
    ///
    /// # Errors
    /// After `timeout`, or where reading fails.
    pub fn read_report(&self, timeout: Duration) -> io::Result<Vec<u8>> {
        let mut report = Vec::new();
        let mut buffer = [0; 4096];
        // The agent keeps the time itself; this is for one that cannot (stopped, say), so it need not be exact.
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        loop {
            match poll(&mut [PollFd::new(self.report.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
                Ok(_) => {}
            }
            match nix::unistd::read(&self.report, &mut buffer) {
                Ok(0) => return Ok(report),
                Ok(count) => report.extend_from_slice(&buffer[..count]),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// As pid 1 the kernel delivers no signal that has its default disposition, so a container could not be stopped while
/// it waits for credentials. Exec sets these handlers back to the default.
pub fn let_signals_end_pid_1() {
    extern "C" fn end(signal: i32) {
        // SAFETY: `_exit` may be called from a signal handler.
        unsafe { libc::_exit(128 + signal) }
    }
    if nix::unistd::getpid().as_raw() != 1 {
        return;
    }
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP] {
        let action = SigAction::new(SigHandler::Handler(end), SaFlags::SA_RESTART, SigSet::empty());
        // SAFETY: the handler does nothing but `_exit`.
        if let Ok(old) = unsafe { sigaction(signal, &action) }
            && matches!(old.handler(), SigHandler::SigIgn)
        {
            // SAFETY: puts back what was there.
            let _ = unsafe { sigaction(signal, &old) };
        }
    }
}

/// Finds `command` as a shell would: by its path, else in `path`.
///
/// # Errors
/// [`Kind::NotFound`] or [`Kind::NotExecutable`].
pub fn find_command(command: &OsStr, path: Option<&OsStr>) -> Result<CString> {
    let mut found = None;
    for candidate in candidates(command, path) {
        let file = Path::new(OsStr::from_bytes(candidate.as_bytes()));
        match fs::metadata(file) {
            Ok(metadata) if metadata.is_dir() => found = Some("is a directory"),
            Ok(_) if nix::unistd::eaccess(file, nix::unistd::AccessFlags::X_OK).is_ok() => return Ok(candidate),
            Ok(metadata) => {
                let anyone = metadata.permissions().mode() & 0o111 != 0;
                found = Some(if anyone { "may not be executed by this user" } else { "has no execute permission" });
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => found = Some("may not be looked at"),
            Err(_) => {}
        }
    }
    let name = command.to_string_lossy();
    Err(match found {
        Some(problem) => Error::new(Kind::NotExecutable, "run the command", name, problem),
        None if command.as_bytes().contains(&b'/') => {
            Error::new(Kind::NotFound, "run the command", name, "does not exist")
        }
        None => Error::new(Kind::NotFound, "run the command", name, "is in no directory of PATH"),
    })
}

fn candidates(command: &OsStr, path: Option<&OsStr>) -> Vec<CString> {
    let name = command.as_bytes();
    if name.is_empty() {
        return Vec::new();
    }
    if name.contains(&b'/') {
        return vec![c_string(command)];
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    path.as_bytes()
        .split(|byte| *byte == b':')
        .map(|directory| {
            let directory = if directory.is_empty() { b"." } else { directory };
            c_string(OsStr::from_bytes(&[directory, b"/", name].concat()))
        })
        .collect()
}

/// Becomes the command: same process, argv as bytes, the environment but for what is to be `set` or `unset`, all else
/// as it is.
///
/// Comes back only with the reason why it could not.
pub fn exec(file: &CStr, command: &[OsString], set: &[(OsString, OsString)], unset: &[OsString]) -> Error {
    let argv: Vec<_> = command.iter().map(|argument| c_string(argument)).collect();
    let environment = changed_environment(set, unset);
    let errno = match nix::unistd::execve(file, &argv, &environment) {
        Ok(never) => match never {},
        Err(errno) => errno,
    };
    let problem = match errno {
        // The file was there a moment ago.
        Errno::ENOENT => "cannot be executed: its interpreter (after #!, or the dynamic linker) does not exist",
        Errno::ENOEXEC => "cannot be executed: neither a program for this machine nor a script that begins with #!",
        Errno::E2BIG => "cannot be executed: arguments and environment together are too long",
        other => other.desc(),
    };
    Error::new(Kind::NotExecutable, "run the command", file.to_string_lossy(), problem)
}

/// The environment entry by entry as it was given, malformed and doubled ones too, but for what changes.
fn changed_environment(set: &[(OsString, OsString)], unset: &[OsString]) -> Vec<CString> {
    unsafe extern "C" {
        static environ: *const *const std::ffi::c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: one thread; the C library's list ends with a null pointer and its entries are NUL-terminated.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            entries.push(CStr::from_ptr(*entry).to_owned());
            entry = entry.add(1);
        }
    }
    let touched = |entry: &CString| {
        let name = entry.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
        entry.as_bytes().contains(&b'=')
            && (unset.iter().any(|unset| unset.as_bytes() == name) || set.iter().any(|(set, _)| set.as_bytes() == name))
    };
    entries.retain(|entry| !touched(entry));
    for (name, value) in set {
        entries.push(c_string(OsStr::from_bytes(&[name.as_bytes(), b"=", value.as_bytes()].concat())));
    }
    entries
}

/// The agent's own end of what [`spawn_agent`] set up.
pub struct Parent {
    has_command: bool,
    command: Option<Watch>,
    report: Option<OwnedFd>,
}

impl Parent {
    /// Takes the report pipe and the pidfd over, and makes this process fit to live beside another: its own name, no
    /// claim on the command's working directory, no death by a signal that is meant for the command.
    pub fn adopt(pid: &OsStr) -> Option<Self> {
        let pid = Pid::from_raw(pid.to_str()?.parse().ok()?);
        // SAFETY: nothing else in this process knows the numbers 0 and 1.
        let (watched, report) = unsafe { (OwnedFd::from_raw_fd(0), OwnedFd::from_raw_fd(1)) };
        let report = above_standard(report).ok()?;
        let watched = above_standard(watched).ok()?;
        // Numbers 0 and 1 stay taken, so that no socket ever becomes somebody's standard output.
        for fd in [0, 1] {
            // SAFETY: both were just freed.
            if unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } != fd {
                return None;
            }
        }
        stop_waiting_on_stderr();
        // SAFETY: a NUL-terminated name; nothing else is read.
        unsafe { libc::prctl(libc::PR_SET_NAME, c"fedboot".as_ptr()) };
        keep_files_private();
        // A stopping container may signal every process in it; the command may need credentials while it drains, and
        // the agent ends with it anyway.
        for signal in [Signal::SIGPIPE, Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
            // SAFETY: no handler is installed.
            let _ = unsafe { nix::sys::signal::signal(signal, SigHandler::SigIgn) };
        }
        let pidfd = is_pidfd(&watched).then_some(watched);
        let start_time = if pidfd.is_none() { start_time(pid) } else { None };
        let command = (pid.as_raw() != 0).then_some(Watch { pidfd, pid, start_time });
        Some(Self { has_command: command.is_some(), command, report: Some(report) })
    }

    /// Sends the report and closes the pipe. Nothing is sent twice.
    pub fn report(&mut self, report: &[u8]) {
        let taken = self.report.take().is_none_or(|pipe| fs::File::from(pipe).write_all(report).is_ok());
        if !self.has_command {
            release_stderr();
            // Whoever wanted it is gone, and nobody else knows that it is here.
            if !taken {
                let _ = nix::sys::signal::raise(Signal::SIGTERM);
            }
        }
    }

    /// Whether there is a command to end with.
    pub fn has_command(&self) -> bool {
        self.has_command
    }

    /// Takes out what watches the command.
    pub fn watch(&mut self) -> Option<Watch> {
        self.command.take()
    }
}

/// Whoever reads a pipe of an agent without a command, `$(…)` say, must not wait for the agent's end.
fn release_stderr() {
    // SAFETY: asks about a number, open or not; then gives it another meaning.
    unsafe {
        let mut stat = std::mem::zeroed();
        if libc::fstat(2, &raw mut stat) == 0
            && [libc::S_IFIFO, libc::S_IFSOCK].contains(&(stat.st_mode & libc::S_IFMT))
        {
            libc::dup2(0, 2);
        }
    }
}

/// Appends what goes to stderr to `file` from now on.
///
/// # Errors
/// Why it cannot be opened.
pub fn log_to(file: &Path) -> io::Result<()> {
    let opened = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    // SAFETY: the number 2 is the log's own.
    unsafe { libc::dup2(opened.as_raw_fd(), 2) };
    Ok(())
}

/// The signals by which an agent without a command is told to end.
pub struct Termination(SignalFd);

/// Has them read instead of acted upon. Before any thread is started.
///
/// # Errors
/// What the kernel refused.
pub fn take_termination_signals() -> Result<Termination> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        // SAFETY: no handler is installed.
        let _ = unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) };
        set.add(signal);
    }
    let taken = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)
        .and_then(|()| SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK));
    taken.map(Termination).map_err(|errno| Error::new(Kind::Fatal, "wait for signals", "", errno.desc()))
}

impl Termination {
    /// Waits for one of them.
    pub async fn received(self) {
        let raw = self.0.as_fd().try_clone_to_owned().ok().and_then(|fd| readable(fd).ok());
        match raw {
            Some(fd) => drop(fd.readable().await),
            None => std::future::pending().await,
        }
    }
}

/// Waits for the end of the process that is `followed`.
pub async fn follow(followed: Followed) {
    let pid = match followed {
        Followed::Pid(pid) => pid,
        Followed::File(file) => loop {
            if let Ok(pid) = fs::read_to_string(&file).unwrap_or_default().trim().parse() {
                break Pid::from_raw(pid);
            }
            tokio::time::sleep(WATCH_INTERVAL).await;
        },
    };
    if let Some(watch) = Watch::of(pid) {
        watch.ended().await;
    }
}

/// Whom an agent without a command follows.
pub enum Followed {
    /// This process.
    Pid(Pid),
    /// The one whose pid stands in this file, once it does.
    File(PathBuf),
}

impl Followed {
    /// Reads `text`, a number or the name of a file under `directory`.
    ///
    /// # Errors
    /// A usage error where there is no such process.
    pub fn parse(text: &OsStr, directory: &Path) -> Result<Self> {
        let Some(pid) = text.to_str().and_then(|text| text.parse().ok()).map(Pid::from_raw) else {
            return Ok(Self::File(directory.join(text)));
        };
        if pid.as_raw() <= 0 || nix::sys::signal::kill(pid, None) == Err(Errno::ESRCH) {
            return Err(Error::usage(format!("--follow-pid {pid}: there is no such process")));
        }
        Ok(Self::Pid(pid))
    }
}

/// Watches the process that became the command.
pub struct Watch {
    pidfd: Option<OwnedFd>,
    pid: Pid,
    start_time: Option<u64>,
}

impl Watch {
    /// `None`: it has ended already.
    fn of(pid: Pid) -> Option<Self> {
        let pidfd = pidfd_open(pid).ok();
        let start_time = if pidfd.is_none() { Some(start_time(pid)?) } else { None };
        Some(Self { pidfd, pid, start_time })
    }

    /// Waits for its end.
    pub async fn ended(self) {
        if let Some(pidfd) = self.pidfd.and_then(|pidfd| readable(pidfd).ok()) {
            let _ = pidfd.readable().await;
            return;
        }
        // gVisor and kernels before 5.3: a process of this number with another start time is another process.
        while nix::sys::signal::kill(self.pid, None) != Err(Errno::ESRCH) && start_time(self.pid) == self.start_time {
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    }
}

/// Between the question whether a pipe takes a line and the line itself the command may have filled it. A pipe can be
/// opened anew, without blocking, and without changing what the command sees.
fn stop_waiting_on_stderr() {
    // SAFETY: asks about a number, open or not; what it returns is a number that is this process's own.
    unsafe {
        let mut stat = std::mem::zeroed();
        if libc::fstat(2, &raw mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFIFO {
            let again = libc::open(c"/proc/self/fd/2".as_ptr(), libc::O_WRONLY | libc::O_NONBLOCK | libc::O_CLOEXEC);
            // Another user's pipe may refuse; then there is still the question.
            if again > 2 {
                libc::dup2(again, 2);
                libc::close(again);
            }
        }
    }
}

/// No answer of a program is longer.
const LONGEST_OUTPUT: u64 = 1 << 20;

/// What a program prints and how it ends; it gets no standard input. After `timeout`, and when this process ends, it is
/// killed, after the timeout with all that it started.
///
/// # Errors
/// Why it could not be run, or that it took too long or said too much.
pub async fn output_of(words: &[String], timeout: Duration) -> io::Result<Output> {
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::NotFound)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    // SAFETY: one system call, in a new process that has no other thread.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    let mut child = command.spawn()?;
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = async {
        let (stdout, stderr) = tokio::join!(read_all(stdout), read_all(stderr));
        let (stdout, stderr) = (stdout?, stderr?);
        let status = tokio::task::spawn_blocking(move || child.wait()).await.map_err(io::Error::other)??;
        Ok(Output { status, stdout, stderr })
    };
    let ended = tokio::time::timeout(timeout, ended).await;
    ended
        .unwrap_or_else(|_| Err(io::Error::other(format!("no end within {:.1} s", timeout.as_secs_f64()))))
        .inspect_err(|_| {
            // It has not been waited for, so the id is still its own.
            let _ = nix::sys::signal::killpg(group, Signal::SIGKILL);
        })
}

async fn read_all(pipe: Option<impl Read + Send + 'static>) -> io::Result<Vec<u8>> {
    let read = move || {
        let mut bytes = Vec::new();
        let read = pipe.map_or(Ok(0), |pipe| pipe.take(LONGEST_OUTPUT).read_to_end(&mut bytes))?;
        if read as u64 == LONGEST_OUTPUT { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
    };
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

/// The file of this program, for others to run.
pub fn own_executable() -> String {
    fs::read_link("/proc/self/exe").map_or_else(|_| "fedboot".into(), |path| path.to_string_lossy().into_owned())
}

/// The id of this process.
pub fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// Makes what this process writes private, whatever the caller's umask.
pub fn keep_files_private() {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

/// How many descriptors this process may have; it is given `wanted` of them, if that is more and it may.
pub fn descriptor_limit(wanted: usize) -> usize {
    const DESCRIPTORS: Resource = Resource::RLIMIT_NOFILE;
    let Ok((soft, hard)) = getrlimit(DESCRIPTORS) else { return wanted };
    let wanted = hard.min(wanted as u64).max(soft);
    let given = if setrlimit(DESCRIPTORS, wanted, hard).is_ok() { wanted } else { soft };
    usize::try_from(given).unwrap_or(usize::MAX)
}

/// Waits for `duration` from `now`, or until somebody sets the clock or the machine wakes up from a suspend. The
/// process is woken once; the runtime's own timers would wake it at each step of their wheel.
pub async fn pause(now: SystemTime, duration: Duration) {
    let until = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + duration;
    let timer = TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)
        .and_then(|timer| {
            let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
            timer.set(Expiration::OneShot(TimeSpec::from_duration(until)), flags).map(|()| timer)
        })
        .ok()
        .and_then(|timer| readable(timer.into()).ok());
    match timer {
        Some(timer) => drop(timer.readable().await),
        // A kernel that knows no such timer.
        None => tokio::time::sleep(duration).await,
    }
}

fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` keeps its descriptor open and its number the same.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

/// Field 22 of `/proc/PID/stat`: <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>.
fn start_time(pid: Pid) -> Option<u64> {
    let mut stat = String::new();
    fs::File::open(format!("/proc/{pid}/stat")).ok()?.read_to_string(&mut stat).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace();
    // A zombie is gone as far as its agent is concerned.
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Whether the parent could open a pidfd; otherwise it passed `/dev/null`, the one character device it opens.
fn is_pidfd(fd: &OwnedFd) -> bool {
    nix::sys::stat::fstat(fd).is_ok_and(|stat| stat.st_mode & libc::S_IFMT != libc::S_IFCHR)
}

fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: plain system call; a descriptor that it returns is nobody else's.
    unsafe {
        let fd = Errno::result(libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0))?;
        Ok(OwnedFd::from_raw_fd(RawFd::try_from(fd).map_err(|_| Errno::EBADF)?))
    }
}

fn open_null() -> nix::Result<OwnedFd> {
    let null = nix::fcntl::open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty())?;
    above_standard(null)
}

/// Moves a descriptor out of the numbers 0 to 2.
#[expect(clippy::needless_pass_by_value, reason = "the old number is closed")]
fn above_standard(fd: OwnedFd) -> nix::Result<OwnedFd> {
    let copy = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: F_DUPFD_CLOEXEC returned a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// An argument as C has it. What came from argv, environ or our own texts holds no NUL.
fn c_string(text: &OsStr) -> CString {
    let bytes: Vec<u8> = text.as_bytes().iter().copied().filter(|byte| *byte != 0).collect();
    CString::new(bytes).unwrap_or_default()
}

fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process without running anything.
    unsafe { libc::_exit(code) }
}

/// Whether stderr is a terminal.
pub fn stderr_is_terminal() -> bool {
    // SAFETY: asks about a number, open or not.
    unsafe { libc::isatty(2) == 1 }
}

/// Writes `line` to stderr if it can be taken without waiting: the pipe is the command's too, and whoever reads it
/// may have stopped.
pub fn write_stderr(line: &[u8]) {
    // SAFETY: the number 2 is never closed by fedboot; if the caller closed it, the calls below fail.
    let stderr = unsafe { std::os::fd::BorrowedFd::borrow_raw(2) };
    let mut ready = [PollFd::new(stderr, PollFlags::POLLOUT)];
    if poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count == 1) {
        let _ = nix::unistd::write(stderr, line);
    }
}

/// For the parent when it has nothing left to do but to say why: a closed pipe must not change its exit code.
pub fn ignore_broken_pipes() {
    // SAFETY: no handler is installed, and no command follows that would inherit it.
    let _ = unsafe { nix::sys::signal::signal(Signal::SIGPIPE, SigHandler::SigIgn) };
}

/// Writes to standard output, for `--help` and its like.
pub fn write_stdout(text: &str) {
    // SAFETY: as in `write_stderr`.
    let stdout = unsafe { std::os::fd::BorrowedFd::borrow_raw(1) };
    let mut rest = text.as_bytes();
    while let Ok(count @ 1..) = nix::unistd::write(stdout, rest) {
        rest = &rest[count..];
    }
}

/// Gives the working directory up: nobody's file system shall stay busy because of the agent.
pub fn leave_directory() {
    let _ = nix::unistd::chdir(c"/");
}
