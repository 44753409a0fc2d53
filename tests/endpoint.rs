//! The loopback server: what it answers, to whom, and that nobody can keep it from the others.

#![allow(unsafe_code, reason = "limits of a process have no safe interface")]
#![allow(clippy::disallowed_methods, reason = "tests look at the real world")]

mod common;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::launch::{Held, allow_descriptors, descriptors_of, few_descriptors, figure, kill, skip, stop};
use common::web::{self, Reply, is_closed, read_reply, request};
use common::{NOBODY, PATIENCE, Stage, eventually};
use fedboot_sandbox::{Fault, Sandbox, Service};

/// No client waits longer: botocore's first try ends after two seconds.
const CLIENTS_PATIENCE: Duration = Duration::from_secs(2);

/// Where the command is told to ask, and with what.
#[derive(Clone)]
struct Endpoint {
    address: String,
    path: String,
    token: String,
}

impl Endpoint {
    fn of(held: &Held) -> Self {
        let uri = held.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        let (address, path, secret) = web::parts(&uri);
        Self { address: address.into(), path: path.into(), token: secret.into() }
    }

    /// What an SDK sends.
    fn request(&self) -> String {
        request("GET", &format!("{}/{}", self.path, self.token), &[("Host", &self.address)])
    }

    #[track_caller]
    fn connect(&self) -> TcpStream {
        web::connect(&self.address)
    }

    /// Sends these bytes on a new connection. `None`: it was closed without an answer.
    #[track_caller]
    fn ask(&self, request: impl AsRef<[u8]>) -> Option<Reply> {
        web::send(&self.address, request)
    }

    /// The right question, and that it is answered as soon as any client wants it.
    #[track_caller]
    fn fetch(&self) -> Reply {
        let start = Instant::now();
        let reply = self.ask(self.request()).expect("an answer");
        assert!(start.elapsed() < CLIENTS_PATIENCE, "the answer took {:?}", start.elapsed());
        reply
    }
}

/// The id of the key that was answered.
fn key_in(reply: &Reply) -> String {
    reply.json()["AccessKeyId"].as_str().expect("a key").into()
}

/// Clients that heed proxies must not ask them for the endpoint, whatever bytes the list has been until then.
#[test]
fn no_proxy_for_the_endpoint() {
    for (delivery, is_there) in
        [("file,endpoint", true), ("endpoint", true), ("file", false), ("process", false), ("env", false)]
    {
        let mut stage = Stage::new();
        let list = b"caf\xe9.example, 127.0.0.0/8 localhost";
        stage.set("http_proxy", format!("http://{NOBODY}")).set("no_proxy", OsStr::from_bytes(list));
        let held = stage.hold(&["--delivery", delivery]);
        let wanted = if is_there { [list, &b",127.0.0.1"[..]].concat() } else { list.to_vec() };
        let found = |name: &str| held.environment.iter().find_map(|entry| entry.strip_prefix(name.as_bytes()));
        assert_eq!(found("no_proxy="), Some(&wanted[..]), "{delivery}");
        assert_eq!(found("NO_PROXY="), is_there.then_some(&wanted[..]), "{delivery}");
        held.release(&stage).assert_succeeded();
    }
}

#[test]
fn the_answer_is_what_sdks_read() {
    let stage = Stage::new();
    let held = stage.hold(&[]);
    let reply = Endpoint::of(&held).fetch();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("cache-control"), "no-store");
    let answer = reply.json();
    let names: BTreeSet<_> = answer.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["AccessKeyId", "SecretAccessKey", "Token", "Expiration"]));
    let issued = stage.sandbox.issued().pop().expect("credentials");
    assert_eq!(answer["AccessKeyId"], issued.access_key_id);
    assert_eq!(answer["SecretAccessKey"], issued.secret_access_key);
    assert_eq!(answer["Token"], issued.session_token);
    let text = |name: &str| answer[name].as_str().expect("a string").to_owned();
    assert!(stage.sandbox.is_valid(&text("AccessKeyId"), &text("SecretAccessKey"), &text("Token")));
    // RFC 3339 with Z, whole seconds: 2026-11-22T07:00:00Z.
    let expiration = text("Expiration");
    let shape: String = expiration.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00Z");
    // The file says the same.
    assert!(stage.credentials_text().contains(&format!("x_security_token_expires = {expiration}\n")));
    held.release(&stage).assert_succeeded();
}

