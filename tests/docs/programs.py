"""How the commands of the documentation are checked: a table of programs, each with whatever knows its words."""

import functools
import importlib.util
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess

import shell

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Nobody listens there: what gets so far has understood its words.
NOBODY = "127.0.0.1:1"
# What fedboot misses here and has where the command is meant for: a role, a provider, a command, an agent.
MISSING = {"FB003", "FB004", "FB011", "FB012", "FB014"}
# Programs whose words are a command.
WRAPPERS = {"exec", "sudo", "nice", "time", "env", "command"}
BUILTINS = {"cd", "echo", "exit", "export", "set", "source", ".", "kill", "wait", "printf", "mkdir", "cat"}
# The rest: nothing here knows their words.
UNCHECKED = {
    "curl": "the words of others' programs",
    "jq": "the words of others' programs",
    "docker": "there is no docker here",
    "kubectl": "there is no kubectl here",
    **dict.fromkeys(
        ("flink", "jobmanager.sh", "taskmanager.sh", "sql-client.sh", "spark-class", "spark-submit", "ray", "dask"),
        "tests/engines runs these very commands",
    ),
}
# Options in the text that are neither fedboot's nor Beam's.
OTHERS = {
    "--dry-run": "scripts/setup-*",
    "--undo": "scripts/setup-*",
    "--quick": "tests/*/run",
    "--profile": "SDKs of AWS",
    "--build-arg": "docker build",
    "--lifetime": "dask worker",
    "--lifetime-restart": "dask worker",
    "--num-cpus": "ray start",
    "--block": "ray start",
    "--no-cpu-throttling": "gcloud run deploy",
}
# What stands for the reader's own program.
STAND_INS = {"COMMAND", "app", "app.py", "job.py", "/opt/apache/beam/boot", "sh"}


