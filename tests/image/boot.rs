//! Stands where Beam's boot stands, in an image that has nothing else, and prints what it finds: one `NAME<tab>VALUE`
//! a line, bytes escaped as in a byte string. Of a secret it prints no more than that it is there.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::{env, fs, process};

const SECRETS: [&str; 3] = ["AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

fn main() {
    say("pid", process::id().to_string());
    say("uid", fs::metadata("/proc/self").expect("/proc").uid().to_string());
    say("directory", env::current_dir().expect("a working directory"));
    for argument in env::args_os().skip(1) {
        say("argument", argument);
    }
    for (name, value) in env::vars_os() {
        let secret = SECRETS.iter().any(|secret| name == *secret);
        let mut line = name;
        line.push("=");
        line.push(if secret { OsStr::new("(secret)") } else { &value });
        say("variable", line);
    }
    for process in fs::read_dir("/proc").expect("/proc").flatten() {
        let is_process = process.file_name().as_bytes().iter().all(u8::is_ascii_digit);
        if let (true, Ok(name)) = (is_process, fs::read_to_string(process.path().join("comm"))) {
            say("process", name.trim_end());
        }
    }
    if let Some(path) = env::var_os("AWS_SHARED_CREDENTIALS_FILE") {
        credentials_file(&path);
    }
    if let Ok(uri) = env::var("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
        let token = fs::read_to_string(env::var_os("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").expect("a token file"));
        endpoint(&uri, &token.expect("the token"));
    }
    let code = env::args_os().find_map(|argument| argument.to_str()?.strip_prefix("--exit-code=")?.parse().ok());
    process::exit(code.unwrap_or(0));
}

/// Sections and keys of the file, and the one value in it that is no secret.
fn credentials_file(path: &OsStr) {
    let status = fs::metadata(path).expect("the credentials file");
    say("file", format!("{:o} {}", status.mode() & 0o7777, status.uid()));
    for line in fs::read_to_string(path).expect("the credentials file").lines() {
        match line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
            Some(("aws_access_key_id", id)) => say("file-key-id", id),
            Some((key, _)) => say("file-has", key),
            None => say("file-has", line),
        }
    }
}

/// What an SDK does when the profile has no key.
fn endpoint(uri: &str, token: &str) {
    let (address, path) = uri.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("http://HOST/PATH");
    let mut stream = TcpStream::connect(address).expect("the endpoint listens");
    let request =
        format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    say("endpoint", reply.lines().next().unwrap_or_default());
    for name in ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"] {
        let value = reply.split(&format!("\"{name}\"")).nth(1).and_then(|rest| rest.split('"').nth(1));
        match value {
            Some(id) if name == "AccessKeyId" => say("endpoint-key-id", id),
            Some(_) => say("endpoint-has", name),
            None => {}
        }
    }
}

fn say(name: &str, value: impl AsRef<OsStr>) {
    println!("{name}\t{}", value.as_ref().as_bytes().escape_ascii());
}
