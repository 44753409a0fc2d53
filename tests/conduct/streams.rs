//! stdout and stderr, which others have to themselves, fill, or close.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::launch::{Launch, descriptors_of, figure, gone, has, kill, state, stop};
use crate::common::{Stage, agents_of, binary, eventually, wait};
use crate::comparison::{Prepare, close};
use crate::{fetch, fill, full_pipe, refreshes, short_lived};

#[test]
fn the_ends_of_stdout_and_stderr_are_not_delayed() {
    let stage = Stage::new();
    // A stopped agent would hold stdout open for ever, if it held it.
    let mut command = stage.command(crate::common::launch::HOLD);
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