#[test]
fn only_programs_of_this_machine_with_the_token_are_answered() {
    let stage = Stage::new();
    let held = stage.hold(&[]);
    let endpoint = Endpoint::of(&held);
    let (address, token, path) = (endpoint.address.as_str(), endpoint.token.as_str(), endpoint.path.as_str());
    let port = address.rsplit_once(':').expect("a port").1;
    let host = |name: &str| format!("{name}:{port}");
    let mut other = token.to_owned();
    let last = other.pop().expect("a token");
    other.push(if last == '0' { '1' } else { '0' });
    let get = |headers: &[(&str, &str)]| request("GET", path, headers);
    let get_right = |headers: &[(&str, &str)]| request("GET", &format!("{path}/{token}"), headers);
    let with_host = |name: &str| get(&[("Host", name), ("Authorization", token)]);
    let with_token = |token: &str| get(&[("Host", address), ("Authorization", token)]);
    let elsewhere = |method: &str, path: &str| request(method, path, &[("Host", address), ("Authorization", token)]);
    for (status, name, request) in [
        (200, "right", endpoint.request()),
        (200, "what the token file holds in the header", get_right(&[("Host", address), ("Authorization", "fedboot")])),
        (200, "the secret in the header", get(&[("Host", address), ("Authorization", token)])),
        (200, "localhost", with_host(&host("localhost"))),
        (200, "LocalHost", with_host(&host("LocalHost"))),
        (403, "another server's name", with_host("metadata.google.internal")),
        (403, "another server's address", with_host("169.254.169.254")),
        (200, "IPv6", with_host(&host("[::1]"))),
        (200, "no port", with_host("127.0.0.1")),
        (200, "header names in any letters", get(&[("hOST", address), ("aUTHORIZATION", token)])),
        (200, "a query", elsewhere("GET", &format!("{path}?x=1"))),
        (401, "no token", get(&[("Host", address)])),
        (401, "an empty token", with_token("")),
        (401, "one letter wrong", with_token(&other)),
        (401, "a beginning", with_token(&token[..token.len() - 1])),
        (401, "too much", with_token(&format!("{token}0"))),
        (401, "other letters", with_token(&token.to_uppercase())),
        (401, "a scheme", with_token(&format!("Bearer {token}"))),
        (401, "the token elsewhere", get(&[("Host", address), ("X-Authorization", token)])),
        (404, "no secret in the path", request("GET", &format!("{path}/"), &[("Host", address)])),
        (401, "a wrong secret in the path", request("GET", &format!("{path}/{other}"), &[("Host", address)])),
        (401, "a beginning in the path", request("GET", &format!("{path}/{}", &token[1..]), &[("Host", address)])),
        (401, "more in the path", request("GET", &format!("{path}/{token}/"), &[("Host", address)])),
        (401, "the token in the query", request("GET", &format!("{path}?{token}"), &[("Host", address)])),
        (403, "another host", with_host(&host("evil.example"))),
        (403, "a host that begins well", with_host(&host("127.0.0.1.evil.example"))),
        (403, "a host that ends well", with_host(&host("evil.localhost"))),
        (403, "with a user", with_host(&host("127.0.0.1@evil.example"))),
        (403, "another address of this machine", with_host(&host("127.0.0.2"))),
        (403, "any address", with_host(&host("0.0.0.0"))),
        (403, "an empty host", with_host("")),
        (403, "no host", get(&[("Authorization", token)])),
        (403, "two hosts", get(&[("Host", address), ("Host", address), ("Authorization", token)])),
        (403, "two hosts, one other", get(&[("Host", address), ("Host", "evil"), ("Authorization", token)])),
        (403, "an origin", get(&[("Host", address), ("Authorization", token), ("Origin", "http://evil.example")])),
        (403, "a null origin", get(&[("Host", address), ("Authorization", token), ("Origin", "null")])),
        (
            403,
            "our own origin",
            get(&[("Host", address), ("Authorization", token), ("Origin", &format!("http://{address}"))]),
        ),
        (404, "POST", elsewhere("POST", path)),
        (404, "PUT", elsewhere("PUT", path)),
        (404, "HEAD", elsewhere("HEAD", path)),
        (404, "OPTIONS", elsewhere("OPTIONS", path)),
        (404, "DELETE", elsewhere("DELETE", path)),
        (404, "TRACE", elsewhere("TRACE", path)),
        (404, "a method of its own", elsewhere("GETX", path)),
        (404, "the root", elsewhere("GET", "/")),
        (404, "a path below", elsewhere("GET", &format!("{path}/"))),
        (404, "a secret without a slash", elsewhere("GET", &format!("{path}{token}"))),
        (404, "a path above", elsewhere("GET", "/v1")),
        (404, "a path that leads back", elsewhere("GET", &format!("/x/..{path}"))),
        (404, "escaped", elsewhere("GET", &path.replacen('c', "%63", 1))),
        (404, "doubled slashes", elsewhere("GET", &format!("/{path}"))),
    ] {
        let reply = if name == "HEAD" {
            let mut stream = endpoint.connect();
            stream.write_all(request.as_bytes()).expect("a request");
            let mut status_line = [0; 12];
            stream.read_exact(&mut status_line).expect("a status line");
            assert_eq!(&status_line, b"HTTP/1.1 404", "{name}");
            continue;
        } else {
            endpoint.ask(&request).unwrap_or_else(|| panic!("{name}: no answer"))
        };
        assert_eq!(reply.status, status, "{name}: {}", reply.body);
        if status == 200 {
            assert!(reply.json()["Token"].is_string(), "{name}");
        } else {
            // As the SDKs read an error, and without anything that is secret.
            let error = reply.json();
            assert!(error["code"].is_string() && error["message"].is_string(), "{name}: {error}");
            let issued = stage.sandbox.issued().pop().expect("credentials");
            for secret in [token, &issued.secret_access_key, &issued.session_token] {
                assert!(!reply.body.contains(secret), "{name}: {}", reply.body);
            }
            assert_eq!(reply.header("access-control-allow-origin"), "", "{name}");
        }
    }
    let outcome = held.release(&stage);
    assert!(!outcome.stderr.contains(token), "the token was logged");
}

