//! Where the command finds its tokens: its environment, the metadata server's port, the file for gcloud.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use fedboot_sandbox::{Fault, Sandbox, Service};

use crate::common::launch::{descriptors_of, gone, kill};
use crate::common::{NOBODY, Stage, asked, eventually, write};
use crate::{
    ACCESS, EXCHANGE, cost, hold, is_live, refused, run, server, short_lived, side_by_side, simple, variable, web,
};

const TOKEN_FILE: &str = "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE";
const GCE: [&str; 3] = ["GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"];

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}

/// The names in a directory and below it.
fn names_in(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            names.extend(names_in(&entry.path()));
        }
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names
}

/// What stands in files whose names are fedboot's own.
fn own_files(stage: &Stage) -> Vec<String> {
    names_in(&stage.home()).into_iter().filter(|name| name.starts_with(".fedboot-")).collect()
}

#[test]
fn the_environment() {
    let mut stage = simple();
    stage
        .set("NO_GCE_CHECK", "true")
        .set("GCE_METADATA_HOST", "metadata.invalid")
        .set("CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", "/x")
        .set(TOKEN_FILE, "/y")
        .set("GOOGLE_CLOUD_PROJECT", "mine")
        .set("UNRELATED", "a\nb\u{ff}");
    for name in
        fedboot::delivery::shadowed_variables::GOOGLE.iter().filter(|name| **name != "GOOGLE_APPLICATION_CREDENTIALS")
    {
        stage.set(name, "none");
    }
    let held = hold(&stage, "");
    let address = held.variable(GCE[0]);
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    for name in GCE {
        assert_eq!(held.variable(name), address, "{name}");
    }
    for name in fedboot::delivery::shadowed_variables::GOOGLE.iter().chain(&["NO_PROXY", "no_proxy"]) {
        assert_eq!(variable(&held, name), None, "{name}");
    }
    // Everything else is the caller's; an S3 client of the same program still finds its keys.
    for name in [
        "GOOGLE_CLOUD_PROJECT",
        "UNRELATED",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
        "HOME",
        "PATH",
    ] {
        let entry = stage.environment().into_iter().find(|entry| entry.starts_with(format!("{name}=").as_bytes()));
        let given = String::from_utf8(entry.expect(name)).expect("text");
        assert_eq!(variable(&held, name).as_deref(), given.split_once('=').map(|(_, value)| value), "{name}");
    }
    let known: Vec<String> = stage
        .environment()
        .iter()
        .map(|entry| String::from_utf8_lossy(entry).split('=').next().expect("a name").to_owned())
        .collect();
    let new: Vec<String> = held
        .environment
        .iter()
        .map(|entry| String::from_utf8_lossy(entry).split('=').next().expect("a name").to_owned())
        .filter(|name| !known.contains(name) && !GCE.contains(&name.as_str()) && !name.starts_with("FEDBOOT_"))
        .collect();
    assert_eq!(new, [""; 0], "what else is set");
    held.release(&stage).assert_succeeded();
    assert_eq!(own_files(&stage), [""; 0], "something is left");
}

/// Clients that heed proxies must not ask them for what is on this machine.
#[test]
fn no_proxy() {
    for (given, expected) in [
        (vec![], [None, None]),
        // Of Google's clients Node's takes that one for http: too.
        (vec![("HTTPS_PROXY", "x")], [Some("127.0.0.1"), Some("127.0.0.1")]),
        (vec![("HTTP_PROXY", "x")], [Some("127.0.0.1"), Some("127.0.0.1")]),
        (
            vec![("http_proxy", "x"), ("NO_PROXY", "a.example")],
            [Some("a.example,127.0.0.1"), Some("a.example,127.0.0.1")],
        ),
        (vec![("ALL_PROXY", "x"), ("no_proxy", "b"), ("NO_PROXY", "a")], [Some("a,127.0.0.1"), Some("b,127.0.0.1")]),
        (vec![("all_proxy", "x"), ("no_proxy", "localhost, 127.0.0.1")], [None, Some("localhost, 127.0.0.1")]),
        (vec![("HTTP_PROXY", "x"), ("NO_PROXY", "*"), ("no_proxy", "*")], [Some("*,127.0.0.1"), Some("*")]),
    ] {
        let mut stage = simple();
        for (name, value) in &given {
            let value = if *value == "x" { format!("http://{NOBODY}") } else { (*value).to_owned() };
            stage.set(name, value);
        }
        let held = hold(&stage, "");
        for (name, expected) in ["NO_PROXY", "no_proxy"].into_iter().zip(expected) {
            let found = variable(&held, name);
            let said =
                |list: &str| list.split(',').map(|it| it.trim().to_owned()).collect::<std::collections::BTreeSet<_>>();
            assert_eq!(found.as_deref().map(said), expected.map(said), "{name} of {given:?}: {found:?}");
        }
        held.release(&stage).assert_succeeded();
    }
}

