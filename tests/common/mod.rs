//! A stage for the real binary: a sandbox with both clouds, a home directory, an environment that holds nothing else.
//!
//! `FEDBOOT_BIN` names the binary to try, so that `scripts/test` can try the very file that is shipped; otherwise it
//! is the one that cargo built for the tests. Whatever a run prints on stderr is searched for secrets.
#![allow(dead_code, reason = "each test program uses its part")]

pub mod agents;
pub mod broken;
pub mod launch;
pub mod turn;
pub mod web;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use fedboot_sandbox::{Builder, Sandbox, Service};
use tempfile::TempDir;

/// Longer than anything here takes on a loaded machine; a test that reaches it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where nobody listens.
pub const NOBODY: &str = "127.0.0.1:1";
/// The action that the exchange is.
pub const ASSUME_ROLE: &str = "AssumeRoleWithWebIdentity";

/// The binary to try, where other users can start it too.
pub fn binary() -> PathBuf {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE
        .get_or_init(|| {
            open_to_all(
                std::env::var_os("FEDBOOT_BIN").map_or_else(|| env!("CARGO_BIN_EXE_fedboot").into(), PathBuf::from),
            )
        })
        .clone()
}

/// A checkout in root's home is closed to others, and root's tests start the binary as others, too: then it is a copy, which
/// serves every test until the next build.
fn open_to_all(binary: PathBuf) -> PathBuf {
    let is_open = |directory: &Path| fs::metadata(directory).is_ok_and(|it| it.permissions().mode() & 0o001 != 0);
    if binary.canonicalize().is_ok_and(|path| path.ancestors().skip(1).all(is_open)) {
        return binary;
    }
    let of_build = fs::metadata(&binary).expect("a binary");
    let name = format!("fedboot-under-test-{}-{}-{}", of_build.uid(), of_build.ino(), of_build.mtime());
    let copy = std::env::temp_dir().join(name);
    // Nothing that somebody else has put there.
    let is_ours = |it: fs::Metadata| it.is_file() && (it.uid(), it.len()) == (of_build.uid(), of_build.len());
    if !fs::symlink_metadata(&copy).is_ok_and(is_ours) {
        let unfinished = tempfile::NamedTempFile::new().expect("a file");
        fs::copy(&binary, unfinished.path()).expect("a copy of the binary");
        fs::set_permissions(unfinished.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        unfinished.persist(&copy).expect("a name for it");
    }
    copy
}

/// Both clouds, a home, an environment.
pub struct Stage {
    pub sandbox: Sandbox,
    pub directory: TempDir,
    variables: BTreeMap<OsString, OsString>,
}

/// How a run ended.
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Stage {
    /// The sandbox's defaults: one service account, one role that trusts it.
    pub fn new() -> Self {
        Self::with(Sandbox::builder())
    }

    pub fn with(builder: Builder) -> Self {
        launch::stop_ignoring_signals();
        let sandbox = builder.start().expect("a sandbox");
        let directory = TempDir::new().expect("a directory");
        fs::create_dir(directory.path().join("home")).expect("a home");
        let mut stage = Self { sandbox, directory, variables: BTreeMap::new() };
        let home = stage.home();
        stage.set("HOME", home);
        stage.set("PATH", std::env::var_os("PATH").expect("PATH"));
        for (name, value) in stage.sandbox.env() {
            // The rest of the sandbox's environment is for other clients than fedboot.
            if ["GCE_METADATA_HOST", "AWS_ENDPOINT_URL_STS", "AWS_CA_BUNDLE"].contains(&name.as_str())
                || name.starts_with("FEDBOOT_")
            {
                stage.set(&name, value);
            }
        }
        stage
    }

    pub fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// `~/.aws/credentials`.
    pub fn credentials_file(&self) -> PathBuf {
        self.home().join(".aws/credentials")
    }

    pub fn set(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// The environment, entry by entry.
    pub fn environment(&self) -> Vec<Vec<u8>> {
        self.variables.iter().map(|(name, value)| launch::entry(&name.to_string_lossy(), value)).collect()
    }

    pub fn unset(&mut self, name: &str) -> &mut Self {
        self.variables.remove(OsStr::new(name));
        self
    }

    /// fedboot with these arguments on this stage, in a process group of its own.
    pub fn command<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .env_clear()
            .envs(&self.variables)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }

    /// Runs fedboot to its end, and waits for its agent's.
    pub fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Outcome {
        self.finish(self.command(arguments).spawn().expect("fedboot starts"))
    }

    /// Runs `sh -c script` under fedboot with `options`.
    pub fn run_shell(&self, options: &[&str], script: &str) -> Outcome {
        self.run(options.iter().copied().chain(["--", "sh", "-c", script]))
    }

    /// Waits for a started fedboot and its agent.
    pub fn finish(&self, mut child: Child) -> Outcome {
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let pid = child.id();
        let status = wait(&mut child);
        eventually("the agent ends with its command", || agents_of(pid).is_empty());
        let outcome =
            Outcome { status, stdout: stdout.join().expect("stdout"), stderr: stderr.join().expect("stderr") };
        self.assert_no_secret(&outcome.stderr);
        outcome
    }

    /// No key, session token, ID token, access token, subject token or token of a metadata service that the sandbox
    /// knows stands in `text`.
    #[track_caller]
    pub fn assert_no_secret(&self, text: &str) {
        for issued in self.sandbox.issued() {
            assert!(!text.contains(&issued.secret_access_key), "a secret access key was printed: {text}");
            // A part of it is too much; what one begins with is the same for all.
            assert!(!text.contains(&issued.session_token[40..80]), "a session token was printed: {text}");
        }
        for request in self.sandbox.requests_to(Service::Sts) {
            if let Some(token) = request.param("WebIdentityToken") {
                assert!(token.len() < 40 || !text.contains(token), "an ID token was printed: {text}");
            }
        }
        for request in self.sandbox.requests() {
            let sent = ["authorization", "x-aws-ec2-metadata-token", "x-amz-security-token"];
            let sent = sent.into_iter().filter_map(|name| request.header(name));
            for value in sent.chain(request.param("subject_token")) {
                let token = value.rsplit([' ', '=']).next().unwrap_or_default();
                assert!(token.len() < 40 || !text.contains(token), "a token or a signature was printed: {text}");
            }
        }
        // What Google gave out, by how it begins: an access token, and a header in base64.
        for beginning in ["ya29.", "eyJ"] {
            assert!(!text.contains(beginning), "a token was printed: {text}");
        }
    }

    pub fn credentials_text(&self) -> String {
        fs::read_to_string(self.credentials_file()).expect("a credentials file")
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { status: output.status, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Outcome {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// The lines of stderr that are events.
    pub fn events(&self) -> Vec<Event> {
        self.stderr.lines().filter_map(Event::parse).collect()
    }

    /// The one event at ERROR or above, and that there is just one.
    pub fn error(&self) -> Event {
        let mut errors: Vec<_> =
            self.events().into_iter().filter(|e| ["ERROR", "CRITICAL"].contains(&e.severity())).collect();
        assert_eq!(errors.len(), 1, "not one error: {}", self.stderr);
        errors.remove(0)
    }

    /// fedboot failed with `code`, and its one error says each of `parts`.
    #[track_caller]
    pub fn assert_failed(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code(), Some(code), "{:?}: {}{}", self.status, self.stdout, self.stderr);
        let error = self.error();
        for part in parts {
            assert!(error.sentence().contains(part), "no {part:?} in: {}", error.sentence());
        }
    }

    #[track_caller]
    pub fn assert_succeeded(&self) {
        assert_eq!(self.code(), Some(0), "{:?}: {}{}", self.status, self.stdout, self.stderr);
    }
}

/// One line of fedboot's log.
#[derive(Debug)]
pub struct Event(BTreeMap<String, String>);

impl Event {
    fn parse(line: &str) -> Option<Self> {
        let fields: Option<BTreeMap<String, serde_json::Value>> = serde_json::from_str(line).ok();
        let plain = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let fields = fields.map(|fields| fields.into_iter().map(|(name, value)| (name, plain(value))).collect());
        fields.map(Self).or_else(|| Self::parse_text(line)).map(Self::with_sentence)
    }

    /// What a person reads of it, in one text: cause, remedy, what is to be pasted, what came back.
    fn with_sentence(mut self) -> Self {
        let address = self.field("address").to_owned();
        let host = address.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let message = self.message().to_owned();
        let mut parts = vec![if host.is_empty() { message } else { message.replacen(host, &address, 1) }];
        for name in ["remedy", "policy", "command"] {
            parts.extend(self.0.get(name).cloned());
        }
        parts.extend(self.0.get("answer").map(|answer| format!("{address} {answer}")));
        parts.extend(self.0.get("identity").map(|identity| format!("acting as {identity}")));
        let mut end = self.0.get("request_id").map(|id| format!(" (request id {id})")).unwrap_or_default();
        if let Some(tries) = self.0.get("attempts").filter(|tries| *tries != "1") {
            let elapsed: f64 = self.field("elapsed_ms").parse().unwrap_or_default();
            let _ = write!(end, " (tried {tries} times in {:.1} s)", elapsed / 1000.0);
        }
        let sentence = parts.join("; ") + &end;
        self.0.insert("sentence".into(), sentence);
        self
    }

    /// `fedboot: TIME SEVERITY MESSAGE`, without the fields, which have no end that could be told from a message.
    fn parse_text(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("fedboot: ")?.splitn(3, ' ');
        let fields = ["time", "severity", "message"].map(|name| Some((name.to_owned(), words.next()?.to_owned())));
        fields.into_iter().collect::<Option<_>>().map(Self)
    }

    pub fn field(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub fn severity(&self) -> &str {
        self.field("severity")
    }

    pub fn message(&self) -> &str {
        self.field("message")
    }

    /// Everything that it says in words.
    pub fn sentence(&self) -> &str {
        self.field("sentence")
    }
}

/// How many requests with this action arrived.
pub fn asked(stage: &Stage, action: &str) -> usize {
    stage.sandbox.requests().iter().filter(|request| request.action == action).count()
}

/// Checks rows that mostly wait side by side.
pub fn side_by_side<Row: Send>(rows: impl IntoIterator<Item = Row>, check: impl Fn(Row) + Sync) {
    let check = &check;
    thread::scope(|scope| rows.into_iter().for_each(|row| drop(scope.spawn(move || check(row)))));
}

/// Tries until it holds; a test that waits for something that happens by itself waits here.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The agents of the process `pid`, by their argv; zombies have none.
pub fn agents_of(pid: u32) -> Vec<u32> {
    let wanted = pid.to_string();
    fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|candidate| {
            let argv = fs::read(format!("/proc/{candidate}/cmdline")).unwrap_or_default();
            let mut words = argv.split(|byte| *byte == 0).skip(1);
            words.next() == Some(b"--fedboot-agent") && words.next() == Some(wanted.as_bytes())
        })
        .collect()
}

/// Waits for `child`; at the end of all patience it is killed by its pid, and the test fails.
pub fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("wait") {
            return status;
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("fedboot or its command never ended");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).expect("a readable pipe");
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Writes a file that a test starts from.
pub fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("its directory");
    fs::write(path, content).expect("a file");
}
