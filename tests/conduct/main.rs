//! Transparency and conduct: what the command gets is what it would get without fedboot, and the agent beside it is
//! noticed by nobody.

#![allow(unsafe_code, reason = "processes are put into states that have no safe interface")]
#![allow(clippy::disallowed_methods, reason = "tests look at the real world")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/probe.rs"]
mod probe;

mod agent;
mod boot;
mod command;
mod comparison;
mod pid_1;
mod process;
mod refused;
mod streams;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use common::Stage;
use common::launch::Held;
use fedboot_sandbox::{Fault, Sandbox, Service};

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

/// A stage on which STS never answers.
fn hanging_stage() -> Stage {
    Stage::with(Sandbox::builder().fault(Service::Sts, Fault::hang().always()))
}

/// What stands beside the credentials file.
fn directory_of(stage: &Stage) -> Vec<String> {
    let entries = fs::read_dir(stage.home().join(".aws")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

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
