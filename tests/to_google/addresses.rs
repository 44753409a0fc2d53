//! The addresses that these services have on AWS, in a network namespace of the test's own.

use std::net::UdpSocket;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use fedboot_sandbox::{AwsPlace, Sandbox};

use crate::common::launch::{has, may_unshare};
use crate::common::write;
use crate::{actions, at_with, fails, is_live, printed, simple, with_account};

/// Runs `test` in a network namespace whose loopback device has AWS's addresses; what it starts is in there, too.
fn on_aws(name: &str, test: impl FnOnce() + Send) {
    apart(name, || {
        for address in ["169.254.170.2", "169.254.170.23", "169.254.169.254"] {
            command(&format!("ip address add {address}/32 dev lo"));
        }
        test();
    });
}

/// Runs `test` where nobody else sees its network and its mounts.
fn apart(name: &str, test: impl FnOnce() + Send) {
    if !may_unshare(name, &["--net", "--mount"]) || !has(name, "ip") {
        return;
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: moves this thread alone, and those that it starts.
            let moved = unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) };
            assert_eq!(moved, 0, "{}", std::io::Error::last_os_error());
            command("mount --make-rprivate /");
            command("ip link set lo up");
            test();
        });
    });
}

fn command(line: &str) {
    let mut words = line.split(' ');
    let status = Command::new(words.next().unwrap_or_default()).args(words).status().expect(line);
    assert!(status.success(), "{line}");
}

/// A name server that says nothing takes no more time than there is, and is named, whoever is looked up.
#[test]
fn a_dead_name_server() {
    apart("a_dead_name_server", || {
        let _silent = UdpSocket::bind("127.0.0.1:53").expect("port 53");
        let mut stage = simple();
        let resolver = stage.directory.path().join("resolv.conf");
        write(&resolver, "nameserver 127.0.0.1\n");
        command(&format!("mount --bind {} /etc/resolv.conf", resolver.display()));
        with_account(&mut stage, |account| account["token_url"] = "https://sts.googleapis.com/v1/token".into());
        let rows = [
            ("token access --timeout 1", 1, "sts.googleapis.com"),
            ("token id --audience a --timeout 1", 1, "sts.googleapis.com"),
            ("--timeout 1 -- true", 125, "sts.googleapis.com"),
            ("--timeout 3 -- true", 125, "sts.googleapis.com"),
            ("agent --timeout 1", 1, "sts.googleapis.com"),
            (
                "credential-process --role-arn arn:aws:iam::123456789012:role/fedboot-demo --timeout 1",
                1,
                "sts.us-east-1",
            ),
        ];
        for proxy in ["", "http://proxy.corp.example:3128"] {
            stage.set("HTTPS_PROXY", proxy);
            for (line, code, host) in rows {
                let host = if proxy.is_empty() { host } else { "proxy.corp.example" };
                if line.starts_with("credential-process") {
                    let metadata = stage.sandbox.metadata_host();
                    stage.unset("AWS_ENDPOINT_URL_STS").set("AWS_REGION", "us-east-1");
                    stage.set("GCE_METADATA_HOST", metadata);
                }
                let started = Instant::now();
                fails(&stage, code, line, &[&format!("no address for {host}"), "no name server has answered in"]);
                let longest = if line.contains("--timeout 3") { 4 } else { 2 };
                assert!(started.elapsed() < Duration::from_secs(longest), "{line}: {:?}", started.elapsed());
            }
        }
    });
}

#[test]
fn where_aws_has_them() {
    on_aws("where_aws_has_them", || {
        for (place, variable, part) in [
            (AwsPlace::Ecs, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "task-credentials"),
            (AwsPlace::PodIdentity, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "pod-credentials"),
            (AwsPlace::Imds, "GOOGLE_APPLICATION_CREDENTIALS", "imds-credentials"),
        ] {
            let mut stage = at_with(place, Sandbox::builder().real_addresses());
            if place != AwsPlace::Imds {
                stage.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "");
            }
            let environment = stage.environment();
            let entry = environment.iter().find(|entry| entry.starts_with(variable.as_bytes())).expect(variable);
            assert!(!entry.ends_with(b"="), "{variable}");
            // A proxy that nobody asks: these are on the machine.
            stage.set("HTTP_PROXY", "http://127.0.0.1:1").set("HTTPS_PROXY", "");
            assert!(is_live(&stage, &printed(&stage, "token access")), "{place:?}");
            assert!(actions(&stage).iter().any(|action| action == part), "{place:?}: {:?}", actions(&stage));
        }
    });
}
