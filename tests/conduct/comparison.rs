//! A process as it is alone, beside the same one under fedboot.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use crate::common::launch::{Launch, entry};
use crate::common::{Stage, binary, wait};
use crate::probe;

pub type Prepare = Arc<dyn Fn() + Send + Sync>;

/// What fedboot sets for the command, and what it takes from it.
pub const SET: [&str; 4] = [
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];
pub const UNSET: [&str; 14] = [
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
pub fn words_of(pid: u32) -> Vec<String> {
    let argv = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    argv.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Runs the probe alone and under fedboot, and says what each was given.
pub struct Comparison {
    pub stage: Stage,
    pub arguments: Vec<Vec<u8>>,
    /// Behind the stage's own.
    pub environment: Vec<Vec<u8>>,
    pub prepare: Prepare,
}

impl Comparison {
    pub fn new() -> Self {
        let mut stage = Stage::new();
        stage.set("AWS_REGION", "eu-west-1").set("AWS_DEFAULT_REGION", "eu-west-1");
        Self { stage, arguments: Vec::new(), environment: Vec::new(), prepare: Arc::new(|| {}) }
    }

    pub fn probe(&self, under_fedboot: bool) -> probe::Report {
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
    pub fn assert_alike(&self, name: &str) -> probe::Report {
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

pub fn variables(report: &probe::Report) -> Vec<String> {
    report.iter().filter(|(key, _)| key.starts_with("variable ")).map(|(_, value)| value.clone()).collect()
}

#[track_caller]
pub fn assert_environment(name: &str, alone: &[String], under: &[String]) {
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
pub fn mask(text: &str) -> u64 {
    u64::from_str_radix(text, 16).expect("a mask") & !(0b11 << 31)
}

pub fn close(descriptors: impl IntoIterator<Item = i32>) {
    for descriptor in descriptors {
        // SAFETY: between fork and exec nobody uses it.
        unsafe { libc::close(descriptor) };
    }
}
