"""Several SDK containers at a time, each with a fedboot of its own: what Dataflow, Flink and Spark start on a machine.

Beam's portable runner starts as many as --direct_num_workers says and deals out the bundles.
"""

import json
import os
import signal
import subprocess
import threading

import checks
import jobs
import stage

CONTAINERS = 3
# Seconds that each of seven files is worked on: each container has two or three of them.
PAUSE = 4


class SeveralContainersJob(jobs.PythonContainerJob):
    """Calls `accident` once, in mid-job: when all containers have credentials and S3 has been asked."""

    accident = None

    def prepare(self):
        super().prepare()
        # Each container has a home of its own, which is gone with it.
        image = self.stage.place / f"docker/images/{self.name}.json"
        described = json.loads(image.read_text())
        described["volumes"] = {}
        described["environment"]["HOME"] = "/tmp"
        image.write_text(json.dumps(described))

    def launcher(self):
        inputs = [f"s3://{stage.BUCKET}/input/sonnet-{number}.txt" for number in range(1, len(stage.SONNET) // 2 + 1)]
        program = [self.stage.beam / "bin/python", stage.HERE / "workers.py", f"--workers={CONTAINERS}"]
        output = f"--output=s3://{stage.BUCKET}/{self.output}"
        return [*program, f"--image={self.name}", f"--pause={PAUSE}", output, "--input", *inputs]

    def events_of(self, place):
        log = place / "log"
        return list(jobs.json_lines(log.read_text(errors="replace"))) if log.exists() else []

    def look(self):
        super().look()
        if self.accident is None:
            return
        places = [
            place for place in self.containers() if any("ready" in one["message"] for one in self.events_of(place))
        ]
        if len(places) == CONTAINERS and self.stage.s3_requests(self):
            accident, self.accident = self.accident, None
            self.unlucky = min(places)
            accident(self.unlucky)


class Several(checks.BeamTest):
    def setUp(self):
        if self.why_no_containers:
            self.skipTest(self.why_no_containers)
        if not self.arguments.python_boot:
            self.skipTest(self.arguments.why_no_go)

    def job(self, name, accident, **more):
        job = SeveralContainersJob(self.on_stage, name, self.arguments.python_boot, **more)
        job.accident = accident
        return job

    def kill_agent(self, place):
        """SIGKILL for the process of fedboot in that container whose parent is one, too."""
        namespace = os.readlink(f"/proc/{(place / 'pid').read_text()}/ns/pid")
        inside = [pid for pid in jobs.processes_in(namespace) if self.on_stage.runs_fedboot(pid)]
        agents = [pid for pid in inside if set(inside) & set(parents(pid))]
        self.assertEqual(len(agents), 1, inside)
        self.killed_after = len(list(jobs.json_lines((place / "log").read_text(errors="replace"))))
        os.kill(agents[0], signal.SIGKILL)

    def test_three_containers_and_a_killed_agent(self):
        job = self.job("several", self.kill_agent).run()
        self.assertIsNone(job.accident, "the agent was killed")
        self.assertEqual(self.on_stage.output(job.output), stage.expected_counts())

        places = list(job.containers())
        self.assertEqual(len(places), CONTAINERS)
        requests = self.on_stage.s3_requests(job)
        self.assertFalse([request for request in requests if request.status >= 400])
        signed_with, issued = {request.key for request in requests}, set()
        for place in places:
            events = job.events_of(place)
            own = {event["access_key_id"] for event in events if "access_key_id" in event}
            self.assertTrue(own & signed_with, "a container that did nothing on S3")
            self.assertFalse(own & issued, "containers do not share keys")
            issued |= own
            self.assertGreaterEqual(sum("refreshed" in event["message"] for event in events), 2, events)
        self.assertLessEqual(signed_with, issued)
        later = job.events_of(job.unlucky)[self.killed_after :]
        self.assertTrue([event for event in later if "refreshed" in event["message"]], "the next agent refreshes")
        stage.wait_until("the last fedboot", lambda: not self.on_stage.agents(), 5)

    def test_killed_container(self):
        """The local runner does not replace a lost container, its job waits; the other containers go on as before."""

        def kill(place):
            docker = [stage.HERE / "bin/docker", "kill", place.name]
            subprocess.run(docker, check=True, env=job.launcher_environment(), capture_output=True)
            watcher.start()

        def watch():
            others = [place for place in job.containers() if place != job.unlucky]
            before = {place: refreshes(place) for place in others}
            stage.wait_until("refreshes", lambda: all(refreshes(place) >= before[place] + 2 for place in others))
            # It waits for what will not come.
            for pid in jobs.processes():
                if f"--image={job.name}" in jobs.command_of(pid).split("\0"):
                    os.kill(pid, signal.SIGKILL)

        def refreshes(place):
            return sum("refreshed" in event["message"] for event in job.events_of(place))

        watcher = threading.Thread(target=watch)
        job = self.job("lost", kill)
        with self.assertRaisesRegex(RuntimeError, "lost ended with -9"):
            job.run()
        watcher.join()
        requests = self.on_stage.s3_requests(job)
        self.assertFalse([request for request in requests if request.status >= 400])
        self.assertLessEqual({request.key for request in requests}, set(job.issued()))
        self.assertEqual(self.on_stage.output(job.output), {}, "half a result")
        stage.wait_until("the last fedboot", lambda: not self.on_stage.agents(), 5)


def parents(pid):
    fields = jobs.text_of(pid, "stat").rpartition(")")[2].split()
    return [int(fields[1])]