class Checkers:
    """`check` says what is wrong with a command, or nothing; `skipped` is what could not be checked here, and why."""

    def __init__(self, arguments, files):
        self.fedboot, self.sandbox = arguments.fedboot, arguments.sandbox
        self.beam, self.awscli = arguments.beam, arguments.awscli
        self.files = set(files)
        self.skipped, self.counts = {}, {}
        self.home = pathlib.Path(arguments.home)
        (self.home / "policy.json").write_text(json.dumps({"Version": "2012-10-17", "Statement": []}))
        (self.home / "google.json").write_text((HERE / "google.json").read_text())
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "FEDBOOT_TIMEOUT": "1s",
            "GCE_METADATA_HOST": NOBODY,
            "AWS_ENDPOINT_URL": f"http://{NOBODY}",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_MAX_ATTEMPTS": "1",
        }

    def prepare(self):
        """What is read once, before many threads want it."""
        gcloud_tree()
        beam_options(self.beam)
        go_options()

    def run(self, words):
        return subprocess.run(
            words,
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            input="",
        )

    def check(self, words, is_mention=False):
        """What is wrong with this command; one that the text mentions may lack a value."""
        if words[0].startswith("$"):
            return None
        name = words[0].rsplit("/", 1)[-1]
        self.counts[name] = self.counts.get(name, 0) + 1
        if words[0] in self.files:
            return self.own_script(words)
        if words[0] in STAND_INS or name in BUILTINS:
            return None
        if name == "eval":
            return next(filter(None, (self.check(one) for word in words[1:] for one in shell.commands(word))), None)
        if name in WRAPPERS:
            rest = shell.without_shell(drop_flags(words[1:]))
            return self.check(rest) if rest else None
        if checker := getattr(self, f"of_{name.replace('-', '_')}", None):
            return checker(words, is_mention) if name == "fedboot" else checker(words)
        if name in UNCHECKED:
            self.skipped[name] = UNCHECKED[name]
            return None
        return f"nothing here knows how to check {name!r}: see the table in tests/docs/programs.py"

    def unknown_options(self, options):
        """Of `(place, --option)` those that neither fedboot nor a program of OTHERS has."""
        known = set(re.findall(r"--[a-z0-9-]+", self.run([self.fedboot, "--help"]).stdout)) | {"--help", "--version"}
        sandbox = set(re.findall(r"--[a-z0-9-]+", self.run([self.sandbox, "--help"]).stdout))
        beam = beam_options(self.beam) | {f"--{name}" for name in java_options()}
        for place, option in options:
            whose = known | (sandbox if place.startswith("sandbox/") else set()) | beam | set(OTHERS)
            if option not in whose:
                yield f"{place}: `{option}` is no option of fedboot, of Beam or of OTHERS in tests/docs/programs.py"

    # Of this project.

    def of_fedboot(self, words, is_mention=False):
        """By fedboot itself, with nobody to ask: it must get beyond its words."""
        own, _, command = split(words, "--")
        if problem := self.check(command) if command else None:
            return problem
        if own[1:2] == ["help"] or {"--help", "--version"} & set(own):
            return None if self.run([self.fedboot, *own[1:]]).returncode == 0 else f"{words} is no help"
        done = self.run([self.fedboot, *own[1:], *(["--", "/nonexistent"] if "--" in words else [])])
        # The text may name a verb or a flag without what it takes.
        if is_mention and ("has no value" in done.stderr or "prints one kind of token" in done.stderr):
            return None
        reasons = set(re.findall(r"FB\d{3}", done.stderr))
        wrong = {reason for reason in reasons if reason < "FB100"} - MISSING
        return f"fedboot says: {done.stderr.strip()}" if wrong else None

    def of_fedboot_sandbox(self, words):
        own, _, command = split(words, "--")
        if problem := self.check(command) if command else None:
            return problem
        done = self.run([self.sandbox, "--quiet", *own[1:], "--", "true"])
        return None if done.returncode == 0 else f"fedboot-sandbox says: {done.stderr.strip()}"

    def own_script(self, words):
        """It is there, can be run, and its usage or its source has the flags."""
        path = ROOT / words[0]
        if not os.access(path, os.X_OK):
            return f"{words[0]} is not executable"
        # A script may hand its words on to a program beside it.
        beside = [file.read_text(errors="replace") for file in sorted(path.parent.glob("*.py"))]
        known = "".join([path.read_text(errors="replace"), *beside])
        flags = {word.partition("=")[0] for word in words[1:] if word.startswith("--")}
        missing = [flag for flag in flags if not re.search(rf"{re.escape(flag)}\b(?!-)", known)]
        return f"{words[0]} knows no {' '.join(sorted(missing))}" if missing else None

    def of_pulumi(self, words):
        """Settings and outputs by the programs in examples/pulumi; the verbs are few."""
        if words[1:3] in (["config", "set"], ["stack", "output"]):
            name = next(word for word in words[3:] if not word.startswith("-"))
            return None if f'"{name}"' in sources("examples/pulumi", "*.py") else f"no program there knows {name!r}"
        return None if words[1:3] in (["stack", "init"], ["up"]) else "no such verb is known here"

    def of_terraform(self, words):
        """Outputs by the files in examples/terraform; the verbs are few."""
        if words[1] == "output":
            output = f'output "{words[-1]}"'
            return None if output in sources("examples/terraform", "*.tf") else f"no file there has {output}"
        return None if words[1] in ("init", "plan", "apply", "validate") else "no such verb is known here"

    def of_cargo(self, words):
        """The names of subcommands, tests and packages; the rest is cargo's."""
        for flag, word in itertools.pairwise(words):
            if flag == "--test" and not {f"tests/{word}.rs", f"tests/{word}/main.rs"} & self.files:
                return f"there is no test {word!r}"
            if flag in ("-p", "--package") and word != "fedboot":
                folder = word.removeprefix("fedboot-")
                if f"{folder}/Cargo.toml" not in self.files:
                    return f"there is no package {word!r}"
        done = subprocess.run(["cargo", "--list"], capture_output=True, text=True, check=False, cwd=ROOT)
        return None if re.search(rf"^ +{words[1]}\b", done.stdout, re.MULTILINE) else f"cargo has no {words[1]!r}"

    # Of the clouds.

    def of_gcloud(self, words):
        """By gcloud's own tree of verbs and flags, which it completes command lines from."""
        tree = gcloud_tree()
        if tree is None:
            self.skipped["gcloud"] = "there is no gcloud here whose tree can be read"
            return None
        node, rest = tree, words[1:]
        while rest and rest[0] in node["commands"]:
            node, rest = node["commands"][rest[0]], rest[1:]
        if node["commands"]:
            return f"gcloud has no {' '.join(words[1:4])}"
        flags = {**tree["flags"], **node["flags"]}
        while rest:
            word, rest = rest[0], rest[1:]
            if not word.startswith("--"):
                continue
            flag, equals, value = word.partition("=")
            kind = flags.get(flag) or (flag.startswith("--no-") and flags.get(f"--{flag[5:]}") == "bool" and "bool")
            if not kind:
                return f"gcloud {' '.join(words[1:5])} … has no {flag}"
            if kind == "bool":
                continue
            if not equals:
                if not rest:
                    return f"{flag} has no value"
                value, rest = rest[0], rest[1:]
            if isinstance(kind, list) and value.lower() not in map(str.lower, kind):
                return f"{flag} is one of {kind}, not {value!r}"
        return None

    def of_aws(self, words):
        """By the aws CLI, with nobody to ask: parameters are checked against the service's model before."""
        values = [re.sub(r"\$\(.*?\)|\$\{?\w+\}?", "value", word) for word in words[1:]]
        values = [re.sub(r"^file://", f"file://{ROOT}/", value) for value in values]
        done = self.run([f"{self.awscli}/bin/python", f"{self.awscli}/bin/aws", *values])
        asked = "Could not connect to the endpoint URL" in done.stderr or done.returncode == 0
        return None if asked else f"aws says: {done.stderr.strip()[-300:]}"

    # Of Beam.

    def of_python(self, words):
        if words[1:3] == ["-m", "apache_beam.examples.wordcount"] or "DataflowRunner" in words:
            return unknown("Beam", words[2:], {"--input", "--output"} | beam_options(self.beam))
        if words[1] in ("-m", "-c"):
            return f"nothing here knows how to check python {words[1]} {words[2]}"
        if words[1] in STAND_INS:
            return None
        programs = [file for file in self.files if file.startswith("examples/") and file.endswith(f"/{words[1]}")]
        if not programs:
            return f"{words[1]} is no program that the text speaks of"
        texts = [(ROOT / file).read_text() for file in programs]
        known = set.union(*(set(re.findall(r"[\"'](--[\w-]+)[\"']", text)) for text in texts))
        return unknown(words[1], words[2:], known)

    def of_go(self, words):
        options = go_options()
        if options is None:
            self.skipped["go run"] = "Beam's Go module is not on this machine"
            return None
        return unknown("Beam for Go", words[3:], {"--input", "--output"} | options)

    def of_mvn(self, words):
        """The options of the job, by those of Beam's classes; what Maven takes is Maven's."""
        given = " ".join(word.partition("=")[2] for word in words if word.startswith("-Dexec.args="))
        return unknown(
            "Beam for Java", given.split(), {"--inputFile", "--output"} | {f"--{name}" for name in java_options()}
        )

    def of_pip(self, words):
        done = self.run([f"{self.beam}/bin/python", "-m", "pip", words[1], "--help"])
        return unknown("pip", words[2:], set(re.findall(r"--[a-z-]+", done.stdout)))


