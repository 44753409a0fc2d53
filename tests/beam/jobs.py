"""Beam jobs on the stage, and what can be seen of them from outside while they run."""

import contextlib
import datetime
import json
import os
import pathlib
import re
import subprocess
import threading
import time

from stage import BUCKET, HERE, ROLE, Background, free_port, wait_until

# What an image may have lying about, and what must be left of it.
LEFT_BEHIND = """\
# Somebody's keys, long revoked.
[default]
aws_access_key_id = AKIAREVOKEDREVOKED01
aws_secret_access_key = revoked

; a colleague's
[other]
aws_access_key_id = AKIAOTHEROTHEROTHER1
aws_secret_access_key = keep/me+as=I am
region = ap-southeast-2
"""


class Job:
    """One run of a pipeline. `run` returns when it is over; `seen` is then what its workers looked like.

    The pipeline reads below `source` of the bucket and is told `options` besides, all of them in Python and in Go.
    """

    def __init__(
        self, stage, name, *, pipeline="wordcount", source="input/*.txt", timeout=150, on_event=None, **options
    ):
        self.stage, self.name, self.pipeline, self.timeout = stage, name, pipeline, timeout
        self.on_event = on_event or (lambda event: None)
        self.events = []
        self.seen = Seen(stage)
        self.output = f"output/{name}"
        options = {"input": f"s3://{BUCKET}/{source}", "output": f"s3://{BUCKET}/{self.output}", **options}
        self.options = [f"--{option.replace('_', '-')}={value}" for option, value in options.items()]
        self.credentials = []

    def run(self):
        self.started = datetime.datetime.now(datetime.UTC)
        begun = time.monotonic()
        watcher = threading.Thread(target=self.watch, daemon=True)
        self.over = threading.Event()
        self.prepare()
        watcher.start()
        self.log = self.stage.place / "logs" / f"{self.name}.log"
        try:
            with open(self.log, "ab") as log:
                ended = subprocess.run(
                    [str(word) for word in self.launcher()],
                    check=False,
                    env=self.launcher_environment(),
                    cwd=self.stage.place / "launcher",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=self.timeout,
                )
            problem = f"ended with {ended.returncode}" if ended.returncode else None
        except subprocess.TimeoutExpired:
            problem = f"was not done after {self.timeout} s"
        finally:
            self.over.set()
            watcher.join()
            self.clean()
        self.seconds = time.monotonic() - begun
        if problem:
            # A Go job's server has a log too.
            logs = sorted(self.log.parent.glob(f"{self.name}*.log"))
            said = "\n".join(f"{log.name}: {log.read_text(errors='replace')[-6000:]}" for log in logs)
            raise RuntimeError(f"{self.name} {problem}:\n{said}\nThe workers:\n{self.worker_log()[-6000:]}")
        return self

    def prepare(self):
        """Before the launcher."""

    def clean(self):
        """After it, whatever happened."""

    def launcher_environment(self):
        """The job is launched without any credentials, and finds the stand-in for docker."""
        return {
            "PATH": f"{HERE}/bin:{os.environ['PATH']}",
            "HOME": str(self.stage.place / "launcher"),
            "STANDIN_DOCKER": str(self.stage.place / "docker"),
        }

    def watch(self):
        while not self.over.is_set():
            self.look()
            self.over.wait(0.2)
        self.look()

    def look(self):
        events = list(json_lines(self.worker_log()))
        for event in events[len(self.events) :]:
            self.on_event(event)
        self.events = events
        for pid in self.first_pids():
            self.seen.look(pid)
        try:
            text = self.credentials_file().read_text()
        except FileNotFoundError:
            return
        # Before fedboot, and after its end, what it set aside stands there again.
        if not text.startswith(LEFT_BEHIND) and text not in self.credentials[-1:]:
            self.credentials.append(text)

    def worker_log(self):
        raise NotImplementedError

    def first_pids(self):
        return []

    def credentials_file(self):
        return self.home / ".aws/credentials"

    def issued(self):
        """The access key ids that fedboot says it delivered, in order."""
        return list(dict.fromkeys(event["access_key_id"] for event in self.events if "access_key_id" in event))

    def delivered_keys(self, index):
        """The static keys in the credentials file as it was at some time: first 0, last -1."""
        return static_keys(self.credentials[index])