/// By RFC 9112 the host of an absolute target counts, not the `Host` header.
#[test]
fn an_absolute_target_has_no_other_host() {
    let stage = Stage::new();
    let held = stage.hold(&[]);
    let endpoint = Endpoint::of(&held);
    let ask = |target: String| {
        let headers = [("Host", endpoint.address.as_str()), ("Authorization", endpoint.token.as_str())];
        endpoint.ask(request("GET", &target, &headers)).map_or(0, |reply| reply.status)
    };
    assert_eq!(ask(format!("http://{}{}", endpoint.address, endpoint.path)), 200);
    let other = ask(format!("http://evil.example{}", endpoint.path));
    assert!([400, 403, 404].contains(&other), "http://evil.example: {other}");
    held.release(&stage).assert_succeeded();
}

#[test]
fn it_listens_on_one_address_until_the_command_ends() {
    let stage = Stage::new();
    let held = stage.hold(&[]);
    let endpoint = Endpoint::of(&held);
    let port = endpoint.address.strip_prefix("127.0.0.1:").expect("an address of loopback").to_owned();
    for other in ["127.0.0.2", "[::1]"] {
        assert!(TcpStream::connect(format!("{other}:{port}")).is_err(), "it listens on {other}");
    }
    assert_eq!(endpoint.fetch().status, 200);
    // A client that keeps its connection does not keep the agent.
    let mut keeper = endpoint.connect();
    keeper.write_all(endpoint.request().as_bytes()).expect("a request");
    assert_eq!(read_reply(&mut keeper).expect("an answer").status, 200);
    held.release(&stage).assert_succeeded();
    assert!(read_reply(&mut keeper).is_none(), "it still answers");
    assert!(TcpStream::connect(&endpoint.address).is_err(), "it still listens");
}