def sources(folder, *patterns):
    return "".join(file.read_text() for pattern in patterns for file in sorted((ROOT / folder).rglob(pattern)))


def split(words, word):
    """What stands before and behind the first `word`."""
    at = words.index(word) if word in words else len(words)
    return words[:at], words[at : at + 1], words[at + 1 :]


def drop_flags(words):
    """`env -u NAME -i`, `nice -n 5`: the command's own words begin behind them."""
    while words and words[0].startswith("-"):
        words = words[2 if words[0] in ("-u", "-n") else 1 :]
    return words


def unknown(whose, words, options):
    wrong = [word for word in words if word.startswith("--") and word.partition("=")[0] not in options]
    return f"{whose} has no {' '.join(wrong)}" if wrong else None


@functools.cache
def gcloud_tree():
    program = shutil.which("gcloud")
    place = program and pathlib.Path(program).resolve().parent.parent / "data/cli/gcloud_completions.py"
    if not place or not place.exists():
        return None
    spec = importlib.util.spec_from_file_location("gcloud_completions", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.STATIC_COMPLETION_CLI_TREE


@functools.cache
def beam_options(venv):
    """All options of Beam's own classes, as its parser has them."""
    code = """
import argparse
from apache_beam.options.pipeline_options import PipelineOptions
def every(kind):
    for one in kind.__subclasses__():
        yield from (one, *every(one))

parser = argparse.ArgumentParser(conflict_handler="resolve")
for options in every(PipelineOptions):
    options._add_argparse_args(parser)
print(" ".join(name for action in parser._actions for name in action.option_strings))
"""
    done = subprocess.run([f"{venv}/bin/python", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@functools.cache
def java_options():
    return set(json.loads((HERE / "java-options.json").read_text())["options"])


@functools.cache
def go_options():
    """The flags that the packages of Beam's Go module define."""
    version = re.search(r"BEAM_VERSION=(\S+)", (ROOT / "scripts/lib/setup.sh").read_text())[1]
    if not shutil.which("go"):
        return None
    cache = subprocess.run(["go", "env", "GOMODCACHE"], capture_output=True, text=True, check=True).stdout.strip()
    module = pathlib.Path(cache) / f"github.com/apache/beam/sdks/v2@v{version}/go/pkg/beam"
    if not module.is_dir():
        return None
    files = [file for folder in ("options", "runners") for file in sorted((module / folder).rglob("*.go"))]
    # Either name or, with flag.Var, the variable comes first.
    pattern = r"flag\.\w+\((?:&?[\w.]+,\s*)?\"([a-z_0-9]+)\""
    return {f"--{name}" for file in files for name in re.findall(pattern, file.read_text())}
