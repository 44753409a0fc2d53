"""What every Beam job of the tests must come up to."""

import stat
import unittest

import jobs
import stage


class BeamTest(unittest.TestCase):
    """With what `run.py` got ready: the stage, the programs, and why there are no containers if there are none."""

    on_stage = None
    arguments = None
    why_no_containers = None

    def check(self, job, requests, *, refreshes):
        """What holds for every job, whatever the pipeline and the route."""
        messages = [event["message"] for event in job.events]
        self.assertIn("are long-term keys", messages[0], "what it found")
        self.assertIn("ready", messages[1], "the first word of fedboot")
        self.assertGreaterEqual(sum("refreshed" in message for message in messages), refreshes, messages)

        self.assertTrue(requests)
        self.assertFalse([request for request in requests if request.status >= 400], "S3 refused requests")
        signed_with = {request.key for request in requests}
        self.assertLessEqual(signed_with, set(job.issued()), "an S3 request was signed with keys not of fedboot's")
        self.assertGreaterEqual(len(signed_with), refreshes, "the job used too few of its credentials")

        self.check_file(job)
        self.check_secrets(job)
        stage.wait_until("the last fedboot", lambda: not self.on_stage.agents(), 5)
        self.assertEqual(job.seen.left(), [])

        # Anything that still held on to the first credentials would have failed by the end.
        first, last = job.delivered_keys(0), job.delivered_keys(-1)
        self.assertIn(self.on_stage.refusal(first), ("ExpiredToken", "InvalidAccessKeyId"))
        self.assertNotEqual(first, last)

    def check_quiet(self, job):
        self.assertFalse(self.complaints(job))

    def complaints(self, job):
        """What fedboot warns of, but for the keys that stood in the file before."""
        events = [event for event in job.events if event["severity"] not in ("INFO", "DEBUG")]
        return [event for event in events if "are long-term keys" not in event["message"]]

    def check_file(self, job):
        last = job.credentials[-1]
        set_aside = [line for line in last.splitlines() if line.startswith("# set aside by fedboot: ")]
        self.assertEqual(len(set_aside), 2)
        self.assertEqual("\n".join(set_aside).count("REVOKED"), last.count("REVOKED"))
        # An agent that the end of pid 1 takes with it leaves the file as it is; else it puts back what it set aside.
        text = job.credentials_file().read_text()
        if text != last:
            self.assertTrue(text.startswith(jobs.LEFT_BEHIND), text)
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
        logs = {path: path.read_text(errors="replace") for path in (self.on_stage.place / "logs").iterdir()}
        logs["the workers"] = job.worker_log()
        for name, text in logs.items():
            self.assertFalse([secret for secret in secrets if secret in text], f"a secret in {name}")
        for variables in job.seen.environments.values():
            names = {variable.partition("=")[0] for variable in variables}
            self.assertFalse(names & {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})
            self.assertFalse([secret for secret in secrets if secret in "\n".join(variables)])

    def check_first_process(self, job):
        # fedboot, and after its exec Beam's boot program, with the container contract's arguments.
        first = list(job.seen.commands[1])[-1]
        self.assertTrue(first.startswith("/opt/apache/beam/boot --id="), first)
        self.assertIn("--provision_endpoint=", first)
        variables = job.seen.environments[1]
        self.assertIn("AWS_PROFILE=fedboot", variables)
        self.assertIn(f"AWS_SHARED_CREDENTIALS_FILE={stage.HOME}/.aws/credentials", variables)


def secrets_in(text):
    names = ("aws_secret_access_key", "aws_session_token")
    section = text[text.index("[default]") :].partition("\n[")[0]
    values = [line.partition("=")[2].strip() for line in section.splitlines() if line.startswith(names)]
    return [value for value in values if value != "revoked"]
