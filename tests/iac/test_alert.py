"""The alert: its filter meets fedboot's errors in each form that a line may have in Cloud Logging, and nothing else."""

import json
import re
import unittest

from clouds import fedboot
from setting import Programs, outputs

EXPRESSION = re.compile(r'(\w+(?:\.\w+)*)=~("(?:[^"\\]|\\.)*")')


def lines(*words, **environment):
    """What fedboot writes where stderr is no terminal, as in a container."""
    ended = fedboot(*words, environment=environment)
    return [json.loads(line) for line in ended.stderr.splitlines()]


class Alert(unittest.TestCase):
    def setUp(self):
        if not Programs.tofu:
            self.skipTest("no OpenTofu")
        self.filter = outputs("alert/documents")["filter"]
        # Each field with the expression that it must match; Cloud Logging writes texts as JSON does.
        self.expressions = {field: re.compile(json.loads(text)) for field, text in EXPRESSION.findall(self.filter)}

    def meets(self, entry):
        """Whether the filter meets the entry: its three lines are joined by OR."""
        payload = entry.get("jsonPayload", {})
        severe = entry["severity"] in ("ERROR", "CRITICAL", "ALERT", "EMERGENCY")
        return bool(
            (severe and self.expressions["jsonPayload.reason"].search(payload.get("reason", "")))
            or self.expressions["jsonPayload.message"].search(payload.get("message", ""))
            or self.expressions["textPayload"].search(entry.get("textPayload", ""))
        )

    def forms(self, line):
        """The line taken apart, as Google's logging agents do it; as the message of an entry; as its text."""
        rest = {name: it for name, it in line.items() if name not in ("severity", "time")}
        text = json.dumps(line, separators=(",", ":"), ensure_ascii=False)
        yield {"severity": line["severity"], "jsonPayload": rest}
        # https://github.com/abcxyz/pkg/issues/236: on Dataflow the severity was INFO.
        yield {"severity": "INFO", "jsonPayload": {"message": text}}
        yield {"severity": "DEFAULT", "textPayload": text}

    def test_the_form_of_the_filter(self):
        self.assertEqual(set(self.expressions), {"jsonPayload.reason", "jsonPayload.message", "textPayload"})
        self.assertTrue(self.filter.startswith('resource.type="dataflow_step"\n(\n'))
        self.assertEqual(self.filter.count("  OR "), 2)
        self.assertIn("(severity>=ERROR AND jsonPayload.reason=~", self.filter)

    def test_it_meets_the_errors_of_fedboot(self):
        role = "arn:aws:iam::123456789012:role/r"
        found = [
            *lines("--role-arn", "no arn", "--", "true"),
            *lines("--timeout", "1s", "--role-arn", role, "--", "true", GCE_METADATA_HOST="127.0.0.1:1"),
        ]
        errors = [line for line in found if line["severity"] in ("ERROR", "CRITICAL")]
        self.assertGreaterEqual(len(errors), 2, found)
        for line in errors:
            for entry in self.forms(line):
                with self.subTest(message=line["message"], entry=sorted(entry)):
                    self.assertTrue(self.meets(entry))

    def test_it_meets_nothing_else(self):
        time = {"time": "2026-11-27T08:40:00.023Z"}
        for line in (
            {"severity": "WARNING", **time, "message": "refresh failed", "reason": "FB201"},
            {"severity": "INFO", **time, "message": "ready"},
            {"severity": "ERROR", **time, "message": "of a pipeline", "reason": "other"},
        ):
            for entry in self.forms(line):
                with self.subTest(message=line["message"], entry=sorted(entry)):
                    self.assertFalse(self.meets(entry))