#[test]
fn the_secret_stands_in_the_url_and_nowhere_else() {
    let stage = Stage::new();
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let held = stage.hold(&[]);
        let file = held.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        let token = Endpoint::of(&held).token;
        assert!(Path::new(&file).is_absolute(), "{file}");
        assert_eq!(fs::read(&file).expect("the token file"), b"fedboot", "a line end, or a secret");
        let known = held.environment.iter().filter(|entry| String::from_utf8_lossy(entry).contains(&token));
        assert_eq!(known.count(), 1);
        assert_eq!(fs::metadata(&file).expect("the token file").mode() & 0o7777, 0o600);
        assert!(token.len() >= 32 && token.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{token}");
        held.release(&stage).assert_succeeded();
        assert!(!Path::new(&file).exists(), "the token file is left");
        assert!(seen.insert(token) && seen.insert(file), "the same twice");
    }
}

/// Go's SDK closes the connection when head and body come apart.
#[test]
fn an_answer_comes_in_one_piece() {
    let stage = Stage::new();
    let held = stage.hold(&[]);
    let endpoint = Endpoint::of(&held);
    let mut kept = endpoint.connect();
    for round in 0..1000 {
        let mut fresh;
        let stream = if round % 2 == 0 {
            fresh = endpoint.connect();
            &mut fresh
        } else {
            &mut kept
        };
        web::in_one_piece(stream, &endpoint.request());
    }
    held.release(&stage).assert_succeeded();
}

#[test]
fn answers_are_the_newest_then_the_last_good_then_none() {
    let stage = Stage::with(Sandbox::builder().credential_lifetime(Duration::from_secs(6)));
    let held = stage.hold(&[]);
    let endpoint = Endpoint::of(&held);
    let first = key_in(&endpoint.fetch());
    stage.sandbox.wait_for(2, "AssumeRoleWithWebIdentity", PATIENCE).expect("a refresh");
    let newest = || stage.sandbox.issued().pop().expect("credentials").access_key_id;
    eventually("the newest are answered", || key_in(&endpoint.fetch()) == newest());
    assert_ne!(key_in(&endpoint.fetch()), first);

    // From now on STS fails: what is there is answered for as long as it lives.
    stage.sandbox.fault(Service::Sts, Fault::status(500, "").always());
    let asked = stage.sandbox.requests_to(Service::Sts).len();
    let last = stage.sandbox.issued().pop().expect("credentials");
    eventually("a refresh fails", || stage.sandbox.requests_to(Service::Sts).len() > asked);
    let mut answered_while_failing = 0;
    loop {
        let reply = endpoint.fetch();
        // The file's and the endpoint's time is in whole seconds.
        let left = last.expires_at.duration_since(SystemTime::now()).unwrap_or_default();
        if left > Duration::from_secs(1) {
            assert_eq!(reply.status, 200, "with {left:?} left: {}", reply.body);
            assert_eq!(key_in(&reply), last.access_key_id);
            answered_while_failing += 1;
        }
        if reply.status != 200 {
            assert!(left < Duration::from_secs(1), "{left:?} before the end: {}", reply.body);
            assert_eq!(reply.status, 503);
            let error = reply.json();
            assert!(error["code"].is_string() && error["message"].is_string(), "{error}");
            break;
        }
        assert!(last.expires_at + Duration::from_secs(2) > SystemTime::now(), "expired credentials are answered");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(answered_while_failing > 0);

    // And when STS is back, so are credentials.
    stage.sandbox.clear_faults();
    eventually("new ones are answered", || endpoint.fetch().status == 200);
    assert_eq!(key_in(&endpoint.fetch()), newest());
    held.release(&stage).assert_succeeded();
}

#[test]
fn before_the_first_credentials_it_says_there_are_none_yet() {
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::hang().always()));
    let held = stage.hold(&["--on-failure=run", "--timeout=1"]);
    let endpoint = Endpoint::of(&held);
    let reply = endpoint.fetch();
    assert_eq!(reply.status, 503, "{}", reply.body);
    assert!(reply.json()["message"].is_string());
    stage.sandbox.clear_faults();
    eventually("credentials come", || endpoint.fetch().status == 200);
    assert_eq!(key_in(&endpoint.fetch()), stage.sandbox.issued().pop().expect("credentials").access_key_id);
    held.release(&stage).assert_succeeded();
}

