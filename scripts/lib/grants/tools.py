"""gcloud and aws: how they are called, and what their refusals mean."""

import json
import os
import re
import shutil
import subprocess
import time

from .names import Problem

INSTALL = {
    "gcloud": "https://cloud.google.com/sdk/docs/install",
    "aws": "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html",
}
SIGN_IN = {
    "gcloud": "gcloud auth login",
    "aws": "aws login, aws sso login or aws configure; AWS_PROFILE names the profile",
}

# "It is not there", in the words of both.
ABSENT = re.compile(
    r"NOT_FOUND|NoSuchEntity|not found|does not exist|could not be found|may not exist|\b404\b", re.IGNORECASE
)
NO_PERMISSION = re.compile(
    r"PERMISSION_DENIED|AccessDenied|does not have permission|not authorized|\b403\b", re.IGNORECASE
)
NOT_SIGNED_IN = re.compile(
    r"gcloud auth login|do(es)? not currently have an active account|Reauthentication|invalid_grant"
    r"|Unable to locate credentials|ExpiredToken|InvalidClientTokenId|SSO session|config profile .* could not be found",
    re.IGNORECASE,
)
API_OFF = re.compile(r"SERVICE_DISABLED|has not been used in project|API .* not enabled", re.IGNORECASE)
# What was made a moment ago is not known everywhere yet, or somebody else was quicker.
SOON = re.compile(
    r"Service account \S+ does not exist|concurrent policy changes|ABORTED|ConcurrentModification|Throttling"
    r"|RATE_LIMIT|try again later|\b(429|503)\b",
    re.IGNORECASE,
)
WAITS = (1, 2, 4, 8, 16)


class Refused(Exception):
    """A tool ended with an error."""

    def __init__(self, argv, said):
        super().__init__(said)
        self.argv = argv
        self.said = said

    def is_absent(self):
        """What was asked for is not there."""
        return ABSENT.search(self.said) is not None

    def explained(self, what):
        """As a problem that says what to do."""
        tool = self.argv[0]
        last = " ".join(self.said.split())[-600:] or "it ended without a word"
        return Problem(f"{what}: {tool} says: {last}\n  → {self.remedy()}")

    def remedy(self):
        """What to do, by what was said."""
        tool = self.argv[0]
        if NOT_SIGNED_IN.search(self.said):
            return f"sign in: {SIGN_IN[tool]}"
        if API_OFF.search(self.said):
            return "an API of the project is off: follow the link above, or gcloud services enable NAME"
        if "Identity Pool does not exist" in self.said:
            return "the project has no GKE cluster with Workload Identity yet: make it first, and run the same command again"
        if "bucket name is not available" in self.said:
            return "another project has a bucket of that name: name another one with --bucket"
        if "billing" in self.said.lower():
            return "give the project a billing account: https://cloud.google.com/billing/docs/how-to/modify-project"
        if "PassRole" in self.said or NO_PERMISSION.search(self.said):
            right = re.search(r"perform: (\S+)|[Pp]ermission '?([\w.]+)'?", self.said)
            right = f"you lack {right[1] or right[2]}" if right else "you lack a permission"
            return f"{right}: have somebody give it to you, and run the same command again; it goes on where it stopped"
        return f"mend that and run the same command again; the command was: {printed(self.argv)}"


def printed(argv):
    """As one would type it."""
    return " ".join(quoted(word) for word in argv)


def quoted(word):
    """For a shell, with quotes only where they are needed. `{{name}}` stands for the shell's variable."""
    parts = re.split(r"\{\{(\w+)\}\}", word)
    shown = ""
    for number, part in enumerate(parts):
        if number % 2:
            shown += f'"${part}"'
        elif part and not re.fullmatch(r"[\w@%+=:,./-]+", part, re.ASCII):
            shown += "'" + part.replace("'", "'\"'\"'") + "'"
        else:
            shown += part
    return shown or "''"


def run(argv):
    """What it printed.

    A refusal that passes is waited for, some thirty seconds.
    """
    program = shutil.which(argv[0])
    if program is None:
        raise Problem(f"{argv[0]} is not on PATH\n  → install it: {INSTALL[argv[0]]}")
    # Nothing is asked, and no pager waits for a key.
    environment = dict(os.environ, CLOUDSDK_CORE_DISABLE_PROMPTS="1", AWS_PAGER="")
    for wait in (*WAITS, None):
        done = subprocess.run(
            [program, *argv[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False
        )
        if done.returncode == 0:
            return done.stdout
        refused = Refused(argv, done.stderr.strip() or done.stdout.strip())
        if wait is None or not SOON.search(refused.said):
            raise refused
        time.sleep(wait)
    raise AssertionError("unreachable")


def ask(argv, absent=None):
    """The JSON that it printed; `absent` where what was asked for is not there."""
    try:
        answer = run([*argv, {"gcloud": "--format=json", "aws": "--output=json"}[argv[0]]])
    except Refused as refused:
        if refused.is_absent():
            return absent
        raise
    try:
        return json.loads(answer) if answer.strip() else absent
    except ValueError:
        raise Problem(f"{printed(argv)}: the answer is no JSON: {answer.strip()[:200]!r}") from None
