//! What was asked, in order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use parking_lot::{Condvar, Mutex};
use serde::{Serialize, Serializer};

use crate::clock::as_rfc3339;
use crate::settings::names::Service;

/// One request and what became of it. The secrets in here are fake.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// Its place in the order of arrival, from 0.
    pub seq: usize,
    /// Who was asked.
    pub service: Service,
    /// `AssumeRoleWithWebIdentity`, `generateIdToken`, or the last word of the metadata path: `identity`, `token`.
    /// Google STS: `exchange`. IMDS: `imds-token`, `imds-role`, `imds-credentials`, or the last word of the path. The
    /// containers' endpoints: `task-credentials`, `pod-credentials`.
    pub action: String,
    /// Over TLS.
    pub tls: bool,
    /// HTTP method.
    pub method: String,
    /// Path without the query, as it was sent.
    pub path: String,
    /// Query as it was sent, without the question mark.
    pub query: String,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Parameters of query and form, or the strings of a JSON object, decoded.
    pub params: BTreeMap<String, String>,
    /// The body as text.
    pub body: String,
    /// The connection it came on; two requests on one connection have the same number.
    pub connection: u64,
    /// Arrival, wall clock.
    #[serde(serialize_with = "as_rfc3339")]
    pub at: SystemTime,
    /// Arrival since the sandbox started, monotonic.
    #[serde(rename = "since_start_ms", serialize_with = "as_milliseconds")]
    pub since_start: Duration,
    /// Time until the answer began.
    #[serde(rename = "took_ms", serialize_with = "as_milliseconds")]
    pub took: Duration,
    /// Status of the answer; none while there is no answer, or if there never will be one.
    pub status: Option<u16>,
    /// What the service thought of it, in words; empty until it is answered.
    pub verdict: String,
    /// The fault that hit it.
    pub fault: Option<String>,
}

impl Request {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// A parameter of query, form or JSON body.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }
}

/// One accepted connection.
#[derive(Clone, Debug, Serialize)]
pub struct Connection {
    /// The number that its requests bear.
    pub id: u64,
    /// The service it reached; IAM Credentials for the listener that JWKS shares with it.
    pub service: Service,
    /// Over TLS.
    pub tls: bool,
    /// When it was accepted, since the sandbox started.
    #[serde(rename = "since_start_ms", serialize_with = "as_milliseconds")]
    pub since_start: Duration,
    /// Why the TLS handshake failed.
    pub handshake_error: Option<String>,
}

fn as_milliseconds<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
}

#[derive(Default)]
struct Entries {
    requests: Vec<Request>,
    connections: Vec<Connection>,
    next: usize,
    file: Option<File>,
}

pub(crate) struct Log {
    started: Instant,
    entries: Mutex<Entries>,
    changed: Condvar,
}

impl Log {
    pub(crate) fn new(file: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            let file = File::options().create(true).append(true).open(path);
            file.with_context(|| format!("request log {}", path.display()))
        };
        let file = file.map(open).transpose()?;
        Ok(Self {
            started: Instant::now(),
            entries: Mutex::new(Entries { file, ..Entries::default() }),
            changed: Condvar::new(),
        })
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn connected(&self, service: Service, tls: bool) -> u64 {
        let mut entries = self.entries.lock();
        let id = entries.connections.len() as u64;
        entries.connections.push(Connection { id, service, tls, since_start: self.elapsed(), handshake_error: None });
        id
    }

    pub(crate) fn handshake_failed(&self, id: u64, error: String) {
        if let Some(connection) = self.entries.lock().connections.get_mut(id as usize) {
            connection.handshake_error = Some(error);
        }
    }

    /// Notes an arrival; its number is for [`Self::finished`].
    pub(crate) fn arrived(&self, mut request: Request) -> usize {
        let mut entries = self.entries.lock();
        let seq = entries.next;
        entries.next += 1;
        request.seq = seq;
        entries.requests.push(request);
        seq
    }

    pub(crate) fn finished(&self, seq: usize, status: Option<u16>, verdict: String, fault: Option<String>) {
        let mut entries = self.entries.lock();
        let elapsed = self.elapsed();
        // The list may have been emptied in the meantime.
        let Some(at) = entries.requests.iter().position(|r| r.seq == seq) else {
            return;
        };
        let request = &mut entries.requests[at];
        request.took = elapsed.saturating_sub(request.since_start);
        request.status = status;
        request.verdict = verdict;
        request.fault = fault;
        let line = serde_json::to_string(&*request);
        if let (Some(file), Ok(line)) = (&mut entries.file, line) {
            // The log is for people and tests; a full disk must not change what the services answer.
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
        self.changed.notify_all();
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.entries.lock().requests.clone()
    }

    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.entries.lock().connections.clone()
    }

    pub(crate) fn forget(&self) {
        self.entries.lock().requests.clear();
    }

    /// Waits until so many requests with this action have been dealt with, and returns all of them.
    pub(crate) fn wait_for(&self, count: usize, action: &str, timeout: Duration) -> Vec<Request> {
        let mut entries = self.entries.lock();
        let few = |entries: &mut Entries| Self::matching(entries, action).len() < count;
        self.changed.wait_while_for(&mut entries, few, timeout);
        Self::matching(&entries, action)
    }

    fn matching(entries: &Entries, action: &str) -> Vec<Request> {
        let done = |r: &&Request| r.action == action && !r.verdict.is_empty();
        entries.requests.iter().filter(done).cloned().collect()
    }
}
