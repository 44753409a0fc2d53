//! What a process is given, beside what it would be given without fedboot.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use crate::comparison::{Comparison, Prepare, close};

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