/// The file waits for its lock; the endpoint waits for nobody.
#[test]
fn it_answers_while_the_file_cannot_be_written() {
    let stage = Stage::with(Sandbox::builder().credential_lifetime(Duration::from_secs(6)));
    let held = stage.hold(&[]);
    let endpoint = Endpoint::of(&held);
    let lock = common::turn::hold(&stage);
    let before = stage.credentials_text();
    let first = key_in(&endpoint.fetch());
    eventually("fresh ones are answered", || key_in(&endpoint.fetch()) != first);
    assert_eq!(stage.credentials_text(), before, "the file was not locked");
    drop(lock);
    let fresh = key_in(&endpoint.fetch());
    eventually("and written", || stage.credentials_text().contains(&fresh) || key_in(&endpoint.fetch()) != fresh);
    held.release(&stage).assert_succeeded();
}

// Those who do not behave.

#[test]
fn connections_are_kept_shared_and_closed_as_http_has_it() {
    let stage = Stage::new();
    let held = stage.hold(&[]);
    let endpoint = Endpoint::of(&held);
    let request = endpoint.request();

    // Kept alive, through refusals too.
    let mut stream = endpoint.connect();
    for round in 0..50 {
        let wrong = web::request("GET", "/other", &[("Host", &endpoint.address)]);
        let (text, status) = if round % 5 == 4 { (&wrong, 404) } else { (&request, 200) };
        stream.write_all(text.as_bytes()).expect("a request");
        assert_eq!(read_reply(&mut stream).expect("an answer").status, status, "round {round}");
    }
    // Pipelined.
    stream.write_all(request.repeat(20).as_bytes()).expect("twenty requests");
    for _ in 0..20 {
        assert_eq!(read_reply(&mut stream).expect("an answer").status, 200);
    }
    // In the smallest pieces.
    for byte in request.as_bytes() {
        stream.write_all(&[*byte]).expect("a byte");
    }
    assert_eq!(read_reply(&mut stream).expect("an answer").status, 200);
    // Closed on demand.
    let close = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    stream.write_all(close.as_bytes()).expect("a request");
    assert_eq!(read_reply(&mut stream).expect("an answer").status, 200);
    assert!(read_reply(&mut stream).is_none(), "it stays open");
    // HTTP/1.0 closes by itself, and still needs a host.
    let mut stream = endpoint.connect();
    stream.write_all(request.replace("HTTP/1.1", "HTTP/1.0").as_bytes()).expect("a request");
    assert_eq!(read_reply(&mut stream).expect("an answer").status, 200);
    assert!(read_reply(&mut stream).is_none(), "it stays open");
    assert_eq!(endpoint.ask(format!("GET {} HTTP/1.0\r\n\r\n", endpoint.path)).expect("an answer").status, 403);
    // A client that has said all and says so.
    let mut stream = endpoint.connect();
    stream.write_all(request.as_bytes()).expect("a request");
    stream.shutdown(Shutdown::Write).expect("half a close");
    assert_eq!(read_reply(&mut stream).expect("an answer").status, 200);
    // A body that nobody asked for.
    let body = request.replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(endpoint.ask(body).expect("an answer").status, 200);
    held.release(&stage).assert_succeeded();
}

