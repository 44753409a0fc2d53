"""What every engine's test is made of: the stage of tests/beam, workers started behind fedboot, and what must be true at
the end.

An engine is a file beside this one with two things in it:

    LIFETIME = 16            how long a session lasts, in seconds
    def run(cluster): …      starts the engine, runs a job, kills an agent, checks the result, ends with `cluster.judge()`

`cluster.stage` is what tests/beam/stage.py says: a metadata server, an STS and an S3 that verify what they are sent. S3
refuses expired keys.
"""

import contextlib
import os
import pathlib
import re
import shlex
import shutil
import signal
import string
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "beam"))

import jobs
import stage
from stage import BUCKET, REGION, ROLE, wait_until  # noqa: F401

EXAMPLES = HERE.parent.parent / "examples"
# What S3 says to keys that it does not take: 404 is an answer like any other for clients that look whether a file is there.
REFUSALS = (400, 401, 403)
# Beside what the stage's role may do: to give up an upload in parts.
MORE_ACTIONS = ["s3:AbortMultipartUpload"]


class Cluster:
    """The workers of one engine, and the stage that they have to themselves."""

    def __init__(self, name, on_stage, *, venv, jars=None):
        self.name, self.stage = name, on_stage
        self.venv, self.jars = pathlib.Path(venv), jars and pathlib.Path(jars)
        self.workers, self.killed = [], []
        # A directory for whatever the engine writes.
        self.place = on_stage.place / name
        self.place.mkdir()
        policy = {"Effect": "Allow", "Action": MORE_ACTIONS, "Resource": "*"}
        name_of_role = ROLE.rpartition("/")[2]
        on_stage.owner("iam").put_role_policy(
            RoleName=name_of_role, PolicyName="uploads", PolicyDocument=stage.document(policy)
        )

    def example(self, *names):
        """The engine's folder under examples/, copied to a place of this run's; or a file in there."""
        there = self.place / "example"
        if not there.exists():
            if (EXAMPLES / self.name).exists():
                shutil.copytree(EXAMPLES / self.name, there)
            else:
                there.mkdir()
        return there.joinpath(*names)

    def printed(self, beginning, **variables):
        """The words of the command in the example's README that begins so, with these values for its variables.

        What is printed there is what runs here. fedboot itself is whoever calls this to start.
        """
        text = self.example("README.md").read_text()
        blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
        commands = [line.strip() for line in blocks.replace("\\\n", " ").splitlines()]
        (command,) = [command for command in commands if command.startswith(beginning)]
        words = [string.Template(word).substitute(variables) for word in shlex.split(command, comments=True)]
        return words[words.index("--") + 1 :] if words[0] == "fedboot" else words

    def environment(self, home):
        """What a machine of the cluster has: no key, and where the clouds are."""
        return {
            "PATH": f"{self.venv}/bin:{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.place),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            **self.stage.worker_environment(),
        }

    def home(self, name):
        # A space in it, as hostile as homes come.
        home = self.place / f"home {name}"
        home.mkdir(exist_ok=True)
        return home

    def background(self, name, command, **environment):
        """A process of the engine's that has no credentials and needs none. It runs in the example's folder."""
        environment = {**self.environment(self.home(name)), **environment}
        return self.stage.background(name, command, environment, cwd=self.example())

    def worker(self, name, command, *, options=(), **environment):
        """A process behind fedboot, in the example's folder."""
        self.workers.append(Worker(self, name, command, options, environment))
        return self.workers[-1]

    def check(self):
        """Fails when a worker ended by itself."""
        for worker in self.workers:
            worker.server.check()

    def kill_an_agent(self, worker):
        """As the kernel does when memory is short, in the middle of the job. Waits until another one stands there."""
        for one in self.workers:
            one.check_environment()
        agent = worker.agent()
        deaths = len(worker.deaths())
        os.kill(agent, signal.SIGKILL)
        wait_until("another agent", lambda: worker.agent(wait=False) not in (None, agent))
        wait_until("the guard's word of it", lambda: len(worker.deaths()) > deaths)
        # What this one gets is not of the first agent's making.
        self.killed.append((worker, set(worker.issued())))

    def has_gone_on(self, *, refreshes=1):
        """Whether every worker has used more sessions than its first, and those with a second agent what that one got."""
        used = {request.key for request in self.stage.s3_front.requests}
        return all(len(used & set(worker.issued())) > refreshes for worker in self.workers) and all(
            used & (set(worker.issued()) - before) for worker, before in self.killed
        )

    def judge(self, *, refreshes=1):
        """What holds for every engine at the end of its job, before its workers are stopped. Returns the figures."""
        requests = self.stage.s3_front.requests
        refused = [request for request in requests if request.status in REFUSALS or request.status >= 500]
        assert not refused, f"S3 refused {len(refused)} of {len(requests)} requests: {refused[:5]}"
        used = {request.key for request in requests}
        ours = {worker: set(worker.issued()) for worker in self.workers}
        strangers = used - set().union(*ours.values())
        assert not strangers, f"S3 was asked with keys that no fedboot got: {strangers}"
        for worker, keys in ours.items():
            assert len(used & keys) > refreshes, f"{worker.name} used {len(used & keys)} of its {len(keys)} sessions"
            worker.check_environment()
        assert self.killed, "no agent was killed"
        for worker, before in self.killed:
            assert used & (ours[worker] - before), f"{worker.name} used nothing that the second agent got"
        return {
            "behind fedboot": len(self.workers),
            "exchanges": self.stage.front.attempts,
            "refreshes": sum(worker.refreshes() for worker in self.workers),
            "sessions used": len(used),
            "S3 requests": len(requests),
            "refused": len(refused),
            "agents killed": len(self.killed),
        }


