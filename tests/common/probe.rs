//! A command that reports everything a process inherits.
//!
//! It is the test program itself: where `PROBE_REPORT` names a file, a constructor writes the report there and exits,
//! before Rust's start-up has opened a descriptor or touched a signal.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the report goes.
pub const VARIABLE: &str = "PROBE_REPORT";
/// What the probe exits with, as no shell or wrapper would.
pub const EXIT_CODE: i32 = 87;

/// What a process was given, by name; repeated things have a number.
pub type Report = BTreeMap<String, String>;

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    let environment = fs::read("/proc/self/environ").unwrap_or_default();
    let prefix = format!("{VARIABLE}=");
    let file =
        words(&environment).into_iter().find_map(|entry| entry.strip_prefix(prefix.as_bytes()).map(<[u8]>::to_vec));
    if let Some(file) = file {
        let report = report(&environment);
        let mut text = String::new();
        for (name, value) in &report {
            text.extend([name, "\t", value, "\n"]);
        }
        // The report is for the test to read, under any umask.
        // SAFETY: sets a number.
        unsafe { libc::umask(0o022) };
        let written = fs::File::create(PathBuf::from(std::ffi::OsStr::from_bytes(&file)))
            .and_then(|mut file| file.write_all(text.as_bytes()));
        // SAFETY: ends the process.
        unsafe { libc::_exit(if written.is_ok() { EXIT_CODE } else { 88 }) }
    }
}

/// Reads what a probe wrote.
pub fn read(file: &Path) -> Option<Report> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().map(|line| line.split_once('\t').map(|(name, value)| (name.into(), value.into()))).collect()
}

/// The strings of a block in which each ends with a NUL.
fn words(block: &[u8]) -> Vec<&[u8]> {
    block.strip_suffix(b"\0").map_or_else(Vec::new, |block| block.split(|byte| *byte == 0).collect())
}

fn report(environment: &[u8]) -> Report {
    let mut report = Report::new();
    let mut say = |name: String, value: String| {
        report.insert(name, value);
    };
    // First, so that nothing of the probe's own is open.
    for (name, value) in descriptors() {
        say(name, value);
    }
    for (index, word) in words(&fs::read("/proc/self/cmdline").unwrap_or_default()).iter().enumerate() {
        say(format!("argument {index:05}"), word.escape_ascii().to_string());
    }
    for (index, word) in words(environment).iter().enumerate() {
        say(format!("variable {index:05}"), word.escape_ascii().to_string());
    }
    processes(&mut say);
    files_of_proc(&mut say);
    kernel_state(&mut say);
    // Last, as it changes something.
    say("children".into(), children());
    report
}

fn processes(say: &mut impl FnMut(String, String)) {
    // SAFETY: these calls only ask.
    unsafe {
        say("pid".into(), libc::getpid().to_string());
        say("parent".into(), libc::getppid().to_string());
        say("process group".into(), libc::getpgid(0).to_string());
        say("session".into(), libc::getsid(0).to_string());
        for (name, id) in
            [("uid", libc::getuid()), ("euid", libc::geteuid()), ("gid", libc::getgid()), ("egid", libc::getegid())]
        {
            say(name.into(), id.to_string());
        }
        say("nice".into(), libc::getpriority(libc::PRIO_PROCESS, 0).to_string());
        say("scheduler".into(), libc::sched_getscheduler(0).to_string());
    }
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<_> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    say("terminal".into(), fields.get(4).copied().unwrap_or_default().into());
    say("foreground group".into(), fields.get(5).copied().unwrap_or_default().into());
    say("exit signal".into(), fields.get(35).copied().unwrap_or_default().into());
    say("program".into(), link("/proc/self/exe"));
    // SAFETY: AT_EXECFN points to a string that the kernel put there.
    let executed = unsafe { CStr::from_ptr(libc::getauxval(libc::AT_EXECFN) as *const std::ffi::c_char) };
    say("executed as".into(), executed.to_bytes().escape_ascii().to_string());
    say("directory".into(), link("/proc/self/cwd"));
    let here = fs::metadata(".").map_or_else(|error| error.to_string(), |at| format!("{}:{}", at.dev(), at.ino()));
    say("directory itself".into(), here);
    say("root".into(), link("/proc/self/root"));
}

