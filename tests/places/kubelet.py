"""A pod's life as a kubelet leads it, without a cluster: init containers one after the other, sidecars among them, the main
containers, probes, restarts, and the end. The containers are real processes (container.py); the manifest is the one that
Kubernetes' own code has read and completed (kubernetes/main.go), so each default is Kubernetes'.

    https://kubernetes.io/docs/concepts/workloads/pods/init-containers/
    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
    https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import secrets
import signal
import subprocess
import sys
import threading
import time

from container import ALL_CAPABILITIES, CAPABILITIES

CONTAINER = pathlib.Path(__file__).resolve().parent / "container.py"
# A kubelet waits ten seconds before the first restart and twice as long before each further one.
BACKOFF = 0.5
TICK = 0.05
# What a probe is given besides its timeout: a kubelet reaches its runtime in milliseconds, here a Python starts first.
SHIM = 15

THREADS = concurrent.futures.ThreadPoolExecutor(8)


class Pod:
    """One pod, from its start to its end; `phase` is then Succeeded or Failed.

    `node` knows images, `expand`, `volume(source, directory)` and the names that cluster DNS resolves.
    """

    def __init__(self, node, name, template):
        self.node, self.name, self.spec = node, f"{name}-{secrets.token_hex(3)}", template["spec"]
        self.place = node.place / "pods" / self.name
        for directory in ("shm", "volumes"):
            (self.place / directory).mkdir(parents=True)
        (self.place / "shm").chmod(0o1777)
        self.phase, self.events = "Pending", []
        self.deleted = threading.Event()
        self.containers = {}

    # What tests do with a pod.

    def start(self):
        self.life = THREADS.submit(self.run)
        return self

    def delete(self):
        self.deleted.set()
        return self

    def is_alive(self):
        return not self.life.done()

    def wait(self, seconds):
        try:
            self.life.result(seconds)
        except TimeoutError:
            raise TimeoutError(f"{self.name} runs after {seconds} s:\n{self.said()}") from None
        return self

    def said(self):
        logs = (f"{name}: {one.log.read_text(errors='replace')[-3000:]}" for name, one in self.containers.items())
        return "\n".join([*map(str, self.events), *logs])

    def ready(self):
        """Whether traffic would be sent to it."""
        return self.phase == "Running" and all(one.ready for one in self.containers.values() if not one.is_init)

    # The life.

    def run(self):
        try:
            self.prepare()
            self.live()
        finally:
            for container in self.containers.values():
                container.kill()

    def note(self, event):
        self.events.append((round(time.monotonic(), 2), event))

    def prepare(self):
        security = self.spec["securityContext"]
        for sysctl in security.get("sysctls", []):
            # Those of a network are the pod's own, others the machine's.
            assert sysctl["name"].startswith("net."), sysctl
            pathlib.Path("/proc/sys", sysctl["name"].replace(".", "/")).write_text(sysctl["value"])
        lines = [*self.node.hosts, "127.0.0.1 localhost", f"127.0.0.1 {self.name}"]
        aliases = [" ".join([alias["ip"], *alias["hostnames"]]) for alias in self.spec.get("hostAliases", [])]
        # The first line counts, and cluster DNS is asked last.
        (self.place / "hosts").write_text("\n".join([*aliases, *lines]) + "\n")
        self.volumes = {}
        for volume in self.spec.get("volumes", []):
            directory = self.place / "volumes" / volume["name"]
            directory.mkdir()
            self.node.fill(volume, directory)
            own(volume, directory, self.spec)
            self.volumes[volume["name"]] = directory

    def live(self):
        self.sidecars, self.mains = [], []
        for spec in self.spec.get("initContainers", []):
            container = Container(self, spec, is_init=True)
            if spec.get("restartPolicy") == "Always":
                self.sidecars.append(container)
                container.start("Always")
                self.until(lambda one=container: one.started)
            else:
                container.start("OnFailure" if self.spec["restartPolicy"] == "Always" else self.spec["restartPolicy"])
                self.until(lambda one=container: one.over)
                if container.code:
                    return self.end("Failed")
            if self.deleted.is_set():
                return self.end("Failed")
        for spec in self.spec["containers"]:
            container = Container(self, spec)
            self.mains.append(container)
            container.start(self.spec["restartPolicy"])
        self.phase = "Running"
        self.until(lambda: all(main.over for main in self.mains))
        return self.end(None)

    def until(self, condition):
        while not condition() and not self.deleted.is_set():
            for container in self.containers.values():
                container.tick()
            time.sleep(TICK)

    def end(self, phase):
        """The main containers are told first, all at once; then the sidecars, the last one first."""
        until = time.monotonic() + self.spec["terminationGracePeriodSeconds"]
        rest = [[one] for one in reversed(self.sidecars)]
        ordinary = [one for one in self.containers.values() if one not in self.sidecars]
        for told in [ordinary, *rest]:
            for container in told:
                container.policy = "Never"
                container.signal(signal.SIGTERM)
            # The others go on meanwhile, and are started again if need be.
            while not all(container.over for container in told):
                if time.monotonic() > until:
                    for container in told:
                        container.signal(signal.SIGKILL)
                for container in self.containers.values():
                    container.tick()
                time.sleep(TICK)
        codes = [main.code for main in self.mains]
        self.phase = phase or ("Failed" if any(codes) else "Succeeded")
        self.note(f"pod {self.phase}")


class Container:
    """One of a pod's containers, over its restarts."""

    def __init__(self, pod, spec, *, is_init=False):
        self.pod, self.spec, self.name, self.is_init = pod, spec, spec["name"], is_init
        self.log = pod.place / f"{self.name}.log"
        self.log.touch()
        self.pid_file = pod.place / f"{self.name}.pid"
        self.process, self.restarts, self.codes = None, -1, []
        self.again_at = 0
        pod.containers[self.name] = self

    def start(self, policy):
        self.policy = policy
        self.launch()

    def launch(self):
        self.over, self.code = False, None
        self.restarts += 1
        self.probes = {name: Probe(self, name) for name in ("startup", "readiness", "liveness")}
        self.started = self.probes["startup"].spec is None
        self.ready = self.started and self.probes["readiness"].spec is None
        self.specification = self.specify()
        root = self.pod.place / f"{self.name}.{self.restarts}"
        root.mkdir()
        self.pid_file.unlink(missing_ok=True)
        self.specification |= {"root": str(root), "pid_file": str(self.pid_file)}
        self.pod.note(f"{self.name} starts")
        with open(self.log, "ab") as log:
            self.process = shim("run", self.specification, log)

    def specify(self):
        pod, spec = self.pod, self.spec
        image = pod.node.image(spec["image"])
        facts = {"metadata.name": pod.name, "metadata.namespace": "default", "status.podIP": "127.0.0.1"}
        variables = [{"name": name, "value": value.replace("$", "$$")} for name, value in image["environment"].items()]
        variables += pod.node.injected(pod.spec)
        for variable in spec.get("env", []):
            value = variable.get("value", "")
            if "valueFrom" in variable:
                value = facts[variable["valueFrom"]["fieldRef"]["fieldPath"]]
            variables.append({"name": variable["name"], "value": value})
        words = [*spec.get("command", []), *spec.get("args", [])]
        expanded = pod.node.expand(variables, words)
        command = expanded["texts"][: len(spec.get("command", []))] or image["entrypoint"]
        if "command" in spec or "args" in spec:
            command = command + expanded["texts"][len(spec.get("command", [])) :]
        else:
            command = command + image["arguments"]

        security = {**pod.spec["securityContext"], **spec.get("securityContext", {})}
        user = security.get("runAsUser", image["user"])
        if security.get("runAsNonRoot") and user == 0:
            raise RuntimeError(f"{self.name}: container has runAsNonRoot and image will run as root")
        asked = security.get("capabilities", {})
        left = set() if "ALL" in asked.get("drop", []) else set(CAPABILITIES)
        left |= set(asked.get("add", []))
        mounts = [
            {
                "source": str(pod.volumes[mount["name"]]),
                "target": mount["mountPath"],
                "read_only": mount.get("readOnly", False),
            }
            for mount in [*spec.get("volumeMounts", []), *pod.node.injected_mounts(pod)]
        ]
        group, supplemental = security.get("runAsGroup", 0), security.get("supplementalGroups", [])
        return {
            "image": image,
            "command": command,
            # A container's runtime gives it a home by the passwd file of the image, or the root directory.
            "environment": {"HOME": "/root" if user == 0 else "/", "HOSTNAME": pod.name, **expanded["variables"]},
            "directory": spec.get("workingDir", image["directory"]),
            "mounts": mounts,
            "hosts": str(pod.place / "hosts"),
            "hostname": pod.name,
            "shm": str(pod.place / "shm"),
            "user": user,
            "group": group,
            "groups": [group, *([security["fsGroup"]] if "fsGroup" in security else []), *supplemental],
            "read_only": security.get("readOnlyRootFilesystem", False),
            "capabilities": sorted(left & set(ALL_CAPABILITIES)),
            "no_new_privileges": not security.get("allowPrivilegeEscalation", True),
        }

    def pid(self):
        """Of its process 1, as it is seen here."""
        with contextlib.suppress(OSError, ValueError):
            return int(self.pid_file.read_text())
        return None

    def execute(self, command, log):
        return shim("exec", {**self.specification, "pid": self.pid(), "command": command}, log)

    def tick(self):
        if self.over:
            return
        if self.process is None:
            if time.monotonic() >= self.again_at:
                self.launch()
        elif (code := self.process.poll()) is not None:
            self.process, self.ready = None, False
            self.codes.append(code)
            self.pod.note(f"{self.name} ended with {code}")
            if self.policy == "Always" or (self.policy == "OnFailure" and code != 0):
                self.again_at = time.monotonic() + BACKOFF
            else:
                self.over, self.code = True, code
        elif self.pid():
            self.heed_probes()

    def heed_probes(self):
        startup, readiness, liveness = (self.probes[name] for name in ("startup", "readiness", "liveness"))
        if not self.started:
            self.started = startup.passes()
            if startup.has_failed():
                self.signal(signal.SIGKILL)
            return
        if readiness.spec is None or readiness.passes():
            self.ready = True
        elif readiness.has_failed():
            self.ready = False
        liveness.passes()
        if liveness.has_failed():
            self.signal(signal.SIGTERM)

    def signal(self, number):
        if self.process is None:
            # It waits for its next start, which does not come any more.
            self.over, self.code = True, self.codes[-1] if self.codes else 137
        elif pid := self.pid():
            self.pod.note(f"{self.name} gets {number.name}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


class Probe:
    """A probe of exec, asked at its period; `passes` is what it said last."""

    def __init__(self, container, name):
        self.container, self.name = container, name
        self.spec = container.spec.get(f"{name}Probe")
        self.last, self.failures, self.process = None, 0, None
        if self.spec:
            self.next = time.monotonic() + self.spec.get("initialDelaySeconds", 0)

    def passes(self):
        if self.spec is None:
            return True
        now = time.monotonic()
        if self.process is None:
            if now >= self.next:
                self.next, self.begun = now + self.spec["periodSeconds"], now
                self.process = self.container.execute(self.spec["exec"]["command"], subprocess.DEVNULL)
        elif (code := self.process.poll()) is not None or now > self.begun + self.spec["timeoutSeconds"] + SHIM:
            if code is None:
                self.process.terminate()
                self.process.wait()
            self.process, self.last = None, code == 0
            self.failures = 0 if code == 0 else self.failures + 1
        return bool(self.last)

    def has_failed(self):
        return self.spec is not None and self.failures >= self.spec["failureThreshold"]


def shim(verb, specification, output):
    process = subprocess.Popen(
        [sys.executable, CONTAINER, verb],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        env={},
    )
    process.stdin.write(json.dumps(specification))
    process.stdin.close()
    return process


def own(volume, directory, spec):
    """What a kubelet makes of a volume's owner and modes, given the pod's security context."""
    group = spec["securityContext"].get("fsGroup")
    files = [path for path in directory.rglob("*") if path.is_file()]
    if "emptyDir" in volume:
        directory.chmod(0o777)
    if "projected" in volume:
        # A token is for the one user that all containers run as, else for the group, else for everybody.
        pods_own = spec["securityContext"].get("runAsUser")
        containers = [*spec.get("initContainers", []), *spec["containers"]]
        users = {one.get("securityContext", {}).get("runAsUser", pods_own) for one in containers}
        user = users.pop() if len(users) == 1 else None
        for path in files:
            path.chmod(0o600 if user is not None or group is not None else 0o644)
            if user is not None and group is None:
                os.chown(path, user, 0)
    if group is not None:
        os.chown(directory, 0, group)
        directory.chmod(directory.stat().st_mode | 0o2070)
        for path in files:
            os.chown(path, 0, group)
            path.chmod(path.stat().st_mode | 0o040)