#[test]
fn nonsense_ends_its_own_connection_only() {
    let stage = Stage::new();
    let held = stage.hold(&[]);
    let endpoint = Endpoint::of(&held);
    let (host, token) = (endpoint.address.as_str(), endpoint.token.as_str());
    let start = format!("GET {} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n", endpoint.path);
    let random: Vec<u8> =
        (0..5000_u32).map(|index| u8::try_from(index.wrapping_mul(2_654_435_761) >> 24).unwrap_or(0)).collect();
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("zeros", vec![0; 1000]),
        ("random bytes", random),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03garbage".repeat(50)),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("HTTP/9.9", b"GET / HTTP/9.9\r\n\r\n".to_vec()),
        ("a header without a colon", format!("{start}nonsense\r\n\r\n").into_bytes()),
        ("a header name that is none", format!("{start}a b: c\r\n\r\n").into_bytes()),
        ("bytes in a header", [start.as_bytes(), b"X: \x00\x01\r\n\r\n"].concat()),
        ("a length that is none", format!("{start}Content-Length: x\r\n\r\n").into_bytes()),
        ("two lengths", format!("{start}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx").into_bytes()),
        (
            "two kinds of length",
            format!("{start}Content-Length: 1\r\nTransfer-Encoding: nonsense\r\n\r\nx").into_bytes(),
        ),
        ("200 headers", format!("{start}{}\r\n", "X: y\r\n".repeat(200)).into_bytes()),
        ("a header of 20 kB", format!("{start}X: {}\r\n\r\n", "y".repeat(20_000)).into_bytes()),
        ("a header of 4 MB", format!("{start}X: {}\r\n\r\n", "y".repeat(4_000_000)).into_bytes()),
        ("a path of 100 kB", format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", "y".repeat(100_000)).into_bytes()),
    ];
    for (name, bytes) in rows {
        let mut stream = endpoint.connect();
        let _ = stream.write_all(&bytes);
        let reply = read_reply(&mut stream);
        let refused = reply.as_ref().is_none_or(|reply| reply.status >= 400);
        assert!(refused, "{name}: {}", reply.map_or(0, |reply| reply.status));
        eventually("the connection is closed", || is_closed(&mut stream));
        assert_eq!(endpoint.fetch().status, 200, "after {name}");
    }
    // What real clients send is far below the limit.
    let long = format!("{start}User-Agent: {}\r\n\r\n", "y".repeat(8000));
    assert_eq!(endpoint.ask(long).expect("an answer").status, 200);
    // Sudden ends.
    for _ in 0..100 {
        let mut stream = endpoint.connect();
        stream.write_all(&start.as_bytes()[..20]).expect("half a request");
    }
    assert_eq!(endpoint.fetch().status, 200);
    eventually("nothing of them is left", || descriptors_of(held.agent()).len() < 30);
    held.release(&stage).assert_succeeded();
}

/// Many questions, no answer read: what is not taken waits, and the others do not.
#[test]
fn a_client_that_does_not_read_locks_nobody_out() {
    let stage = Stage::new();
    let held = stage.hold(&[]);
    let endpoint = Endpoint::of(&held);
    let mut streams: Vec<_> = (0..20).map(|_| endpoint.connect()).collect();
    for stream in &mut streams {
        stream.set_nonblocking(true).expect("a flag");
        let request = endpoint.request().repeat(100);
        // Until neither side's buffers take any more.
        while stream.write(request.as_bytes()).is_ok() {}
    }
    for _ in 0..20 {
        assert_eq!(endpoint.fetch().status, 200);
    }
    drop(streams);
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{}/status", held.agent())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line").to_owned();
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    };
    figure(&format!("endpoint: the agent's largest resident size after 20 clients that do not read: {} kB", memory()));
    assert!(memory() < 64 << 10, "it keeps all that is asked");
    held.release(&stage).assert_succeeded();
}