#[test]
fn a_port_of_ones_own() {
    let stage = simple();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let line = format!("--metadata-port {port} -- touch ran");
    let parts = ["open the metadata server", &format!("127.0.0.1:{port}"), "in use", "--metadata-port"];
    let outcome = refused(&stage, 125, &line, &parts);
    assert_eq!(outcome.stderr.lines().count(), 1);
    assert_eq!(own_files(&stage), [""; 0]);
    drop(taken);
    for _ in 0..3 {
        // One after the other, at once: nobody waits for the kernel to forget.
        let held = hold(&stage, &format!("--metadata-port {port}"));
        assert_eq!(server(&held), format!("127.0.0.1:{port}"));
        let mut client = web::connect(&server(&held));
        std::io::Write::write_all(&mut client, web::question(&server(&held), "/project/project-id").as_bytes())
            .expect("a request");
        assert_eq!(web::read_reply(&mut client).map(|reply| reply.status), Some(200));
        held.release(&stage).assert_succeeded();
    }
    let held = hold(&stage, "");
    let port = server(&held);
    assert!(std::net::TcpStream::connect(port.replace("127.0.0.1", "127.0.0.2")).is_err());
    assert!(std::net::TcpStream::connect(port.replace("127.0.0.1", "[::1]")).is_err());
    held.release(&stage).assert_succeeded();
    assert!(std::net::TcpStream::connect(&port).is_err(), "it still listens");
}

/// An agent and its command are killed with all that they were, and another one starts in the same place.
#[test]
fn restarts_leave_one_access_token_file() {
    let stage = short_lived(600, Sandbox::builder());
    let names = || -> Vec<String> {
        let entries = fs::read_dir(stage.home().join(".cache/fedboot")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".access-token")).collect()
    };
    for _ in 0..5 {
        let held = hold(&stage, "--delivery access-token-file");
        held.kill_agent_for_good();
        drop(held);
        assert_eq!(names().len(), 1);
    }
    let living = hold(&stage, "--delivery access-token-file");
    let [left] = names().try_into().expect("one file");
    let other = hold(&stage, "--delivery access-token-file");
    assert!(names().contains(&left) && names().len() == 2, "{:?}", names());
    other.release(&stage).assert_succeeded();
    living.release(&stage).assert_succeeded();
    assert!(names().is_empty());
}

#[test]
fn an_access_token_file() {
    let rows = [
        ("--delivery access-token-file", false),
        ("--delivery metadata,access-token-file", true),
        ("--delivery access-token-file,metadata", true),
    ];
    side_by_side(rows, |(flags, serves)| {
        let mut stage = short_lived(5, Sandbox::builder());
        stage.set(TOKEN_FILE, "/inherited");
        let held = hold(&stage, flags);
        let file = held.variable(TOKEN_FILE);
        assert!(Path::new(&file).is_absolute() && Path::new(&file).starts_with(stage.home()), "{file}");
        assert_eq!(mode(&file), 0o600, "{flags}");
        assert_eq!(mode(Path::new(&file).parent().expect("a directory")) & 0o077, 0, "{flags}");
        for name in GCE {
            assert_eq!(variable(&held, name).is_some(), serves, "{flags}: {name}");
        }
        assert_eq!(variable(&held, "GOOGLE_APPLICATION_CREDENTIALS").is_some(), !serves, "{flags}");
        // One token and nothing else, whole and live whenever somebody looks, and another file each time.
        let read = || fs::read_to_string(&file).expect("a token at any time");
        let whole =
            |token: &str| token.starts_with("ya29.c.") && token.len() > 100 && !token.contains(char::is_whitespace);
        let inode = || fs::metadata(&file).expect("a file").ino();
        let (first, number) = (read(), inode());
        let mut seen = vec![first];
        eventually("it is refreshed", || {
            let token = read();
            assert!(whole(&token), "{token:?}");
            if seen.last() != Some(&token) {
                assert!(is_live(&stage, &token), "a dead one");
                seen.push(token);
            }
            seen.len() == 2
        });
        assert_ne!(inode(), number, "written in place");
        assert_eq!(mode(&file), 0o600);
        if serves {
            eventually("both have the same", || web::access_token(&server(&held)).0 == read());
        }
        // A service in trouble leaves the last one.
        stage.sandbox.fault(Service::IamCredentials, Fault::status(503, "").always());
        let failing = asked(&stage, ACCESS);
        eventually("a refresh fails", || asked(&stage, ACCESS) > failing + 1);
        assert!(whole(&read()));
        held.release(&stage).assert_succeeded();
        assert!(!Path::new(&file).exists(), "{flags}: it is left");
        assert_eq!(own_files(&stage), [""; 0], "{flags}");
    });
}

