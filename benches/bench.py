"""What fedboot costs, each figure beside a floor of the same run.

Boots are measured whole: this process is the subreaper of what it starts, so the agent's CPU time and memory are
accounted for by the kernel as the command's are. Floor and fedboot take turns, so a slow minute hits both.
"""

import argparse
import ctypes
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from typing import ClassVar

PR_SET_CHILD_SUBREAPER = 36
# What a credential process prints are keys.
SILENT = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]


class Sandbox:
    """A running fedboot-sandbox."""

    pids: ClassVar[set] = set()

    def __init__(self, program, *options):
        self.process = subprocess.Popen([program, "--quiet", *options], stdout=subprocess.PIPE, text=True)
        self.pids.add(self.process.pid)
        self.environment = {name: os.environ[name] for name in ("HOME", "PATH")}
        for line in self.process.stdout:
            words = line.removeprefix("export ").strip()
            if "=" in words:
                name, value = words.split("=", 1)
                self.environment[name] = value.strip("'\"")
            if "FEDBOOT_SANDBOX" in self.environment and "AWS_CONFIG_FILE" in self.environment:
                break
        self.control = self.environment["FEDBOOT_SANDBOX"]

    def tell(self, path, body):
        request = urllib.request.Request(self.control + path, json.dumps(body).encode())
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def ask(self, path):
        with urllib.request.urlopen(self.control + path) as answer:
            return json.load(answer)

    def wait(self, action, count):
        return self.ask(f"/wait?action={action}&count={count}&timeout_ms=60000")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def orphans():
    """What a finished command left behind: children of this process that it did not start."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return {int(pid) for pid in file.read().split()} - Sandbox.pids


class Run:
    """One command from start to end, with everything it left behind."""

    def __init__(self, command, environment):
        start = time.perf_counter()
        pid = os.posix_spawn(command[0], command, environment, file_actions=SILENT)
        _, status, usage = os.wait4(pid, 0)
        self.wall = time.perf_counter() - start
        if status != 0:
            sys.exit(f"{command} ended with status {status}")
        self.cpu = usage.ru_utime + usage.ru_stime
        for orphan in orphans():
            _, _, usage = os.wait4(orphan, 0)
            self.cpu += usage.ru_utime + usage.ru_stime


def median(runs, figure):
    return statistics.median(getattr(run, figure) for run in runs)


def in_turns(rounds, *commands):
    """Runs the commands in turns; drops the first round."""
    runs = [[Run(command, environment) for command, environment in commands] for _ in range(rounds + 1)]
    return list(zip(*runs[1:], strict=True))


def status(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":", 1) for line in file)


def kilobytes(fields, name):
    return int(fields[name].split()[0])


def agent_of(pid):
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if words[1:3] == [b"--fedboot-agent", str(pid).encode()]:
            return int(entry)
    sys.exit(f"{pid} has no agent")


def at_once(count, command, environment):
    """Starts the command that many times before it waits for any; how many ended with 0, and in what time."""
    start = time.perf_counter()
    pids = [os.posix_spawn(command[0], command, environment, file_actions=SILENT) for _ in range(count)]
    ended = [os.waitpid(pid, 0)[1] for pid in pids]
    return ended.count(0), time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    for name in ("fedboot", "sandbox", "floor", "load"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--idle", type=int, default=61, help="seconds to watch the idle agent")
    options = parser.parse_args()
    # As an image's layer is written: pages of a file that a linker wrote piecemeal cost more to map.
    directory = tempfile.TemporaryDirectory()
    for name in ("fedboot", "floor"):
        setattr(options, name, shutil.copy(getattr(options, name), directory.name))
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    rows = []

    def row(what, value, unit="", floor=None, limit=None, must=""):
        """One figure, what it is measured beside, and the number it must not exceed (said in words by `must`)."""
        rows.append((what, value, floor, unit, must, limit is None or value <= limit))

    sandbox = Sandbox(options.sandbox)
    environment = sandbox.environment
    quiet = [options.fedboot, "--log-level", "error", "--"]
    true = "/bin/true"
    floor, boot, plain = in_turns(
        options.rounds,
        ([options.floor, true], environment),
        ([*quiet, true], environment),
        ([true], environment),
    )
    milliseconds = 1000
    cpu, floor_cpu = (median(runs, "cpu") * milliseconds for runs in (boot, floor))
    wall, floor_wall = (median(runs, "wall") * milliseconds for runs in (boot, floor))
    row("boot over TLS, CPU", cpu, "ms", floor_cpu, 2 * floor_cpu, "≤ 2.0 × floor")
    row("boot over TLS, wall", wall, "ms", floor_wall, floor_wall + 3, "≤ floor + 3 ms")
    row("the command alone, wall", median(plain, "wall") * milliseconds, "ms")

    sandbox.tell("/faults", {"service": "metadata", "effect": "pass", "delay_ms": 50, "always": True, "on": "identity"})
    far = sandbox.tell(
        "/proxies", {"kind": "delay", "target": environment["AWS_ENDPOINT_URL_STS"], "round_trip_ms": 40}
    )
    distant = environment | {"AWS_ENDPOINT_URL_STS": far["url"]}
    floor, boot = in_turns(options.rounds // 5, ([options.floor, true], distant), ([*quiet, true], distant))
    wall = median(boot, "wall") * milliseconds
    floor_wall = median(floor, "wall") * milliseconds
    row("50 ms to mint, 40 ms to STS, wall", wall, "ms", floor_wall, 100, "≤ 100 ms")
    sandbox.stop()

    sandbox = Sandbox(options.sandbox, "--credential-lifetime", "3")
    environment = sandbox.environment
    command = subprocess.Popen([*quiet, "/bin/sleep", "600"], env=environment)
    sandbox.wait("AssumeRoleWithWebIdentity", 2)
    sandbox.tell("/settings", {"credential_lifetime_seconds": 3600})
    sandbox.wait("AssumeRoleWithWebIdentity", 3)
    time.sleep(2)
    agent = agent_of(command.pid)
    before = status(agent)
    row("agent after its second refresh, resident", kilobytes(before, "VmRSS"), "kB", None, 2662, "≤ 2.6 MB")
    row("… of that anonymous", kilobytes(before, "RssAnon"), "kB", None, 614, "≤ 0.6 MB")
    row("… its peak", kilobytes(before, "VmHWM"), "kB")
    time.sleep(options.idle)
    wakes = int(status(agent)["voluntary_ctxt_switches"]) - int(before["voluntary_ctxt_switches"])
    # The watch may see the end of one minute and the beginning of the next. Files are looked at in a thread, as a disk
    # may hang, and its end wakes the agent once more.
    looks = options.idle // 60 + 1
    row(f"… wake-ups in {options.idle} s", wakes, "", None, 2 * looks, "≤ 1 look a minute, of 2")
    command.send_signal(signal.SIGTERM)
    command.wait()

    for what, requests, pause in (
        ("endpoint, 32 clients, 100 requests/s each", 1000, 10_000),
        ("endpoint, 32 clients without a pause", 5000, 0),
    ):
        command = [*quiet, options.load, "32", str(requests), str(pause)]
        answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        middle, worst, rate = (float(word) for word in answer.stdout.split())
        limits = (0.3, 1) if pause else (None, None)
        row(f"{what}, median", middle / 1000, "ms", None, limits[0], "≤ 0.3 ms" if pause else "")
        row("… 99th percentile", worst / 1000, "ms", None, limits[1], "≤ 1 ms" if pause else "")
        row("… answers a second", rate)
    process = [options.fedboot, "credential-process"]
    cached, plain = in_turns(options.rounds, (process, environment), ([true], environment))
    wall = median(cached, "wall") * milliseconds
    row("credential-process from the cache, wall", wall, "ms", median(plain, "wall") * milliseconds, 4, "≤ 4 ms")
    asked = len(sandbox.ask("/requests?action=AssumeRoleWithWebIdentity"))
    cold = [*process, "--cache-file", f"{directory.name}/cold.json"]
    answered, seconds = at_once(1000, cold, environment)
    asked = len(sandbox.ask("/requests?action=AssumeRoleWithWebIdentity")) - asked
    row("… without a cache, 1000 at once: without an answer", 1000 - answered, "", None, 0, "0")
    row("… exchanges", asked, "", None, 1, "1")
    row("… all answered after", seconds, "s")
    sandbox.stop()

    sandbox = Sandbox(options.sandbox, "--aws", "ecs")
    environment = sandbox.environment
    boot, plain = in_turns(options.rounds, ([*quiet, true], environment), ([true], environment))
    wall, alone = (median(runs, "wall") * milliseconds for runs in (boot, plain))
    row("first Google token on ECS, services beside it, wall", wall, "ms", alone, alone + 10, "≤ floor + 10 ms")
    # One round trip opens the connection, which happens while the identity is found, and one asks.
    there = 40
    for service in ("google_sts", "iam_credentials"):
        sandbox.tell("/faults", {"service": service, "effect": "pass", "delay_ms": there, "always": True})
    boot, plain = in_turns(options.rounds // 5, ([*quiet, true], environment), ([true], environment))
    wall, alone = (median(runs, "wall") * milliseconds for runs in (boot, plain))
    network = alone + 2 * there
    row("… both services answer after 40 ms, wall", wall, "ms", network, network + 10, "≤ floor + 10 ms")
    sandbox.stop()

    sandbox = Sandbox(options.sandbox, "--aws", "ecs", "--access-token-cap", "4")
    environment = sandbox.environment
    command = subprocess.Popen([*quiet, "/bin/sleep", "600"], env=environment)
    sandbox.wait("generateAccessToken", 3)
    agent = agent_of(command.pid)
    row("its agent after two refreshes, resident", kilobytes(status(agent), "VmRSS"), "kB", None, 3072, "≤ 3 MB")
    command.send_signal(signal.SIGTERM)
    command.wait()
    sandbox.stop()

    sandbox = Sandbox(options.sandbox, "--aws", "ecs")
    for what, requests, pause in (
        ("metadata server, 64 clients, 320 requests/s each", 3000, 2_900),
        ("metadata server, 64 clients without a pause", 5000, 0),
    ):
        command = [*quiet, options.load, "64", str(requests), str(pause)]
        answer = subprocess.run(command, env=sandbox.environment, check=True, capture_output=True, text=True)
        middle, worst, rate = (float(word) for word in answer.stdout.split())
        limits = (0.3, 1) if pause else (None, None)
        row(f"{what}, median", middle / 1000, "ms", None, limits[0], "≤ 0.3 ms" if pause else "")
        row("… 99th percentile", worst / 1000, "ms", None, limits[1], "≤ 1 ms" if pause else "")
        rows.append(("… answers a second", rate, None, "", "≥ 20,000", rate >= 20_000))
    token = [options.fedboot, "token", "access"]
    kept, plain = in_turns(options.rounds, (token, sandbox.environment), ([true], sandbox.environment))
    wall = median(kept, "wall") * milliseconds
    row("fedboot token access from the cache, wall", wall, "ms", median(plain, "wall") * milliseconds, 4, "≤ 4 ms")
    sandbox.stop()

    size, floor_size = (os.path.getsize(path) / 1000 for path in (options.fedboot, options.floor))
    row("binary", size, "kB", floor_size, 2600, "≤ 2600 kB")

    print("| what | fedboot | floor | ratio | must reach | |\n|---|---|---|---|---|---|")
    for what, value, least, unit, must, holds in rows:
        beside = f"{least:.4g} {unit}" if least else ""
        ratio = f"{value / least:.2f}" if least else ""
        verdict = ("yes" if holds else "**no**") if must else ""
        print(f"| {what} | {value:.4g} {unit} | {beside} | {ratio} | {must} | {verdict} |")
    return 0 if all(holds for *_, holds in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
