//! Who may ask the metadata server, with two users on one machine.

#![allow(unsafe_code, reason = "a thread's user has no safe interface")]

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::thread;

use crate::common::agents::{Front, agent_with, exported};
use crate::common::launch::{Held, skip};
use crate::common::{Stage, asked};
use crate::web::{self, Reply};
use crate::{ACCESS, refused, server, simple, words};

const OWN: u32 = 1000;
const STRANGER: u32 = 65534;
const TOKEN: &str = "/instance/service-accounts/default/token";

fn is_root(name: &str) -> bool {
    // SAFETY: asks for a number.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        skip(name, "not root");
    }
    is_root
}

/// What `user` does, on a thread that stays this user's.
fn by<T: Send>(user: u32, act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let acting = scope.spawn(|| {
            // By the kernel's own call, which changes this thread only.
            // SAFETY: plain system call.
            let changed = unsafe { libc::syscall(libc::SYS_setresuid, user, user, user) };
            assert_eq!(changed, 0, "become {user}");
            act()
        });
        acting.join().expect("it acts")
    })
}

fn asked_by(user: u32, address: &str, path: &str) -> Reply {
    by(user, || web::metadata(address, path))
}

/// A stage that a user without rights can stand on.
fn stage() -> Stage {
    let stage = simple();
    for path in [stage.directory.path(), &stage.home()] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("permissions");
        chown(path, Some(OWN), Some(OWN)).expect("an owner");
    }
    stage
}

fn held_by(user: u32, stage: &Stage, line: &str) -> Held {
    stage.hold_with(&words(line), |command| {
        command.uid(user).gid(user);
    })
}

/// A low port is root's to give, also to an agent that is another user's by then.
#[test]
fn a_low_port_for_another_user() {
    const NAME: &str = "a_low_port_for_another_user";
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first: u16 = first.unwrap_or_default().trim().parse().unwrap_or(1024);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    if !is_root(NAME) {
        return;
    }
    let Some(port) = (600..first).rev().find(is_free) else {
        return skip(NAME, "any user may have any port here");
    };
    let stage = stage();
    let held = held_by(0, &stage, &format!("--owner {OWN} --metadata-port {port}"));
    assert_eq!(server(&held), format!("127.0.0.1:{port}"));
    assert_eq!(asked_by(OWN, &server(&held), TOKEN).status, 200);
    held.release(&stage).assert_succeeded();
}

/// Whose agent, its option, and who is answered.
#[test]
fn two_users() {
    if !is_root("two_users") {
        return;
    }
    let stage = stage();
    for (user, option, guests) in [
        (OWN, "", &[OWN, 0][..]),
        (OWN, "--allow-uid any", &[OWN, 0, 7, STRANGER]),
        (OWN, "--allow-uid 65534,7", &[OWN, 0, 7, STRANGER]),
        (0, "", &[OWN, 0, 7, STRANGER]),
        (0, "--allow-uid 1000", &[OWN, 0]),
        // Whose agent it is by option.
        (0, "--owner 1000", &[OWN, 0]),
        (0, "--owner 1000 --allow-uid 7", &[OWN, 0, 7]),
    ] {
        let held = held_by(user, &stage, option);
        let address = server(&held);
        for asker in [OWN, 0, 7, STRANGER] {
            for path in [TOKEN, "/instance/service-accounts/default/identity?audience=a", "/?recursive=true"] {
                let reply = asked_by(asker, &address, path);
                let wanted = if guests.contains(&asker) { 200 } else { 403 };
                assert_eq!(reply.status, wanted, "{user} {option}: {asker} asks {path}: {}", reply.body);
                if wanted == 403 {
                    assert!(
                        reply.body.contains("--allow-uid") && reply.body.contains(&asker.to_string()),
                        "{}",
                        reply.body
                    );
                }
            }
        }
        // By a socket of IPv6, as Java has it.
        let port = address.rsplit(':').next().expect("a port");
        let mapped = format!("[::ffff:127.0.0.1]:{port}");
        for asker in [OWN, STRANGER] {
            let request = web::question(&address, TOKEN);
            let status = by(asker, || web::send(&mapped, request).map(|reply| reply.status));
            assert_eq!(status, Some(if guests.contains(&asker) { 200 } else { 403 }), "{user} {option}: {asker}, IPv6");
        }
        held.release(&stage).assert_succeeded();
    }
    // What a stranger asks costs nothing.
    assert_eq!(asked(&stage, ACCESS), 7);
}

/// An agent in front serves whoever shares its network.
#[test]
fn an_agent_in_front() {
    if !is_root("an_agent_in_front") {
        return;
    }
    let stage = stage();
    for (option, status) in [("", 200), ("--allow-uid 1000", 403)] {
        let front = Front::start(agent_with(&stage, &format!("--foreground {option}")).uid(OWN).gid(OWN));
        let address = exported(&front.exports, "GCE_METADATA_HOST").expect("an address");
        assert_eq!(asked_by(STRANGER, &address, TOKEN).status, status, "{option}");
        assert_eq!(asked_by(OWN, &address, TOKEN).status, 200, "{option}");
    }
}

#[test]
fn what_cannot_be_meant() {
    let stage = simple();
    for (line, part) in [
        ("--allow-uid nobody -- true", "--allow-uid"),
        ("--allow-uid -1 -- true", "--allow-uid"),
        ("--allow-uid 1,,2 -- true", "--allow-uid"),
        ("--allow-uid 4294967296 -- true", "--allow-uid"),
        ("--delivery access-token-file --allow-uid 1 -- true", "--allow-uid is for --delivery metadata"),
        ("--role-arn arn:aws:iam::123456789012:role/r --allow-uid 1 -- true", "--allow-uid"),
    ] {
        refused(&stage, 125, line, &[part]);
    }
}
