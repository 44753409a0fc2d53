"""The commands of examples/beam/README.md: Beam knows each flag in them. Nothing is launched; tests/docs has the others."""

import json
import re
import shlex
import subprocess

import checks
import stage

README = stage.HERE.parent.parent / "examples/beam/README.md"
# The pipelines' own.
OWN = {"--input", "--output"}
# All options that Beam's Python SDK knows; what it does not, and what Flink job servers it publishes and starts.
ASK = """
import argparse, inspect, json, sys
from apache_beam.options import pipeline_options
from apache_beam.runners.portability import flink_runner

def every(kind):
    for one in kind.__subclasses__():
        yield one
        yield from every(one)

parser = argparse.ArgumentParser(allow_abbrev=False, conflict_handler="resolve")
for kind in every(pipeline_options.PipelineOptions):
    kind._add_argparse_args(parser)
unknown = [parser.parse_known_args(arguments)[1] for arguments in json.loads(sys.argv[1])]
versions = pipeline_options.FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
print(json.dumps([unknown, versions, inspect.getsource(flink_runner)]))
"""


class Flags(checks.BeamTest):
    @classmethod
    def setUpClass(cls):
        blocks = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
        lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
        cls.commands = [shlex.split(line) for line in lines if line]

    def starting(self, program):
        found = [words[1:] for words in self.commands if words[0] == program]
        self.assertTrue(found)
        return found

    def test_python_and_flink(self):
        commands = self.starting("python")
        self.assertEqual(len(commands), 2)
        for words in commands:
            self.assertEqual(words[:2], ["-m", "apache_beam.examples.wordcount"])
        invented = ["--sdk_container_imag", "x"]
        asked = [words[2:] for words in commands]
        python = self.on_stage.beam / "bin/python"
        answer = subprocess.run(
            [python, "-c", ASK, json.dumps([*asked, invented])], check=True, capture_output=True, text=True
        )
        (*unknown, unknown_invented), versions, source = json.loads(answer.stdout.splitlines()[-1])
        for words in unknown:
            self.assertLessEqual({word for word in words if word.startswith("--")}, OWN)
        self.assertEqual(unknown_invented, invented, "or this would show nothing")

        (words,) = self.starting("docker")
        version, beam = re.search(r"beam_flink([\d.]+)_job_server:([\d.]+)", " ".join(words)).groups()
        self.assertIn(version, versions)
        pinned = (stage.HERE / "requirements-beam.txt").read_text()
        self.assertIn(f"apache-beam=={beam}\n", pinned)
        flag = words[-1].partition("=")[0]
        self.assertIn(f"'{flag}'", source)