/// Signals, umask, groups, capabilities, CPUs; limits; what else is a file.
fn files_of_proc(say: &mut impl FnMut(String, String)) {
    // Sizes, counts of switches and the queue that all of a user's processes share are nobody's inheritance.
    const FROM_STATUS: &[&str] = &[
        "Name",
        "Umask",
        "TracerPid",
        "Uid",
        "Gid",
        "FDSize",
        "Groups",
        "Threads",
        "SigPnd",
        "ShdPnd",
        "SigBlk",
        "SigIgn",
        "SigCgt",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
        "Seccomp_filters",
        "THP_enabled",
        "Cpus_allowed",
        "Mems_allowed",
    ];
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (name, value) in status.lines().filter_map(|line| line.split_once(':')) {
        if FROM_STATUS.contains(&name) && name != "FDSize" {
            say(format!("status {name}"), value.trim().into());
        }
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    for line in limits.lines().skip(1) {
        let (name, values) = line.split_at(line.len().min(26));
        say(format!("limit {}", name.trim()), values.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    for name in ["oom_score_adj", "coredump_filter", "timerslack_ns", "cgroup", "loginuid", "sessionid", "personality"]
    {
        let value = fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_else(|error| error.to_string());
        say(format!("proc {name}"), value.trim_end().escape_default().to_string());
    }
    for namespace in fs::read_dir("/proc/self/ns").into_iter().flatten().flatten() {
        let name = namespace.file_name().to_string_lossy().into_owned();
        say(format!("namespace {name}"), link(format!("/proc/self/ns/{name}")));
    }
}

fn kernel_state(say: &mut impl FnMut(String, String)) {
    for (name, option) in [
        ("dumpable", libc::PR_GET_DUMPABLE),
        ("keep capabilities", libc::PR_GET_KEEPCAPS),
        ("secure bits", libc::PR_GET_SECUREBITS),
        ("no transparent huge pages", libc::PR_GET_THP_DISABLE),
    ] {
        // SAFETY: asks for a number.
        say(name.into(), unsafe { libc::prctl(option, 0, 0, 0, 0) }.to_string());
    }
    for (name, option) in
        [("signal at the parent's death", libc::PR_GET_PDEATHSIG), ("subreaper", libc::PR_GET_CHILD_SUBREAPER)]
    {
        let mut value = 0_i32;
        // SAFETY: writes one int there.
        unsafe { libc::prctl(option, &raw mut value) };
        say(name.into(), value.to_string());
    }
    for (name, which) in [
        ("real timer", libc::ITIMER_REAL),
        ("virtual timer", libc::ITIMER_VIRTUAL),
        ("profile timer", libc::ITIMER_PROF),
    ] {
        let zero = libc::timeval { tv_sec: 0, tv_usec: 0 };
        let mut timer = libc::itimerval { it_interval: zero, it_value: zero };
        // SAFETY: writes one structure there.
        unsafe { libc::getitimer(which, &raw mut timer) };
        let runs = timer.it_value.tv_sec != 0 || timer.it_value.tv_usec != 0;
        say(name.into(), format!("{} every {} s", if runs { "runs" } else { "stands" }, timer.it_interval.tv_sec));
    }
    // SAFETY: asks for numbers.
    unsafe {
        say("persona".into(), libc::personality(0xffff_ffff).to_string());
        say("i/o priority".into(), libc::syscall(libc::SYS_ioprio_get, 1, 0).to_string());
    }
}

/// Number, what it leads to, flags, position. The listing's own descriptor is none of them.
fn descriptors() -> Vec<(String, String)> {
    let mut all = Vec::new();
    let own = format!("/proc/{}/fd", std::process::id());
    let listed = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers: Vec<i32> = listed.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers {
        let target = link(format!("/proc/self/fd/{number}"));
        // SAFETY: these ask about a number, open or not.
        let (of_descriptor, of_file, position) = unsafe {
            (
                libc::fcntl(number, libc::F_GETFD),
                libc::fcntl(number, libc::F_GETFL),
                libc::lseek(number, 0, libc::SEEK_CUR),
            )
        };
        if of_descriptor < 0 || target == own {
            continue;
        }
        // fedboot writes to stderr, so what is behind it moves.
        let position = if number == 2 { 0 } else { position };
        all.push((format!("descriptor {number:03}"), format!("{target} {of_descriptor:o} {of_file:o} at {position}")));
    }
    all
}

/// Each child there is to wait for: how it ended, or that it runs.
fn children() -> String {
    let mut all = Vec::new();
    loop {
        let mut status = 0;
        // SAFETY: writes one int there.
        match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
            -1 => break,
            0 => {
                all.push("one or more that run".to_owned());
                break;
            }
            _ => all.push(format!("one that ended with {status}")),
        }
    }
    // SAFETY: this thread's own errno.
    let errno = unsafe { *libc::__errno_location() };
    format!("{all:?}, then {}", if errno == libc::ECHILD { "ECHILD" } else { "nothing" })
}

fn link(path: impl AsRef<Path>) -> String {
    fs::read_link(path)
        .map_or_else(|error| error.to_string(), |to| to.as_os_str().as_bytes().escape_ascii().to_string())
}

/// The probe's file: the program that runs now.
pub fn program() -> CString {
    let own = fs::read_link("/proc/self/exe").expect("/proc/self/exe");
    CString::new(own.as_os_str().as_bytes()).expect("a path")
}
