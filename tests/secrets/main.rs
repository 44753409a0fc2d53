//! Nothing out: a marker in place of every option, variable, file, header and answer, and what then stands in the output,
//! the logs, the status file and the replies of fedboot's servers.
//!
//! Options are taken from `fedboot --help` and variables from the source, so a new one is tried without a word here.

#![allow(clippy::disallowed_methods, reason = "tests look at the real world")]

#[path = "../common/mod.rs"]
#[allow(unsafe_code, reason = "its launcher is for other tests")]
mod common;

mod answers;
mod given;

use std::fs;
use std::io::Read;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use common::Stage;
use fedboot_sandbox::{AwsPlace, Sandbox};

/// Stands in every shape below.
const MARK: &str = "hunter2";

/// What people put where something else belongs.
const SHAPES: &[(&str, &str)] = &[
    ("a word", "hunter2"),
    (
        "a key file",
        "{\"type\": \"service_account\", \"client_secret\": \"hunter2\", \"private_key\": \"-----BEGIN PRIVATE KEY-----\\nhunter2\\n\"}",
    ),
    ("a key", "-----BEGIN PRIVATE KEY-----\nhunter2hunter2hunter2\nhunter2==\n-----END PRIVATE KEY-----\n"),
    ("a URL with a password", "https://user:hunter2@host.invalid"),
    ("the same without a scheme", "user:hunter2@host.invalid:80"),
    ("the same with a blank", "http://a b:hunter2@x.invalid"),
    ("the same with an @", "http://user:pa@hunter2@host.invalid:80"),
    ("a password alone", "http://user:hunter2"),
    ("a fragment", "http://host.invalid/#hunter2"),
    ("a query", "http://host.invalid/x?token=hunter2"),
    ("a query alone", "?token=hunter2"),
    // Where nobody can make a file of that name.
    ("a path on ECS", "/proc/v2/credentials/hunter2e-90ab-4d5e-8f90-a1b2c3d4e5f6"),
    ("a secret key", "wJalrXUtnFEMI/K7MDENG/hunter2YEXAMPLEKEY"),
    ("a token", "eyJhbGciOiJSUzI1NiJ9.eyJodW50ZXIyIjoxfQ.hunter2c2ln"),
];

/// Of a text that nobody may see, what stands in this one.
fn found(text: &str) -> Option<&str> {
    [MARK, "-----BEGIN", "eyJodW50"].into_iter().find(|part| text.contains(part))
}

/// One run with a marker somewhere.
struct Case {
    what: String,
    words: Vec<String>,
    variables: Vec<(String, String)>,
}

/// Longer than any of them takes by itself.
const PATIENCE: Duration = Duration::from_secs(20);
/// What runs under fedboot: it shows what the agent leaves for others to read.
const LOOK: [&str; 4] =
    ["--", "sh", "-c", "cat .aws/.fedboot-*.status home/.aws/.fedboot-*.status /dev/null 2>/dev/null; exit 0"];

impl Case {
    fn new(what: impl Into<String>, words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { what: what.into(), words, variables: Vec::new() }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// What it printed.
    fn run(&self, stage: &Stage) -> String {
        let mut command = stage.command(&self.words);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdin(Stdio::null()).spawn().expect("fedboot starts");
        let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
        let limit =
            if self.words.iter().any(|word| word == "--foreground") { Duration::from_secs(2) } else { PATIENCE };
        end(&mut child, limit, &self.what);
        format!("{}{}", stdout.join().expect("stdout"), stderr.join().expect("stderr"))
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// An agent in front is told to end; anything else ends by itself.
fn end(child: &mut Child, limit: Duration, what: &str) {
    let start = Instant::now();
    let mut is_told = false;
    while child.try_wait().expect("wait").is_none() {
        if start.elapsed() > limit && !is_told {
            assert!(limit < PATIENCE, "{what} never ended");
            common::launch::kill(child.id(), libc::SIGTERM);
            is_told = true;
        }
        thread::sleep(Duration::from_millis(3));
    }
}

/// Runs all, some at a time, and says of which the output holds a marker.
fn none_is_shown(stage: &Stage, cases: Vec<Case>) {
    let count = cases.len();
    let (cases, shown) = (Mutex::new(cases), Mutex::new(Vec::new()));
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                loop {
                    let Some(case) = cases.lock().expect("cases").pop() else { break };
                    let output = case.run(stage);
                    if let Some(part) = found(&output) {
                        shown.lock().expect("shown").push(format!("{} ({part}): {output}", case.what));
                    }
                }
            });
        }
    });
    let shown = shown.into_inner().expect("shown");
    common::launch::figure(&format!("{count} runs with a marker in {:.1} s", start.elapsed().as_secs_f64()));
    assert!(shown.is_empty(), "{} of {count} show it:\n{}", shown.len(), shown.join("\n"));
}

/// Google → AWS, where everything is as it should be.
fn to_aws() -> Stage {
    let mut stage = Stage::new();
    // Without TLS, as there are many.
    stage.set("AWS_ENDPOINT_URL_STS", stage.sandbox.sts_http_url()).set("FEDBOOT_TIMEOUT", "1");
    stage
}

/// AWS → Google, the same.
fn to_google(place: AwsPlace) -> Stage {
    let mut stage = Stage::with(Sandbox::builder().aws(place));
    for (name, value) in stage.sandbox.env() {
        stage.set(&name, value);
    }
    stage.set("FEDBOOT_TIMEOUT", "1");
    stage
}

/// The source of the program, file by file.
fn source() -> Vec<String> {
    fn files(directory: &std::path::Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                files(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(fs::read_to_string(&path).expect("a file"));
            }
        }
    }
    let mut found = Vec::new();
    files(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut found);
    found
}