class Worker:
    """A process of the engine's, started as `fedboot -- COMMAND`."""

    def __init__(self, cluster, name, command, options, environment):
        self.name, self.cluster = name, cluster
        self.home = cluster.home(name)
        self.environment = {**cluster.environment(self.home), **environment}
        words = [cluster.stage.fedboot, *options, "--", *command]
        self.server = cluster.stage.background(name, words, self.environment, cwd=cluster.example())
        wait_until(f"fedboot before {name}", lambda: self.server.check() or self.issued())

    @property
    def pid(self):
        """fedboot became the command: they have one pid."""
        return self.server.process.pid

    def log(self):
        return self.server.log.read_text(errors="replace")

    def events(self):
        return list(jobs.json_lines(self.log()))

    def issued(self):
        """The access key ids that this worker's fedboot got, in order."""
        return list(dict.fromkeys(event["access_key_id"] for event in self.events() if "access_key_id" in event))

    def refreshes(self):
        return sum("refreshed" in event["message"] for event in self.events())

    def deaths(self):
        return [event for event in self.events() if "another one takes its place" in event["message"]]

    def agent(self, *, wait=True):
        """The pid of the agent beside this worker, which says in its argv whom it serves."""

        def find():
            for pid in self.cluster.stage.agents():
                with contextlib.suppress(OSError):
                    if jobs.text_of(pid, "cmdline").split("\0")[1:3] == ["--fedboot-agent", str(self.pid)]:
                        return pid
            return None

        return wait_until(f"the agent beside {self.name}", find) if wait else find()

    def family(self):
        """The processes of this worker and of what it started, but fedboot's."""
        return [pid for pid in jobs.family(self.pid) if not self.cluster.stage.runs_fedboot(pid)]

    def check_environment(self):
        """No key in the environment or in the arguments of anything that the worker started."""
        keys = {"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SESSION_TOKEN=", *self.issued()}
        for pid in self.family():
            # Processes come and go.
            with contextlib.suppress(OSError):
                command = jobs.text_of(pid, "cmdline")
                said = jobs.text_of(pid, "environ") + command
                found = [key for key in keys if key in said]
                assert not found, f"{found} in the environment or the arguments of {command}"
