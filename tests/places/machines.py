"""examples/compute-engine and examples/ec2: systemd's own opinion of the units, and what they say, played without systemd.

systemd is not started as process 1: it would do to this machine what it does to one that boots. The kubelet of kubelet.py
stands in for it: each service is a container on a root file system of its own, with the command, the user, the groups, the
variables and the directories of its unit, without the rights that the unit takes away, and it is started anew if the unit
says so.
"""

import os
import shlex
import signal
import subprocess

from kubelet import Pod, shim
from node import HERE, PATIENCE, wait_until
from pods import LIFETIME, PodTest

EXAMPLES = HERE.parent.parent / "examples"
ROLE = "arn:aws:iam::123456789012:role/beam-worker"
FEDBOOT_USER, APP_USER = 990, 61_999
# What the lines of a unit come to here; any other in [Service] must be known, or this test would pass over it.
KNOWN = {
    "CacheDirectory",
    "CapabilityBoundingSet",
    "DynamicUser",
    "Environment",
    "ExecStart",
    "ExecStartPost",
    "Group",
    "NoNewPrivileges",
    "PrivateDevices",
    "PrivateTmp",
    "ProtectHome",
    "ProtectSystem",
    "Restart",
    "RuntimeDirectory",
    "RuntimeDirectoryMode",
    "RuntimeDirectoryPreserve",
    "SupplementaryGroups",
    "TimeoutStartSec",
    "Type",
    "User",
}
APP = """\
[Service]
ExecStart=/opt/app/bin/python /opt/app/app.py
Environment=PYTHONUNBUFFERED=1
"""


def parse(*texts):
    """The lines of [Service] in a unit and its drop-ins, by systemd.syntax: a list by name, emptied by an empty value."""
    lines, section = {}, None
    for line in "\n".join(texts).replace("\\\n", " ").splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line
        elif line and line[0] not in "#;" and section == "[Service]":
            name, _, value = line.partition("=")
            assert name in KNOWN, f"nothing is known of {name}="
            lines[name] = [*lines.get(name, []), value] if value else []
    return lines


def service(name, lines, user, group):
    """The container that stands for a unit."""
    variables = dict(word.split("=", 1) for value in lines.get("Environment", []) for word in shlex.split(value))
    (command,) = lines["ExecStart"]
    security = {"runAsUser": user, "runAsGroup": group}
    security["allowPrivilegeEscalation"] = "yes" not in (lines.get("NoNewPrivileges") or lines.get("DynamicUser") or [])
    security["readOnlyRootFilesystem"] = lines.get("ProtectSystem") == ["strict"]
    if "CapabilityBoundingSet" in lines:
        assert lines["CapabilityBoundingSet"] == []
        security["capabilities"] = {"drop": ["ALL"]}
    container = {
        "name": name,
        "image": "machine",
        "command": shlex.split(command),
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        "securityContext": security,
        "volumeMounts": [{"name": f"{name}-tmp", "mountPath": "/tmp"}],
    }
    if lines.get("Restart") == ["on-failure"]:
        container["restartPolicy"] = "Always"
    for post in lines.get("ExecStartPost", []):
        (seconds,) = lines["TimeoutStartSec"]
        probe = {"exec": {"command": shlex.split(post)}, "timeoutSeconds": int(seconds)}
        container["startupProbe"] = {**probe, "periodSeconds": 1, "failureThreshold": 1}
    return container


def directory(name, mode, user, group):
    return {"name": name, "directory": {"mode": mode, "user": user, "group": group}}