#[test]
fn held_connections_lock_nobody_out() {
    let stage = Stage::new();
    let held = stage.hold(&[]);
    let endpoint = Endpoint::of(&held);
    let count = allow_descriptors(5000, 500);
    let mut streams = Vec::new();
    let mut slowest = Duration::ZERO;
    for index in 0..count {
        let mut stream = endpoint.connect();
        match index % 3 {
            // Says nothing; says half; has asked and stays.
            0 => {}
            1 => stream.write_all(&endpoint.request().as_bytes()[..30]).expect("half a request"),
            _ => stream.write_all(endpoint.request().as_bytes()).expect("a request"),
        }
        streams.push(stream);
        if index % 100 == 0 {
            let start = Instant::now();
            assert_eq!(endpoint.fetch().status, 200, "behind {index} connections");
            slowest = slowest.max(start.elapsed());
        }
    }
    let descriptors = descriptors_of(held.agent()).len();
    figure(&format!(
        "endpoint: behind {count} held connections an answer took {:.1} ms at most; the agent held {descriptors} descriptors",
        slowest.as_secs_f64() * 1e3
    ));
    assert!(descriptors < usize::try_from(count).expect("few"), "idle connections did not give way");
    assert!(descriptors > 100, "no connection was held");
    let status = fs::read_to_string(format!("/proc/{}/status", held.agent())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line").trim();
    let largest: u64 = line.trim_end_matches(" kB").parse().expect("a number");
    figure(&format!("endpoint: the agent's largest resident size behind {count} held connections: {largest} kB"));
    assert!(largest < 48 << 10, "{largest} kB");
    drop(streams);
    assert_eq!(endpoint.fetch().status, 200);
    eventually("the agent gives them back", || descriptors_of(held.agent()).len() < 30);
    held.release(&stage).assert_succeeded();
}

/// Many workers that begin at once, while the agent waits for its turn: the kernel keeps them in line. A client whose
/// first packet is dropped comes again after a second, and then Node's SDK has given up.
#[test]
fn a_burst_waits_in_line() {
    const CLIENTS: usize = 300;
    let longest = fs::read_to_string("/proc/sys/net/core/somaxconn").ok().and_then(|text| text.trim().parse().ok());
    if longest.is_some_and(|longest: usize| longest < CLIENTS) {
        return skip("a_burst_waits_in_line", "the kernel keeps no such line");
    }
    let stage = Stage::new();
    let held = stage.hold(&[]);
    let endpoint = Endpoint::of(&held);
    let agent = held.agent();
    stop(agent);
    let address = endpoint.address.parse().expect("an address");
    let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(700));
    let connected: Vec<_> = (0..CLIENTS).map_while(|index| connect(index).ok()).collect();
    kill(agent, libc::SIGCONT);
    assert_eq!(connected.len(), CLIENTS, "then the next one's first packet was dropped");
    for mut stream in connected {
        stream.write_all(endpoint.request().as_bytes()).expect("a request");
        assert_eq!(read_reply(&mut stream).expect("an answer").status, 200);
    }
    held.release(&stage).assert_succeeded();
}

