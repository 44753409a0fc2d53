"""Apache Beam's real boot programs behind fedboot: word counts from S3 to S3, across expired credentials.

Called by `run` beside it, which has got everything ready. Prints a line for each test and one with the totals.
"""

import argparse
import os
import stat
import subprocess
import sys
import time
import unittest
import urllib.parse

import jobs
import stage

# Sessions this short are refreshed about every four seconds; the jobs take more than twice as long.
LIFETIME = 8
PAUSE = 0.7

on_stage = None
arguments = None
why_no_containers = None


class BeamTest(unittest.TestCase):
    def check(self, job):
        """What holds for every word count, whatever the route."""
        self.assertEqual(on_stage.output(job.output), stage.expected_counts())

        messages = [event["message"] for event in job.events]
        self.assertIn("ready", messages[0], "the first word of fedboot")
        self.assertGreaterEqual(sum("refreshed" in message for message in messages), 2, messages)
        self.assertFalse([event for event in job.events if event["severity"] not in ("INFO", "DEBUG")])

        requests = on_stage.s3_requests(job.started)
        self.assertTrue(requests)
        signed_with = {key for _, _, key in requests}
        self.assertLessEqual(signed_with, set(job.issued()), "an S3 request was signed with keys not of fedboot's")
        self.assertGreaterEqual(len(signed_with), 2, "the job used one set of credentials only")

        self.check_file(job)
        self.check_secrets(job)
        stage.wait_until("the last fedboot", lambda: not on_stage.agents(), 5)
        self.assertEqual(job.seen.left(), [])

        # Anything that still held on to the first credentials would have failed by the end.
        first, last = job.delivered_keys(0), job.delivered_keys(-1)
        self.assertIn(on_stage.refusal(first), ("ExpiredToken", "InvalidAccessKeyId"))
        self.assertNotEqual(first, last)

    def check_file(self, job):
        text = job.credentials_file().read_text()
        self.assertEqual(text, job.credentials[-1])
        self.assertNotIn("REVOKED", text)
        comment, _, rest = jobs.LEFT_BEHIND.partition("[default]")
        other = rest[rest.index("; a colleague's") :]
        self.assertIn(comment, text)
        self.assertIn(other.rstrip("\n"), text)
        mode = stat.S_IMODE(job.credentials_file().stat().st_mode)
        self.assertEqual(oct(mode), "0o600")

    def check_secrets(self, job):
        """No secret in any log, none in any worker's environment."""
        secrets = {secret for text in job.credentials for secret in secrets_in(text)}
        self.assertGreaterEqual(len(secrets), 4)
        logs = {path: path.read_text(errors="replace") for path in (on_stage.place / "logs").iterdir()}
        logs["the workers"] = job.worker_log()
        for name, text in logs.items():
            self.assertFalse([secret for secret in secrets if secret in text], f"a secret in {name}")
        for variables in job.seen.environments.values():
            names = {variable.partition("=")[0] for variable in variables}
            self.assertFalse(names & {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})
            self.assertFalse([secret for secret in secrets if secret in "\n".join(variables)])


def secrets_in(text):
    names = ("aws_secret_access_key", "aws_session_token")
    section = text[text.index("[default]") :].partition("\n[")[0]
    values = [line.partition("=")[2].strip() for line in section.splitlines() if line.startswith(names)]
    return [value for value in values if value != "revoked"]