class MachineTest(PodTest):
    def text(self, name):
        return (EXAMPLES / name).read_text()

    def play(self, node, sidecars, app, volumes):
        spec = {
            "securityContext": {},
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 90,
            "initContainers": sidecars,
            "containers": [app],
            "volumes": [*volumes, *(directory(f"{one['name']}-tmp", 0o1777, 0, 0) for one in [*sidecars, app])],
        }
        pod = Pod(node, "machine", {"spec": spec}).start()
        self.addCleanup(lambda: pod.is_alive() and pod.delete().wait(PATIENCE))
        return pod

    def inside(self, node, command, mounts):
        """One command of root's on the machine; how it ended, and what it said."""
        place = node.place / "command"
        for name in ("root", "shm"):
            (place / name).mkdir(parents=True, exist_ok=True)
        (place / "hosts").write_text("\n".join([*node.hosts, "127.0.0.1 localhost"]) + "\n")
        image = node.image("machine")
        specification = {
            "image": image,
            "command": command,
            "environment": {**image["environment"], "LC_ALL": "C.UTF-8", "HOME": "/root"},
            "directory": "/",
            "mounts": [{"source": str(source), "target": target} for target, source in mounts.items()],
            "hosts": str(place / "hosts"),
            "hostname": "machine",
            "shm": str(place / "shm"),
            "user": 0,
            "group": 0,
            "groups": [0],
            "read_only": False,
            "capabilities": ["CHOWN", "DAC_OVERRIDE", "FOWNER"],
            "no_new_privileges": True,
            "root": str(place / "root"),
            "pid_file": str(place / "pid"),
        }
        process = shim("run", specification, subprocess.PIPE)
        said = process.stdout.read()
        return process.wait(), said

    def verify(self, node, units):
        """systemd's own opinion of units, texts by their paths."""
        if not os.path.exists("/usr/bin/systemd-analyze"):
            self.skipTest("no systemd-analyze on this machine")
        place = node.place / "units"
        for name, text in units.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)
        names = [f"/etc/systemd/system/{name}" for name in units if name.endswith(".service")]
        (node.place / "run/systemd").mkdir(parents=True, exist_ok=True)
        mounts = {"/etc/systemd/system": place, "/run": node.place / "run"}
        return self.inside(node, ["systemd-analyze", "verify", *names], mounts)


