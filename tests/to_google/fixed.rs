//! Clients that know no variable and ask the metadata server at its own names and its own address, as PHP's, Vector's and
//! fluent-bit's do: what examples/kubernetes/fixed-address.yaml makes of a pod, made of a network namespace.

use fedboot_sandbox::Sandbox;

use crate::common::launch::{in_own_network, kill, sh, skip};
use crate::common::{Stage, write};
use crate::{hold, is_live, server, short_lived};

/// The token that a client of that server has, which is told of it by nobody.
fn token_at(stage: &Stage, host: &str) -> Option<String> {
    let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
    let line = format!("curl -sS --max-time 5 --noproxy '*' -H 'Metadata-Flavor: Google' {url}");
    let mut command = stage.wrapper("sh");
    let output = command.args(["-c", &line]).output().expect("a shell");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    Some(json["access_token"].as_str().unwrap_or_else(|| panic!("{json}")).to_owned())
}

/// `hostAliases`: the name leads to loopback.
#[test]
fn by_name() {
    in_own_network("by_name", || {
        let stage = short_lived(600, Sandbox::builder());
        let hosts = stage.directory.path().join("hosts");
        write(&hosts, "127.0.0.1 localhost metadata.google.internal metadata\n");
        assert!(sh(&format!("mount --bind {} /etc/hosts", hosts.display())));
        let held = hold(&stage, "--metadata-port 80");
        assert_eq!(server(&held), "127.0.0.1:80");
        for name in ["metadata.google.internal", "metadata", "127.0.0.1", "localhost"] {
            assert!(is_live(&stage, &token_at(&stage, name).expect("a token")), "{name}");
        }
        assert_eq!(token_at(&stage, "169.254.169.254"), None, "nobody has that address");
        held.release(&stage).assert_succeeded();
    });
}

/// The address stands on loopback: both are served, and nobody else's machine is.
#[test]
fn by_address() {
    const ADDRESS: &str = "169.254.169.254";
    in_own_network("by_address", || {
        assert!(sh(&format!("ip address add {ADDRESS}/32 dev lo")));
        let stage = short_lived(600, Sandbox::builder());
        let held = hold(&stage, "--metadata-port 80");
        assert_eq!(server(&held), "127.0.0.1:80");
        for host in [ADDRESS, "127.0.0.1"] {
            assert!(is_live(&stage, &token_at(&stage, host).expect("a token")), "{host}");
        }
        // Another agent is there as soon as the first is killed, at the same addresses.
        kill(held.agent(), libc::SIGKILL);
        assert!(is_live(&stage, &token_at(&stage, ADDRESS).expect("a token")));
        from_another_machine(&stage, ADDRESS);
        held.release(&stage).assert_succeeded();
        // Any other port is for loopback alone.
        let held = hold(&stage, "--metadata-port 8080");
        assert!(token_at(&stage, "127.0.0.1:8080").is_some());
        assert_eq!(token_at(&stage, &format!("{ADDRESS}:8080")), None);
        held.release(&stage).assert_succeeded();
    });
}

/// What is sent to that address over a cable is accepted by the kernel, and refused by the server.
fn from_another_machine(stage: &Stage, address: &str) {
    if !sh("ip link add v0 type veth peer name v1 && ip address add 10.9.9.1/24 dev v0 && ip link set v0 up") {
        return skip("from_another_machine", "no veth here");
    }
    let ask = format!("curl -sS --max-time 5 -H Metadata-Flavor:Google http://{address}/computeMetadata/v1/");
    let up = "ip address add 10.9.9.2/24 dev v1 && ip link set v1 up && ip route add default via 10.9.9.1";
    let script = format!(
        "unshare --net sleep 30 & other=$!; own=$(readlink /proc/$$/ns/net)
         while [ \"$(readlink /proc/$other/ns/net)\" = \"$own\" ]; do sleep 0.02; done
         ip link set v1 netns $other
         nsenter --net=/proc/$other/ns/net sh -c '{up}; {ask}'; code=$?
         kill $other; exit $code"
    );
    let output = stage.wrapper("sh").args(["-c", &script]).output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    // The connection stands and ends without an answer.
    assert!([Some(52), Some(56)].contains(&output.status.code()), "{:?}: {said}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}
