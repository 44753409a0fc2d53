"""Between fedboot and a client, to count: how often does the client ask for credentials, and how early?

    launch.py PLACE COMMAND…

It changes one thing: what the client asks (the endpoint, or the process line of the profile) is behind a counter.
PLACE gets `client.jsonl` (what the client printed), `answers.jsonl` (time and expiration of each answer),
and, where the last request had failed, `again.jsonl`: what a second, new process of the client printed.
"""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import threading
import urllib.parse

import cloud

# What a request may take that has to wait for all of a library's own retries.
PATIENCE = 60


def main():
    place, command = pathlib.Path(sys.argv[1]), sys.argv[2:]
    environment = dict(os.environ)
    answers = place / "answers.jsonl"
    if uri := environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        url = urllib.parse.urlsplit(uri)
        counter = cloud.Counter(url.netloc, Notes(answers).add)
        environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = counter.url + url.path
    wrap_process(environment, place, answers)
    run(command, environment, place / "client.jsonl")
    if not last_went_well(place / "client.jsonl"):
        environment["CONFORMANCE_SECONDS"] = "1"
        run(command, environment, place / "again.jsonl")


class Notes:
    def __init__(self, path):
        self.path, self.lock = path, threading.Lock()

    def add(self, at, expiration):
        with self.lock, self.path.open("a") as file:
            file.write(json.dumps([at, expiration]) + "\n")


def wrap_process(environment, place, answers):
    """Leads to a copy of the credentials file whose process lines note each answer."""
    file = pathlib.Path(environment.get("AWS_SHARED_CREDENTIALS_FILE", ""))
    if not file.is_file() or "credential_process" not in (text := file.read_text()):
        return
    noting = place / "noting"

    def through(line):
        return f"{line[1]}{shlex.quote(str(noting))} {line[2]}"

    noting.write_text(
        '#!/bin/sh\nat=$(date +%s.%N)\nanswer=$("$@")\ncode=$?\nprintf "%s\\n" "$answer"\n'
        'expiration=$(printf "%s" "$answer" | sed -n \'s/.*"Expiration": *"\\([^"]*\\)".*/\\1/p\')\n'
        f'[ -z "$expiration" ] || echo "[$at, $(date -d "$expiration" +%s)]" >>{shlex.quote(str(answers))}\n'
        "exit $code\n"
    )
    noting.chmod(0o755)
    # A copy: the agent would put the file itself right again. Java's first SDK does not know the usual variable, and
    # finds the file in the home directory.
    copy = place / "credentials"
    copy.touch(mode=0o600)
    copy.write_text(re.sub(r"(?m)^(\s*credential_process\s*=\s*)(.*)$", through, text))
    environment.update(AWS_SHARED_CREDENTIALS_FILE=str(copy), AWS_CREDENTIAL_PROFILES_FILE=str(copy))


def run(command, environment, output):
    seconds = float(environment["CONFORMANCE_SECONDS"]) + PATIENCE
    with output.open("w") as file:
        try:
            code = subprocess.run(command, env=environment, stdout=file, timeout=seconds, check=False).returncode
        except subprocess.TimeoutExpired:
            sys.exit(f"the client did not end {PATIENCE} s after its time")
    if code:
        sys.exit(f"the client ended with {code}")


def last_went_well(output):
    lines = output.read_text().splitlines()
    return len(lines) > 1 and json.loads(lines[-1])["error"] is None


if __name__ == "__main__":
    main()
