//! Agents that tests start without a command.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::sync::mpsc;
use std::thread;

use super::launch::{children_of, kill};
use super::{Outcome, PATIENCE, Stage};

/// An agent in the background, which ends with the test.
pub struct Agent {
    pub pid: u32,
    /// What it printed for a shell.
    pub exports: String,
    pub stderr: String,
}

impl Agent {
    /// Started, with both pipes read to their ends: it holds none of them.
    #[track_caller]
    pub fn start(stage: &Stage, options: &str) -> Self {
        Self::of(within_patience(&mut agent_with(stage, options)))
    }

    #[track_caller]
    pub fn of(outcome: Outcome) -> Self {
        outcome.assert_succeeded();
        Self { pid: pid_in(&outcome.stdout), exports: outcome.stdout, stderr: outcome.stderr }
    }

    #[track_caller]
    pub fn variable(&self, name: &str) -> String {
        exported(&self.exports, name).unwrap_or_else(|| panic!("no {name} in {}", self.exports))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Not somebody else to whom the kernel gave the number since.
        let argv = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        if argv.split(|byte| *byte == 0).any(|word| word == b"--fedboot-guard") {
            // An agent that loses its guard takes its place.
            kill(self.pid, libc::SIGSTOP);
            for agent in children_of(self.pid) {
                kill(agent, libc::SIGKILL);
            }
            kill(self.pid, libc::SIGKILL);
        }
    }
}

/// `fedboot agent` with these options.
pub fn agent_with(stage: &Stage, options: &str) -> Command {
    stage.command(["agent"].into_iter().chain(options.split_whitespace()))
}

/// The value of a variable in what an agent prints for a shell.
pub fn exported(exports: &str, name: &str) -> Option<String> {
    let line = exports.lines().find_map(|line| line.strip_prefix("export ")?.strip_prefix(name)?.strip_prefix('='));
    Some(line?.trim_end_matches(';').trim_matches('\'').into())
}

#[track_caller]
pub fn pid_in(exports: &str) -> u32 {
    exported(exports, "FEDBOOT_AGENT_PID").expect(exports).parse().expect("a pid")
}

/// Reads both pipes to their ends, which come only when nobody holds them any more.
#[track_caller]
pub fn within_patience(command: &mut Command) -> Outcome {
    let child = command.spawn().expect("it starts");
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    receiver.recv_timeout(PATIENCE).expect("somebody holds a pipe").expect("output").into()
}

/// An agent in front, once it has said its word.
pub struct Front {
    pub child: Child,
    pub exports: String,
}

impl Front {
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("it starts");
        let stdout = BufReader::new(child.stdout.take().expect("its stdout"));
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line + "\n"))));
        let mut exports = String::new();
        while !exports.contains("FEDBOOT_AGENT_PID") {
            exports += &receiver.recv_timeout(PATIENCE).expect("its word");
        }
        thread::spawn(move || receiver.iter().for_each(drop));
        Self { child, exports }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.try_wait().is_ok_and(|ended| {
            if ended.is_none() {
                kill(self.child.id(), libc::SIGSTOP);
                for agent in children_of(self.child.id()) {
                    kill(agent, libc::SIGKILL);
                }
            }
            true
        });
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