class ContainerJob(Job):
    """Workers in containers: fedboot is process 1, as an image's ENTRYPOINT, and becomes Beam's boot program."""

    def __init__(self, stage, name, boot, *, system, environment=None, **more):
        super().__init__(stage, name, **more)
        self.boot, self.system, self.environment = boot, system, environment

    def prepare(self):
        self.home = self.stage.image(self.name, self.boot, system=self.system, environment=self.environment)
        self.credentials_file().parent.mkdir()
        self.credentials_file().write_text(LEFT_BEHIND)

    def containers(self):
        for place in (self.stage.place / "docker/containers").iterdir():
            if (place / "image").exists() and (place / "image").read_text() == self.name:
                yield place

    def worker_log(self):
        logs = [place / "log" for place in self.containers()]
        return "".join(log.read_text(errors="replace") for log in logs if log.exists())

    def first_pids(self):
        for place in self.containers():
            if (place / "pid").exists() and not (place / "exit").exists():
                yield int((place / "pid").read_text())

    def clean(self):
        for place in self.containers():
            if not (place / "exit").exists():
                command = [HERE / "bin/docker", "kill", place.name]
                subprocess.run(command, check=False, env=self.launcher_environment(), capture_output=True)


class PythonContainerJob(ContainerJob):
    """The pipeline in Python; Beam's runner is in the launcher's own process."""

    def __init__(self, stage, name, boot, **more):
        super().__init__(stage, name, boot, system=True, **more)

    def launcher(self):
        return python_launcher(self, "--environment_type=DOCKER", f"--environment_config={self.name}")


class GoContainerJob(ContainerJob):
    """The pipeline in Go, sent to a job server of its own; the image holds nothing but fedboot and Beam's boot."""

    def __init__(self, stage, name, boot, pipelines, **more):
        super().__init__(stage, name, boot, system=False, **more)
        self.pipelines = pipelines

    def prepare(self):
        super().prepare()
        port_file = self.stage.place / f"{self.name}.port"
        self.job_server = Background(
            "job-server",
            [
                self.stage.beam / "bin/python",
                "-m",
                "apache_beam.runners.portability.local_job_service_main",
                f"--port_file={port_file}",
            ],
            self.launcher_environment(),
            self.stage.place / "logs" / f"{self.name}-job-server.log",
        )
        wait_until("the job server", lambda: self.job_server.check() or port_file.exists())
        self.port = int(port_file.read_text())

    def launcher(self):
        return [
            self.pipelines,
            f"--endpoint=localhost:{self.port}",
            "--environment_type=DOCKER",
            f"--environment_config={self.name}",
            f"--worker_binary={self.pipelines}",
            f"--pipeline={self.pipeline}",
            *self.options,
        ]

    def clean(self):
        super().clean()
        try:
            self.job_server.check()
        finally:
            self.job_server.stop()


