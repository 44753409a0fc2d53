//! Every other way than the default in which credentials are delivered, several roles, second roles, the agent without
//! a command, its status; and what weather they bear.

#![allow(clippy::disallowed_methods, reason = "tests look at the real world")]

#[path = "../common/mod.rs"]
#[allow(unsafe_code, reason = "its launcher is for other tests")]
mod common;

mod agent;
mod chain;
mod env;
mod process;
mod profile;
mod roles;
mod shadows;
mod status;
mod thaw;
mod token;
mod weather;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::launch::Held;
use common::{ASSUME_ROLE, NOBODY, Outcome, PATIENCE, Stage, asked};
use fedboot_sandbox::{Builder, Issued, Role, Sandbox};
use serde_json::Value;

const URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

fn arn(name: &str) -> String {
    format!("arn:aws:iam::123456789012:role/{name}")
}

/// A sandbox with roles of these names that trust its service account; the first is the one of the environment.
fn with_roles(names: &[&str]) -> Builder {
    let account = "worker@demo-project.iam.gserviceaccount.com".into();
    let role = |name: &&str| Role::trusting(arn(name), [&account], "sts.amazonaws.com");
    names.iter().map(role).fold(Sandbox::builder(), Builder::role)
}

/// Sessions that last this many seconds.
fn short_lived(seconds: u64, builder: Builder) -> Stage {
    let builder = builder.settings(|settings| settings.dialect.nanoseconds = true);
    Stage::with(builder.credential_lifetime(Duration::from_secs(seconds)))
}

/// Waits until so many requests with this action have been answered.
#[track_caller]
fn wait_for(stage: &Stage, count: usize, action: &str) {
    stage.sandbox.wait_for(count, action, PATIENCE).expect("requests");
}

fn newest(stage: &Stage) -> Issued {
    stage.sandbox.issued().pop().expect("credentials")
}

fn newest_key(stage: &Stage) -> String {
    newest(stage).access_key_id
}

/// The role that a key is for.
fn role_of(stage: &Stage, key: &str) -> String {
    stage.sandbox.issued().into_iter().find(|issued| issued.access_key_id == key).expect("a known key").role_arn
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}

fn aws(stage: &Stage) -> PathBuf {
    stage.home().join(".aws")
}

/// The names in a directory, sorted.
fn names_in(directory: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The cache files in a directory.
fn caches_in(directory: &Path) -> Vec<PathBuf> {
    let paths = names_in(directory).into_iter().map(|name| directory.join(name));
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
}

/// Runs fedboot with the options in `line` in front of a command that ends at once.
#[track_caller]
fn once(stage: &Stage, line: &str) -> Outcome {
    let outcome = stage.run_shell(&words(line), "exit 0");
    outcome.assert_succeeded();
    outcome
}

fn hold(stage: &Stage, line: &str) -> Held {
    stage.hold(&words(line))
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// fedboot with the words of `line` fails with `code` before anything is asked of STS, and its one line says each of
/// `parts`.
#[track_caller]
fn refused(stage: &Stage, code: i32, line: &str, parts: &[&str]) -> Outcome {
    refused_words(stage, code, &words(line), parts)
}

#[track_caller]
fn refused_words(stage: &Stage, code: i32, words: &[&str], parts: &[&str]) -> Outcome {
    let before = asked(stage, ASSUME_ROLE);
    let outcome = stage.run(words);
    assert_eq!(outcome.code(), Some(code), "{words:?}: {}{}", outcome.stdout, outcome.stderr);
    assert_eq!(outcome.stderr.lines().count(), 1, "{words:?}: {}", outcome.stderr);
    let error = outcome.error();
    for part in parts {
        assert!(error.sentence().contains(part), "{words:?}: no {part:?} in {}", outcome.stderr);
    }
    assert_eq!(asked(stage, ASSUME_ROLE), before, "{words:?}");
    assert!(!stage.directory.path().join("ran").exists(), "{words:?}");
    outcome
}

/// The value of `key` in `[section]` of a credentials file.
fn in_section<'a>(text: &'a str, section: &str, key: &str) -> Option<&'a str> {
    let header = format!("[{section}]");
    let lines = text.lines().skip_while(|line| *line != header).skip(1).take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split_once(" = ")).find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// The static key in a section of the credentials file.
fn filed(stage: &Stage, section: &str) -> Option<String> {
    let text = fs::read_to_string(stage.credentials_file()).unwrap_or_default();
    in_section(&text, section, "aws_access_key_id").map(str::to_owned)
}

/// `credential_process` of a profile in the stage's credentials file.
#[track_caller]
fn process_line(stage: &Stage, profile: &str) -> String {
    let text = stage.credentials_text();
    let line = in_section(&text, profile, "credential_process");
    line.unwrap_or_else(|| panic!("no line in [{profile}] of {text}")).to_owned()
}

type Environment = Vec<(String, String)>;

/// Runs a profile's line as an SDK does.
fn run_line(line: &str, environment: &Environment) -> Outcome {
    let mut command = Command::new("sh");
    command.args(["-c", line]).env_clear().envs(environment.iter().cloned()).current_dir("/").stdin(Stdio::null());
    command.output().expect("sh").into()
}

/// What no line can say by itself: where the metadata server is and which authorities to trust.
fn surroundings(stage: &Stage) -> Environment {
    let authorities = stage.sandbox.ca_file().display().to_string();
    [("GCE_METADATA_HOST", stage.sandbox.metadata_host()), ("AWS_CA_BUNDLE", authorities)]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
}

/// What the command got.
fn environment(held: &Held) -> Environment {
    let entries = held.environment.iter().map(|entry| String::from_utf8_lossy(entry).into_owned());
    entries.filter_map(|entry| entry.split_once('=').map(|(name, value)| (name.into(), value.into()))).collect()
}

fn variable(held: &Held, name: &str) -> Option<String> {
    environment(held).into_iter().find(|(of, _)| of == name).map(|(_, value)| value)
}

/// The JSON of a `credential_process`.
#[track_caller]
fn answer(outcome: &Outcome) -> Value {
    outcome.assert_succeeded();
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error} in {:?}", outcome.stdout))
}

#[track_caller]
fn key(outcome: &Outcome) -> String {
    answer(outcome)["AccessKeyId"].as_str().expect("a key").into()
}

/// Asks a loopback endpoint; the status and the whole body. `None`: the connection ended without an answer.
fn get(url: &str, token: &str) -> Option<(u16, String)> {
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a URL");
    let mut stream = TcpStream::connect(host).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request =
        format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    if answer.is_empty() {
        return None;
    }
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    assert_eq!(Some(body.len()), length, "half an answer: {answer}");
    Some((head.split(' ').nth(1)?.parse().ok()?, body.into()))
}

/// The key that an endpoint answers, if it is live.
fn live_key(stage: &Stage, uri: &str, token: &str) -> Option<String> {
    let (status, body) = get(uri, token)?;
    let answer: Value = serde_json::from_str(&body).ok()?;
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    let key = text("AccessKeyId");
    (status == 200 && stage.sandbox.is_valid(&key, &text("SecretAccessKey"), &text("Token"))).then_some(key)
}

/// The same of the one that a held command has.
fn live(stage: &Stage, held: &Held) -> Option<String> {
    live_key(stage, &held.variable(URI), "")
}