/// Where the command's limit of open files is low, the agent's is the same.
#[test]
fn held_connections_lock_nobody_out_under_a_low_limit() {
    let stage = Stage::with(Sandbox::builder().credential_lifetime(Duration::from_secs(6)));
    let held = stage.hold_with(&[], few_descriptors);
    let endpoint = Endpoint::of(&held);
    let streams: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = endpoint.connect();
            stream.write_all(&endpoint.request().as_bytes()[..30]).expect("half a request");
            stream
        })
        .collect();
    let mut client = endpoint.connect();
    client.set_read_timeout(Some(CLIENTS_PATIENCE)).expect("a timeout");
    client.write_all(endpoint.request().as_bytes()).expect("a request");
    let mut status = [0; 12];
    client.read_exact(&mut status).expect("an answer in time, behind 200 connections with 64 descriptors");
    assert_eq!(&status, b"HTTP/1.1 200");
    // And the file is still refreshed.
    let newest = stage.sandbox.issued().len();
    eventually("a refresh", || stage.sandbox.issued().len() > newest);
    let id = stage.sandbox.issued().pop().expect("credentials").access_key_id;
    eventually("it reaches the file", || {
        stage.credentials_text().contains(&id) || stage.sandbox.issued().len() > newest + 1
    });
    assert!(
        stage.sandbox.issued().iter().skip(newest).any(|new| stage.credentials_text().contains(&new.access_key_id))
    );
    drop(streams);
    held.release(&stage).assert_succeeded();
}

#[test]
fn a_hundred_slow_clients_lock_nobody_out_and_are_cut_off() {
    let stage = Stage::new();
    let held = stage.hold(&[]);
    let endpoint = Endpoint::of(&held);
    let mut slow: Vec<_> = (0..100).map(|_| endpoint.connect()).collect();
    let mut idle = endpoint.connect();
    idle.write_all(endpoint.request().as_bytes()).expect("a request");
    assert_eq!(read_reply(&mut idle).expect("an answer").status, 200);
    let start = Instant::now();
    let request = endpoint.request();
    let mut bytes = request.bytes().chain(std::iter::repeat(b'x'));
    loop {
        let byte = bytes.next().expect("endless");
        let byte = if byte == b'\n' { b'x' } else { byte };
        slow.retain_mut(|stream| stream.write_all(&[byte]).is_ok() && !is_closed(stream));
        assert_eq!(endpoint.fetch().status, 200);
        if slow.is_empty() {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(50), "{} slow clients are still there", slow.len());
        thread::sleep(Duration::from_millis(500));
    }
    figure(&format!(
        "endpoint: clients that send two bytes a second are cut off after {:.0} s",
        start.elapsed().as_secs_f64()
    ));
    eventually("an idle connection is closed too", || is_closed(&mut idle));
    held.release(&stage).assert_succeeded();
}

#[test]
fn many_clients_at_once_all_get_their_answer() {
    let stage = Stage::new();
    let held = stage.hold(&[]);
    let endpoint = Endpoint::of(&held);
    let key = key_in(&endpoint.fetch());
    for (clients, rounds) in [(32, 50), (200, 10)] {
        let mut times: Vec<Duration> = thread::scope(|scope| {
            let all: Vec<_> = (0..clients)
                .map(|_| {
                    scope.spawn(|| {
                        let mut times = Vec::new();
                        for _ in 0..rounds {
                            let start = Instant::now();
                            let reply = endpoint.ask(endpoint.request()).expect("an answer");
                            times.push(start.elapsed());
                            assert_eq!((reply.status, key_in(&reply)), (200, key.clone()));
                        }
                        times
                    })
                })
                .collect();
            all.into_iter().flat_map(|client| client.join().expect("all are answered")).collect()
        });
        assert_eq!(times.len(), clients * rounds);
        times.sort();
        let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
        figure(&format!(
            "endpoint: {clients} clients, {} connections: median {:.2} ms, p99 {:.2} ms, longest {:.1} ms",
            times.len(),
            at(50),
            at(99),
            at(100)
        ));
        assert!(times[times.len() - 1] < CLIENTS_PATIENCE, "a client would have given up");
    }
    // One after the other, thousands.
    let start = Instant::now();
    for _ in 0..5000 {
        assert_eq!(endpoint.fetch().status, 200);
    }
    figure(&format!("endpoint: 5000 connections one by one, {:.2} ms each", start.elapsed().as_secs_f64() / 5.0));
    held.release(&stage).assert_succeeded();
}
