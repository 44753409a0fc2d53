"""Work for hours, in minutes: one bundle that reads and writes S3 through many short sessions.

Four such jobs run at once, in Python and in Go, with an STS that is well and with one that fails every second time.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import itertools
import random
import sys

import checks
import jobs
import stage

INPUT = "stream"
# Seconds between elements and between the reads and the writes of one of them; how many are in flight at most.
INTERVAL, PAUSE, IN_FLIGHT = 2, 4, 4
PART = 5 * 1024 * 1024

# The longest that fedboot takes for a refresh: half a lifetime and a tenth of that, and after a failure 2 seconds.
REFRESH, AFTER_FAILURE = 0.55, 2
# A journal's part is uploaded more often than fedboot refreshes at its fastest, so each key signs one.
PART_INTERVAL = 0.35


@dataclasses.dataclass
class Play:
    """One of the jobs, and the STS that it has to itself."""

    job: jobs.ContainerJob
    front: stage.StsFront
    done: concurrent.futures.Future


class Streams(checks.BeamTest):
    # What a job must live through, and how long a session lasts. Shorter, it would expire on a busy machine between
    # a request's signature and its arrival.
    refreshes, lifetime = 3, 12

    @classmethod
    def setUpClass(cls):
        """Runs all of them to their end; the tests look at what they left."""
        cls.plays = {}
        if cls.why_no_containers or not cls.arguments.python_boot:
            return
        seconds = cls.refreshes * (REFRESH * cls.lifetime + AFTER_FAILURE)
        cls.expected = fill(cls.on_stage, round(seconds / INTERVAL))
        pipeline = {
            "pipeline": "stream",
            "source": INPUT,
            "elements": len(cls.expected),
            "interval": INTERVAL,
            "in_flight": IN_FLIGHT,
            "pause": PAUSE,
            "record": int(PART * INTERVAL / (PART_INTERVAL * cls.lifetime)),
            "timeout": 2 * seconds + 60,
        }
        boots = {
            "python": (jobs.PythonContainerJob, cls.arguments.python_boot),
            "go": (jobs.GoContainerJob, cls.arguments.go_boot, cls.arguments.go_pipelines),
        }
        faults = {"steady": (), "failing": stage.FAULTS}
        with concurrent.futures.ThreadPoolExecutor() as pool:
            for (language, (kind, *programs)), (weather, list_of) in itertools.product(boots.items(), faults.items()):
                name, front = f"stream-{language}-{weather}", cls.on_stage.sts_front(cls.lifetime, list_of)
                environment = {"AWS_ENDPOINT_URL_STS": front.url, "FEDBOOT_ROLE_ARN": stage.ROLE}
                job = kind(cls.on_stage, name, *programs, environment=environment, **pipeline)
                cls.plays[language, weather] = Play(job, front, pool.submit(job.run))

    def test_python_steady(self):
        self.check_stream("python", "steady")

    def test_python_failing(self):
        self.check_stream("python", "failing")

    def test_go_steady(self):
        self.check_stream("go", "steady")

    def test_go_failing(self):
        self.check_stream("go", "failing")

    def check_stream(self, language, weather):
        if self.why_no_containers:
            self.skipTest(self.why_no_containers)
        if not self.plays:
            self.skipTest(self.arguments.why_no_go)
        play = self.plays[language, weather]
        job = play.done.result()
        requests = self.requests(job)
        self.check_elements(job, requests)
        self.check_exchanges(job, play.front, weather)
        self.check(job, requests, refreshes=self.refreshes)
        self.check_first_process(job)

        # Each of the three ways to S3, by itself, has used as many keys.
        for way in ("beam/", "client/", "journal-"):
            keys = {request.key for request in requests if request.object.startswith(f"{job.output}/{way}")}
            self.assertGreaterEqual(len(keys), self.refreshes, way)
        keys = {request.key for request in requests if request.object.startswith(f"{INPUT}/")}
        self.assertGreaterEqual(len(keys), self.refreshes, "reading")
        self.report(job, play.front, requests)

    def requests(self, job):
        """Those of this job; nobody else can have made the others."""
        ours = collections.defaultdict(list)
        owners = {key: play.job for play in self.plays.values() for key in play.job.issued()}
        for request in self.on_stage.s3_requests(job):
            ours[owners.get(request.key)].append(request)
        self.assertFalse(ours[None], "S3 was asked with keys of no fedboot's")
        return ours[job]

    def check_elements(self, job, requests):
        """Each element was worked on once, in one bundle, and what it left is right."""
        written = collections.Counter(request.object for request in requests if request.completes_object())
        self.assertEqual([name for name, times in written.items() if times != 1], [])
        left = self.on_stage.objects(f"{job.output}/")
        self.assertEqual(set(left), set(written))
        lines = sorted(self.expected.values())
        for way in ("beam", "client"):
            found = {name: left.pop(f"{job.output}/{way}/{name}") for name in self.expected}
            self.assertEqual(found, self.expected)
        (journal,) = left.values()
        self.assertEqual(sorted(line.strip() + b"\n" for line in journal.splitlines()), lines)
        self.assertEqual(len(list(job.containers())), 1)

    def check_exchanges(self, job, front, weather):
        """fedboot warns of each exchange that failed, and of nothing else."""
        if weather == "steady":
            return self.check_quiet(job)
        failures = self.complaints(job)
        # The job may have ended before fedboot could say it of the last one.
        self.assertIn(front.failed.total() - len(failures), (0, 1))
        self.assertGreaterEqual(len(failures), self.refreshes)
        self.assertEqual(set(front.failed), set(stage.FAULTS))
        self.assertEqual({event["severity"] for event in failures}, {"WARNING"})
        said = "\n".join(event["message"] + event.get("answer", "") for event in failures)
        for code in ("InternalFailure", "AccessDenied"):
            self.assertIn(code, said)

    def report(self, job, front, requests):
        figures = {
            "seconds": round(job.seconds),
            "exchanges": front.attempts,
            "of them failed": front.failed.total(),
            "refreshes": sum("refreshed" in event["message"] for event in job.events),
            "keys": len({request.key for request in requests}),
            "S3 requests": len(requests),
            "refused": sum(request.status >= 400 for request in requests),
        }
        sys.stderr.write(", ".join(f"{what} {figure}" for what, figure in figures.items()) + " ... ")


def fill(on_stage, elements):
    """Puts an input for each element; returns what each must write, by the element's name."""
    s3 = on_stage.owner("s3")
    noise = random.Random(0)
    expected = {}
    for number in range(elements):
        name, body = f"{number:04}", noise.randbytes(16 * 1024)
        s3.put_object(Bucket=stage.BUCKET, Key=f"{INPUT}/{name}", Body=body)
        expected[name] = f"{name} {hashlib.sha256(body).hexdigest()}\n".encode()
    return expected