#[test]
fn a_file_that_was_named() {
    let stage = simple();
    write(&stage.directory.path().join("token"), "old and longer than nothing\n".repeat(100));
    for (name, more, expected) in [("token", "", 0o600), ("new/deep/token", "--file-mode 0640", 0o640)] {
        for delivery in ["", "--delivery access-token-file"] {
            let held = hold(&stage, &format!("{delivery} --access-token-file {name} {more}"));
            let path = stage.directory.path().join(name);
            assert_eq!(held.variable(TOKEN_FILE), path.display().to_string());
            assert_eq!(variable(&held, GCE[0]).is_some(), delivery.is_empty(), "{delivery}");
            assert_eq!(mode(&path), expected, "{name}");
            held.release(&stage).assert_succeeded();
            let token = fs::read_to_string(&path).expect("it stays: it was named");
            assert!(is_live(&stage, &token), "{token}");
        }
    }
    // What a link leads to is replaced, not the link.
    let stage = simple();
    let (link, target) = (stage.directory.path().join("link"), stage.directory.path().join("target"));
    write(&target, "old");
    std::os::unix::fs::symlink(&target, &link).expect("a link");
    run(&stage, "--access-token-file link -- true").assert_succeeded();
    assert!(link.is_symlink() && is_live(&stage, &fs::read_to_string(&target).expect("a token")));
    // What somebody else removed is put back with the next turn.
    let stage = short_lived(4, Sandbox::builder());
    let held = hold(&stage, "--access-token-file token");
    let path = stage.directory.path().join("token");
    fs::remove_file(&path).expect("it was there");
    eventually("it is back", || path.exists());
    held.release(&stage).assert_succeeded();
    // Where nothing can be written, nothing starts.
    let stage = simple();
    write(&stage.directory.path().join("file"), "");
    let outcome = run(&stage, "--access-token-file file/token -- touch ran");
    assert_eq!(outcome.code(), Some(125), "{}", outcome.stderr);
    assert!(outcome.error().sentence().contains("file/token"), "{}", outcome.stderr);
    assert!(!stage.directory.path().join("ran").exists());
}

/// No home, or one that nobody may write: the metadata server needs no file.
#[test]
fn without_a_home() {
    let mut stage = simple();
    for home in ["", "/proc/self", "relative"] {
        stage.set("HOME", home).set("XDG_CACHE_HOME", "/proc/self").set("XDG_RUNTIME_DIR", "/proc/self");
        let held = hold(&stage, "");
        assert!(is_live(&stage, &web::access_token(&server(&held)).0), "{home}");
        held.release(&stage).assert_succeeded();
    }
}

/// The command's own things are its own, and its end is the agent's.
#[test]
fn the_agent_beside_the_command() {
    let stage = simple();
    let outcome = stage.run_shell(&[], "echo out; echo err >&2; exit 7");
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (Some(7), "out\n"));
    assert!(outcome.stderr.contains("err\n"), "{}", outcome.stderr);
    let held = hold(&stage, "");
    let agent = held.agent();
    // The command may be quicker than the agent lets go of the pipe by which it told of it.
    eventually("no pipe is left", || {
        !descriptors_of(agent).iter().any(|(number, target)| *number != 2 && target.starts_with("pipe:"))
    });
    // Nothing secret stands where everybody can read it.
    let argv = fs::read(format!("/proc/{agent}/cmdline")).expect("its argv");
    stage.assert_no_secret(&String::from_utf8_lossy(&argv));
    let command = held.pid;
    kill(command, libc::SIGKILL);
    gone(agent);
    drop(held);
    // Once, and never again.
    let stage = short_lived(2, Sandbox::builder());
    let held = hold(&stage, "--no-refresh");
    let (token, left) = web::access_token(&server(&held));
    assert!(left <= 3 && is_live(&stage, &token), "{left}");
    eventually("it ends", || !is_live(&stage, &token));
    assert_eq!(asked(&stage, ACCESS), 1);
    let outcome = held.release(&stage);
    assert!(outcome.events()[0].message().contains("not refreshed"), "{}", outcome.stderr);
    assert_eq!(asked(&stage, EXCHANGE), 1);
}

/// Many containers that start in the same second, each with its own agent.
#[test]
fn many_at_once() {
    let stage = simple();
    let children: Vec<_> = (0..20)
        .map(|_| stage.command(["--", "sh", "-c", "echo $GCE_METADATA_HOST"]).spawn().expect("fedboot"))
        .collect();
    let mut addresses: Vec<_> = children
        .into_iter()
        .map(|child| stage.finish(child))
        .map(|outcome| {
            outcome.assert_succeeded();
            outcome.stdout
        })
        .collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 20);
    assert_eq!(cost(&stage), [20, 20, 0]);
}