class Containers(BeamTest):
    """Through Beam's DOCKER environment: the image's ENTRYPOINT is process 1 of a pid namespace."""

    def setUp(self):
        if why_no_containers:
            self.skipTest(why_no_containers)

    def check_first_process(self, job):
        # fedboot, and after its exec Beam's boot program, with the container contract's arguments.
        first = list(job.seen.commands[1])[-1]
        self.assertTrue(first.startswith("/opt/apache/beam/boot --id="), first)
        self.assertIn("--provision_endpoint=", first)
        variables = job.seen.environments[1]
        self.assertIn("AWS_PROFILE=fedboot", variables)
        self.assertIn(f"AWS_SHARED_CREDENTIALS_FILE={stage.HOME}/.aws/credentials", variables)

    def test_python_boot(self):
        """The role comes from a project attribute, as on Dataflow."""
        if not arguments.python_boot:
            self.skipTest(arguments.why_no_go)
        job = jobs.PythonContainerJob(on_stage, "python", arguments.python_boot, pause=PAUSE).run()
        self.check(job)
        self.check_first_process(job)
        children = [command for pid, commands in job.seen.commands.items() if pid != 1 for command in commands]
        self.assertTrue([command for command in children if "sdk_worker_main" in command], children)

    def test_go_boot(self):
        """An image with nothing in it but two programs; the role and revoked keys come from its environment."""
        if not arguments.go_boot:
            self.skipTest(arguments.why_no_go)
        environment = {
            "FEDBOOT_ROLE_ARN": stage.ROLE,
            "AWS_ACCESS_KEY_ID": "AKIAREVOKEDREVOKED02",
            "AWS_SECRET_ACCESS_KEY": "revoked",
        }
        job = jobs.GoContainerJob(
            on_stage, "go", arguments.go_boot, arguments.go_wordcount, pause=PAUSE, environment=environment
        ).run()
        self.check(job)
        self.check_first_process(job)

    def test_refused_role(self):
        """STS refuses: the container ends with 125 before Beam's boot program starts."""
        boot = arguments.python_boot or arguments.go_boot or "/bin/true"
        role = stage.ROLE.replace("beam-worker", "somebody-else")
        job = jobs.ContainerJob(
            on_stage, "refused", boot, pause=0, system=False, environment={"FEDBOOT_ROLE_ARN": role}
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
        self.assertIn("AccessDenied", event["message"])
        self.assertNotIn("endpoint", job.worker_log().replace(event["message"], ""), "the boot program ran")
        self.assertEqual(job.credentials_file().read_text(), jobs.LEFT_BEHIND)


class WorkerPool(BeamTest):
    """Through Beam's EXTERNAL environment, which needs neither root nor Go."""

    def test_worker_pool(self):
        job = jobs.PoolJob(on_stage, "pool", pause=PAUSE).run()
        self.check(job)
        commands = [command for commands in job.seen.commands.values() for command in commands]
        for program in ("worker_pool_main", "sdk_worker_main"):
            self.assertTrue([command for command in commands if program in command], commands)


class Refusals(unittest.TestCase):
    """The stage itself: S3 and STS refuse what they should, or the tests above would show nothing."""

    def test_s3_refuses_what_was_not_issued(self):
        self.assertEqual(on_stage.refusal(None), "AccessDenied")
        self.assertEqual(on_stage.refusal(("AKIAREVOKEDREVOKED01", "revoked", None)), "InvalidAccessKeyId")
        self.assertEqual(on_stage.refusal(("ASIAINVENTEDINVENTED", "invented", "invented")), "InvalidAccessKeyId")

    def test_s3_refuses_issued_keys_with_a_wrong_secret_or_token_and_when_expired(self):
        key, secret, token = self.issued_keys()
        self.assertIsNone(on_stage.refusal((key, secret, token)))
        self.assertEqual(on_stage.refusal((key, "x" * 40, token)), "SignatureDoesNotMatch")
        self.assertEqual(on_stage.refusal((key, secret, "x" * 40)), "InvalidToken")
        time.sleep(LIFETIME + 1)
        self.assertIn(on_stage.refusal((key, secret, token)), ("ExpiredToken", "InvalidAccessKeyId"))

    def test_sts_refuses_forged_tokens(self):
        for forged, status in ((True, 400), (False, 200)):
            token = on_stage.token(forged=forged)
            form = {
                "Action": "AssumeRoleWithWebIdentity",
                "Version": "2011-06-15",
                "RoleArn": stage.ROLE,
                "RoleSessionName": "by-hand",
                "WebIdentityToken": token,
            }
            answer = stage.post(on_stage.front.url, urllib.parse.urlencode(form).encode())
            self.assertEqual(answer[0], status, answer[2])

    def issued_keys(self):
        """What fedboot puts into the file for a command that is no Beam worker."""
        home = on_stage.place / "homes/by-hand"
        home.mkdir()
        text = subprocess.check_output(
            [on_stage.fedboot, "--", "cat", ".aws/credentials"],
            env={"PATH": os.defpath, "HOME": str(home), **on_stage.worker_environment()},
            cwd=home,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return jobs.static_keys(text)


def main():
    global on_stage, arguments, why_no_containers
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("fedboot", "sandbox", "beam", "ministack"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("python-boot", "go-boot", "go-wordcount"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--why-no-go", default="no Go for Beam's boot programs")
    parser.add_argument("tests", nargs="*", help="names of tests, all otherwise")
    arguments = parser.parse_args()
    why_no_containers = stage.isolate()

    with stage.Stage(
        fedboot=arguments.fedboot,
        sandbox=arguments.sandbox,
        beam=arguments.beam,
        ministack=arguments.ministack,
        lifetime=LIFETIME,
    ) as on_stage:
        loader = unittest.defaultTestLoader
        suite = loader.loadTestsFromModule(sys.modules[__name__])
        if arguments.tests:
            loader.testNamePatterns = [f"*{name}*" for name in arguments.tests]
            suite = loader.loadTestsFromModule(sys.modules[__name__])
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
