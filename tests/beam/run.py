"""Apache Beam's real boot programs behind fedboot: jobs from S3 to S3, across expired credentials.

Called by `run` beside it, which has got everything ready. Prints a line for each test and one with the totals.
"""

import argparse
import os
import subprocess
import sys
import time
import unittest
import urllib.parse

import flags
import jobs
import several
import stage
from checks import BeamTest
from streams import Streams

# Sessions this short are refreshed about every four seconds; the jobs take more than twice as long.
LIFETIME = 8
PAUSE = 0.7
# With --hours: ten refreshes, of sessions of a minute.
HOURS, HOURS_LIFETIME = 10, 60


class WordCounts(BeamTest):
    def check_counts(self, job):
        self.assertEqual(self.on_stage.output(job.output), stage.expected_counts())
        self.check_quiet(job)
        self.check(job, self.on_stage.s3_requests(job), refreshes=2)


class Containers(WordCounts):
    """Through Beam's DOCKER environment: the image's ENTRYPOINT is process 1 of a pid namespace."""

    def setUp(self):
        if self.why_no_containers:
            self.skipTest(self.why_no_containers)

    def test_python_boot(self):
        """The role comes from a project attribute, as on Dataflow."""
        if not self.arguments.python_boot:
            self.skipTest(self.arguments.why_no_go)
        job = jobs.PythonContainerJob(self.on_stage, "python", self.arguments.python_boot, pause=PAUSE).run()
        self.check_counts(job)
        self.check_first_process(job)
        children = [command for pid, commands in job.seen.commands.items() if pid != 1 for command in commands]
        self.assertTrue([command for command in children if "sdk_worker_main" in command], children)

    def test_go_boot(self):
        """An image with nothing in it but two programs; the role and revoked keys come from its environment."""
        if not self.arguments.go_boot:
            self.skipTest(self.arguments.why_no_go)
        environment = {
            "FEDBOOT_ROLE_ARN": stage.ROLE,
            "AWS_ACCESS_KEY_ID": "AKIAREVOKEDREVOKED02",
            "AWS_SECRET_ACCESS_KEY": "revoked",
        }
        programs = self.arguments.go_boot, self.arguments.go_pipelines
        job = jobs.GoContainerJob(self.on_stage, "go", *programs, pause=PAUSE, environment=environment).run()
        self.check_counts(job)
        self.check_first_process(job)

    def test_refused_role(self):
        """STS refuses: the container ends with 125 before Beam's boot program starts."""
        boot = self.arguments.python_boot or self.arguments.go_boot or "/bin/true"
        role = stage.ROLE.replace("beam-worker", "somebody-else")
        job = jobs.ContainerJob(
            self.on_stage, "refused", boot, pause=0, system=False, environment={"FEDBOOT_ROLE_ARN": role}
        )
        job.prepare()
        docker = [stage.HERE / "bin/docker"]
        environment = job.launcher_environment()

        def call(*words):
            return subprocess.check_output([*docker, *words], env=environment, text=True).strip()

        container = call("run", "-d", "--network=host", "refused", "--id=1")
        status = ["inspect", "-f", "{{.State.Status}}", container]
        stage.wait_until("the end of the container", lambda: call(*status) == "exited")
        self.assertEqual(call("inspect", "-f", "{{.State.ExitCode}}", container), "125")
        (event,) = [event for event in jobs.json_lines(job.worker_log()) if event["severity"] == "ERROR"]
        self.assertIn("AccessDenied", event["answer"])
        self.assertNotIn("endpoint", job.worker_log().replace(event["message"], ""), "the boot program ran")
        self.assertEqual(job.credentials_file().read_text(), jobs.LEFT_BEHIND)


class WorkerPool(WordCounts):
    """Through Beam's EXTERNAL environment, which needs neither root nor Go."""

    def test_worker_pool(self):
        job = jobs.PoolJob(self.on_stage, "pool", pause=PAUSE).run()
        self.check_counts(job)
        commands = [command for commands in job.seen.commands.values() for command in commands]
        for program in ("worker_pool_main", "sdk_worker_main"):
            self.assertTrue([command for command in commands if program in command], commands)


