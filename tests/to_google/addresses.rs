//! The addresses that these services have on AWS, in a network namespace of the test's own.

use std::process::Command;
use std::thread;

use fedboot_sandbox::{AwsPlace, Sandbox};

use crate::common::launch::{has, may_unshare};
use crate::{actions, at_with, is_live, printed};

/// Runs `test` in a network namespace whose loopback device has AWS's addresses; what it starts is in there, too.
fn on_aws(name: &str, test: impl FnOnce() + Send) {
    if !may_unshare(name, &["--net"]) || !has(name, "ip") {
        return;
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: moves this thread alone, and those that it starts.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "{}", std::io::Error::last_os_error());
            let ip = |words: &str| {
                let status = Command::new("ip").args(words.split(' ')).status().expect("ip");
                assert!(status.success(), "ip {words}");
            };
            ip("link set lo up");
            for address in ["169.254.170.2", "169.254.170.23", "169.254.169.254"] {
                ip(&format!("address add {address}/32 dev lo"));
            }
            test();
        });
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
