"""A word count in the examples of Python's engines: its input, its progress as S3 sees it, and its result."""

import collections
import os
import re
import signal

from cluster import BUCKET, jobs, stage, wait_until


class WordCount:
    """The job of `examples/ENGINE/words.py`, which reads each object once and keeps a part for each."""

    def __init__(self, cluster, objects):
        self.cluster, self.objects = cluster, objects
        self.source, self.output = "texts", "counts"
        self.expected = collections.Counter()
        s3 = cluster.stage.owner("s3")
        for number in range(objects):
            text = stage.SONNET[number % len(stage.SONNET)]
            # A space in its name, as keys may have.
            s3.put_object(Bucket=BUCKET, Key=f"{self.source}/line {number:02}.txt", Body=text.encode())
            self.expected.update(re.findall(r"[a-z']+", text.lower()))

    def start(self, *, pause, variables=None, **environment):
        """The driver, which is started without credentials, as everything in the background."""
        command = self.cluster.printed("python words.py", BUCKET=BUCKET, **(variables or {}))
        self.job = self.cluster.background("job", [*command, "--pause", str(pause)], **environment)

    def parts(self, worker):
        """How many parts that worker has written."""
        keys = set(worker.issued())
        written = [request for request in self.cluster.stage.s3_front.requests if request.completes_object()]
        return sum(request.key in keys and "/parts/" in request.object for request in written)

    def wait_for_parts(self, worker, more, seconds=60):
        """Until the worker has written some parts more than now."""
        wanted = self.parts(worker) + more
        wait_until(
            f"{more} more parts of {worker.name}", lambda: self.goes_on() and self.parts(worker) >= wanted, seconds
        )

    def goes_on(self):
        self.cluster.check()
        self.job.check()
        return True

    def end(self, seconds=120):
        """Waits for the end of the job, which must be a good one, and compares what it wrote."""
        code = self.job.process.wait(seconds)
        said = self.job.log.read_text(errors="replace")
        assert code == 0, f"the job ended with {code}: {said[-2000:]}"
        assert f"{len(self.expected)} words of {self.objects} objects" in said, said[-2000:]
        found = self.cluster.stage.output(f"{self.output}/counts.txt")
        assert found == dict(self.expected), f"other counts: {found}"


def replace(worker, belongs, seconds=60):
    """Kills those processes of a worker's of which `belongs(command)` says so, and waits for one that is born after it.

    Whatever the engine starts in their place has the environment that fedboot gave to the worker long before.
    """
    before = {pid: command for pid, command in commands(worker).items() if belongs(command)}
    assert before, f"{worker.name} has only {commands(worker)}"
    killed_at = uptime()
    for pid in before:
        os.kill(pid, signal.SIGKILL)

    def another():
        found = [pid for pid, command in commands(worker).items() if belongs(command) and birth(pid) >= killed_at]
        return found and found[0]

    pid = wait_until(f"another process of {worker.name}", another, seconds)
    names = {entry.partition("=")[0] for entry in jobs.text_of(pid, "environ").split("\0")}
    assert {"AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} <= names, names


def commands(worker):
    """The processes of a worker's by their pid, but fedboot's."""
    found = {}
    for pid in worker.family():
        try:
            found[pid] = jobs.text_of(pid, "cmdline").replace("\0", " ")
        except OSError:
            continue  # It ended meanwhile.
    return found


def uptime():
    """Seconds since the machine came up."""
    with open("/proc/uptime") as file:
        return float(file.read().split()[0])


def birth(pid):
    """When that process was started, on the same clock; 0 of one that has ended."""
    try:
        # The name of a program may hold anything but ends with the last parenthesis; the 22nd field is the start.
        ticks = jobs.text_of(pid, "stat").rpartition(")")[2].split()[19]
    except OSError:
        return 0
    return int(ticks) / os.sysconf("SC_CLK_TCK")