class PoolJob(Job):
    """Without containers: Beam's worker pool, started under fedboot, starts the workers as its children."""

    def prepare(self):
        self.home = self.stage.place / "homes" / self.name
        self.credentials_file().parent.mkdir(parents=True)
        self.credentials_file().write_text(LEFT_BEHIND)
        self.port = free_port()
        environment = {
            "PATH": f"{self.stage.beam}/bin:/usr/bin:/bin",
            "HOME": self.home,
            "FEDBOOT_ROLE_ARN": ROLE,
            **self.stage.worker_environment(),
        }
        command = [self.stage.fedboot, "--", "python", "-m", "apache_beam.runners.worker.worker_pool_main"]
        self.pool = Background(
            "worker-pool",
            [*command, f"--service_port={self.port}", f"--container_executable={HERE}/bin/boot"],
            environment,
            self.stage.place / "logs" / f"{self.name}-workers.log",
        )
        ready = "Started worker pool servicer"
        wait_until("the worker pool", lambda: self.pool.check() or ready in self.worker_log())

    def worker_log(self):
        return self.pool.log.read_text(errors="replace")

    def first_pids(self):
        return [self.pool.process.pid]

    def launcher(self):
        return python_launcher(self, "--environment_type=EXTERNAL", f"--environment_config=localhost:{self.port}")

    def clean(self):
        self.pool.stop()


class Seen:
    """The processes of a job's workers but fedboot's: what they were called and what their environment held."""

    def __init__(self, stage):
        self.stage = stage
        self.commands, self.environments, self.namespaces = {}, {}, set()

    def look(self, first):
        """Notes the process `first`, and with it all in its pid namespace, or all that it started if it has none."""
        namespace = link(f"/proc/{first}/ns/pid")
        if namespace and namespace != link("/proc/self/ns/pid"):
            self.namespaces.add(namespace)
            pids = processes_in(namespace)
        else:
            pids = family(first)
        for pid in pids:
            if self.stage.runs_fedboot(pid):
                continue
            try:
                inner = int(re.search(r"^NSpid:.*\s(\d+)$", text_of(pid, "status"), re.MULTILINE).group(1))
                # Empty while a process ends.
                if command := text_of(pid, "cmdline").replace("\0", " ").strip():
                    self.commands.setdefault(inner, {})[command] = None
                if environment := text_of(pid, "environ"):
                    self.environments[inner] = environment.split("\0")
            except (OSError, AttributeError):
                continue  # It ended meanwhile.

    def left(self):
        """What still runs in the namespaces that were seen."""
        commands = (command_of(pid) for namespace in self.namespaces for pid in processes_in(namespace))
        return [command for command in commands if command]


def processes():
    return [int(entry.name) for entry in pathlib.Path("/proc").iterdir() if entry.name.isdigit()]


def processes_in(namespace):
    return [pid for pid in processes() if link(f"/proc/{pid}/ns/pid") == namespace]


def family(first):
    """That process and its descendants."""
    parents = {}
    for pid in processes():
        with contextlib.suppress(OSError):
            # The name of a program may hold anything but ends with the last parenthesis.
            parents[pid] = int(text_of(pid, "stat").rpartition(")")[2].split()[1])
    found = [first]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def link(path):
    try:
        return os.readlink(path)
    except OSError:
        return None


def text_of(pid, name):
    return pathlib.Path(f"/proc/{pid}/{name}").read_text(errors="replace")


def command_of(pid):
    """What a process was started with; nothing of one that has ended meanwhile."""
    try:
        return text_of(pid, "cmdline")
    except OSError:
        return ""


def json_lines(text):
    """fedboot's own lines among all that a worker says."""
    for line in text.splitlines():
        if line.startswith('{"'):
            try:
                yield json.loads(line)
            except ValueError:
                continue


def python_launcher(job, *environment):
    return [
        job.stage.beam / "bin/python",
        HERE / f"{job.pipeline}.py",
        "--runner=PortableRunner",
        "--job_endpoint=embed",
        *environment,
        *job.options,
    ]


def static_keys(text):
    """The three keys of [default] in a credentials file."""
    section = re.search(r"^\[default\][^\[]*", text, re.MULTILINE).group()
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return tuple(re.search(rf"^{name} *= *(\S+)", section, re.MULTILINE).group(1) for name in names)


def masked(text):
    """A credentials file without its secrets."""
    return re.sub(r"(?m)^((?:aws_secret_access_key|aws_session_token) *= *)(\S{4})\S*.*$", r"\1\2…", text)