class Refusals(BeamTest):
    """The stage itself: S3 and STS refuse what they should, or the tests above would show nothing."""

    def test_s3_refuses_what_was_not_issued(self):
        self.assertEqual(self.on_stage.refusal(None), "AccessDenied")
        self.assertEqual(self.on_stage.refusal(("AKIAREVOKEDREVOKED01", "revoked", None)), "InvalidAccessKeyId")
        self.assertEqual(self.on_stage.refusal(("ASIAINVENTEDINVENTED", "invented", "invented")), "InvalidAccessKeyId")

    def test_s3_refuses_issued_keys_with_a_wrong_secret_or_token_and_when_expired(self):
        key, secret, token = self.issued_keys()
        self.assertIsNone(self.on_stage.refusal((key, secret, token)))
        self.assertEqual(self.on_stage.refusal((key, "x" * 40, token)), "SignatureDoesNotMatch")
        self.assertEqual(self.on_stage.refusal((key, secret, "x" * 40)), "InvalidToken")
        time.sleep(LIFETIME + 1)
        self.assertIn(self.on_stage.refusal((key, secret, token)), ("ExpiredToken", "InvalidAccessKeyId"))

    def test_sts_refuses_forged_tokens(self):
        for forged, status in ((True, 400), (False, 200)):
            token = self.on_stage.token(forged=forged)
            form = {
                "Action": "AssumeRoleWithWebIdentity",
                "Version": "2011-06-15",
                "RoleArn": stage.ROLE,
                "RoleSessionName": "by-hand",
                "WebIdentityToken": token,
            }
            answer = stage.post(self.on_stage.front.url, urllib.parse.urlencode(form).encode())
            self.assertEqual(answer[0], status, answer[2])

    def issued_keys(self):
        """What fedboot puts into the file for a command that is no Beam worker."""
        home = self.on_stage.place / "homes/by-hand"
        home.mkdir()
        text = subprocess.check_output(
            [self.on_stage.fedboot, "--", "cat", ".aws/credentials"],
            env={"PATH": os.defpath, "HOME": str(home), **self.on_stage.worker_environment()},
            cwd=home,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return jobs.static_keys(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("fedboot", "sandbox", "beam", "ministack"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("python-boot", "go-boot", "go-pipelines"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--why-no-go", default="no Go for Beam's boot programs")
    parser.add_argument("--hours", action="store_true", help="only the streams, for much longer")
    parser.add_argument("tests", nargs="*", help="names of tests, all otherwise")
    arguments = BeamTest.arguments = parser.parse_args()
    BeamTest.why_no_containers = stage.isolate()

    with stage.Stage(
        fedboot=arguments.fedboot,
        sandbox=arguments.sandbox,
        beam=arguments.beam,
        ministack=arguments.ministack,
        lifetime=LIFETIME,
    ) as BeamTest.on_stage:
        loader = unittest.defaultTestLoader
        if arguments.tests:
            loader.testNamePatterns = [f"*{name}*" for name in arguments.tests]
        if arguments.hours:
            Streams.refreshes, Streams.lifetime = HOURS, HOURS_LIFETIME
            suite = loader.loadTestsFromTestCase(Streams)
        else:
            modules = (sys.modules[__name__], several, flags)
            suite = unittest.TestSuite(loader.loadTestsFromModule(module) for module in modules)
        result = unittest.TextTestRunner(verbosity=2).run(suite)
    skips = os.environ.get("FEDBOOT_SKIPS")
    for test, reason in result.skipped:
        line = f"SKIP beam {test.id().rpartition('.')[2]}: {reason}\n"
        sys.stderr.write(line)
        if skips:
            with open(skips, "a") as summary:
                summary.write(line)
    failed = len(result.failures) + len(result.errors)
    passed = result.testsRun - failed - len(result.skipped)
    print(f"beam: {passed} passed, {failed} failed, {len(result.skipped)} skipped", flush=True)
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