class ComputeEngine(MachineTest):
    def gce(self):
        attributes = {"fedboot-role-arn": ROLE, "fedboot-region": "eu-west-1", "fedboot-files": "gs://BUCKET/fedboot"}
        options = [word for name, value in attributes.items() for word in ("--attribute", f"{name}={value}")]
        node = self.node("--credential-lifetime", str(LIFETIME), *options)
        node.ask("settings", {"id_token_lifetime_seconds": LIFETIME * 2})
        return node

    def test_units_are_valid(self):
        node = self.gce()
        units = {
            "fedboot.service": self.text("compute-engine/fedboot.service"),
            "app.service": APP,
            "app.service.d/fedboot.conf": self.text("compute-engine/app.conf"),
            "other.service": APP,
            "other.service.d/fedboot.conf": self.text("compute-engine/consumer.conf"),
        }
        self.assertEqual(self.verify(node, units), (0, ""))
        # Or that would show nothing.
        units["fedboot.service"] = units["fedboot.service"].replace("Restart=on-failure", "Restart=on-falure")
        self.assertIn("on-falure", self.verify(node, units)[1])

    def test_drop_in(self):
        """fedboot in front of a service's command, and the agent is killed."""
        node = self.gce()
        lines = parse(APP, self.text("compute-engine/app.conf"))
        pod = self.play(node, [], service("main", lines, APP_USER, APP_USER), [])
        self.wait_seen(pod, 1)
        os.kill(max(node.runs_fedboot()), signal.SIGKILL)
        self.check_succeeded(pod)
        self.assertEqual(len(self.seen(pod)), 3)
        self.assertLessEqual(set(self.seen(pod)), {one["access_key_id"] for one in node.issued()})

    def test_unit(self):
        """A unit of its own: others start when the token stands; killed, it is started anew, and they stay."""
        node = self.gce()
        lines = parse(self.text("compute-engine/fedboot.service"))
        self.assertEqual((lines["User"], lines["Group"], lines["RuntimeDirectory"]), (["fedboot"],) * 3)
        (mode,) = lines["RuntimeDirectoryMode"]
        fedboot = service("fedboot", lines, FEDBOOT_USER, FEDBOOT_USER)
        fedboot["volumeMounts"].append({"name": "run", "mountPath": "/run/fedboot"})
        lines = parse(APP, self.text("compute-engine/consumer.conf"), "Environment=APP_FOR_EVER=1")
        app = service("main", lines, APP_USER, APP_USER)
        app["securityContext"]["supplementalGroups"] = [FEDBOOT_USER for _ in lines["SupplementaryGroups"]]
        app["volumeMounts"].append({"name": "run", "mountPath": "/run/fedboot"})
        volume = directory("run", int(mode, 8), FEDBOOT_USER, FEDBOOT_USER)
        pod = self.play(node, [fedboot], app, [volume])
        self.wait_seen(pod, 2)
        token = pod.volumes["run"] / "token"
        self.assertEqual((oct(token.stat().st_mode & 0o777), token.stat().st_uid), ("0o640", FEDBOOT_USER))
        os.kill(pod.containers["fedboot"].pid(), signal.SIGKILL)
        wait_until("its restart", lambda: pod.containers["fedboot"].restarts == 1 and pod.containers["fedboot"].started)
        self.wait_seen(pod, len(self.seen(pod)) + 1)
        self.assertEqual(pod.containers["main"].restarts, 0)
        pod.delete().wait(PATIENCE)
        self.assertEqual((pod.containers["main"].codes, pod.containers["fedboot"].codes), ([0], [137, 0]), pod.said())
        self.check_nothing_left(node)

    def test_startup_script(self):
        """It runs at each boot: twice here, with stand-ins that note how they were called."""
        node = self.gce()
        place = node.place / "machine"
        for name in ("bucket", "bin", "units"):
            (place / name).mkdir(parents=True)
        (place / "bucket/fedboot").write_bytes(node.fedboot.read_bytes())
        (place / "bucket/fedboot.service").write_text(self.text("compute-engine/fedboot.service"))
        (place / "startup.sh").write_text(self.text("compute-engine/startup.sh"))
        note = '#!/bin/sh\necho "${0##*/} $*" >> /machine/log\n'
        for name in ("useradd", "systemctl"):
            (place / "bin" / name).write_text(note)
        copy = '[ "$1 $2" = "storage cp" ] && cp "/machine/bucket/${3#gs://BUCKET/fedboot/}" "$4"\n'
        (place / "bin/gcloud").write_text(note + copy)
        for program in (place / "bin").iterdir():
            program.chmod(0o755)
        mounts = {"/machine": place, "/usr/local/bin": place / "bin", "/etc/systemd/system": place / "units"}
        for _ in range(2):
            self.assertEqual(self.inside(node, ["bash", "/machine/startup.sh"], mounts), (0, ""))
        installed = place / "bin/fedboot"
        self.assertEqual(installed.read_bytes(), node.fedboot.read_bytes())
        self.assertEqual(oct(installed.stat().st_mode & 0o777), "0o755")
        self.assertEqual((place / "units/fedboot.service").read_text(), self.text("compute-engine/fedboot.service"))
        said = (place / "log").read_text().splitlines()
        once = [line for line in said[: len(said) // 2] if line.startswith("systemctl")]
        self.assertEqual(said[: len(said) // 2], said[len(said) // 2 :])
        reload = ["systemctl daemon-reload", "systemctl enable fedboot.service", "systemctl restart fedboot.service"]
        self.assertEqual(once, reload)

        # Without the attribute it ends before it does anything.
        node.ask("settings", {"attributes": {}})
        (place / "log").unlink()
        code, said = self.inside(node, ["bash", "/machine/startup.sh"], mounts)
        self.assertTrue(code, said)
        self.assertFalse((place / "log").exists())


class Ec2(MachineTest):
    def test_unit(self):
        """Google's tokens for every program on the instance, from its role; killed, it is started anew."""
        node = self.node("--access-token-cap", str(LIFETIME), aws="imds")
        email = node.external_account()["service_account_impersonation_url"].rpartition("/")[2].partition(":")[0]
        text = self.text("ec2/fedboot.service")
        consumer = [line[1:].strip() for line in text.partition("\n\n")[0].splitlines()]
        consumer = "\n".join(consumer[consumer.index("[Unit]") :]) + "\n"
        units = {"fedboot.service": text, "app.service": APP, "app.service.d/fedboot.conf": consumer}
        self.assertEqual(self.verify(node, units), (0, ""))

        lines = parse(text)
        fedboot = service("fedboot", lines, FEDBOOT_USER, FEDBOOT_USER)
        fedboot["volumeMounts"] += [{"name": "cache", "mountPath": "/var/cache/fedboot"}]
        app = service("main", parse(APP, consumer, "Environment=APP_FOR_EVER=1"), APP_USER, APP_USER)
        pod = self.play(node, [fedboot], app, [directory("cache", 0o755, FEDBOOT_USER, FEDBOOT_USER)])
        self.wait_seen(pod, 2)
        os.kill(max(node.runs_fedboot()), signal.SIGKILL)
        self.wait_seen(pod, len(self.seen(pod)) + 1)
        pod.delete().wait(PATIENCE)
        self.assertEqual({line["who"] for line in self.lines(pod) if "who" in line}, {email})
        self.assertEqual(pod.containers["main"].codes, [0], pod.said())
        self.check_nothing_left(node)
