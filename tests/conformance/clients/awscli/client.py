"""The aws command, as a script would call it: a new process for each request."""

import importlib.metadata
import os
import pathlib
import subprocess
import sys

CLIENT, EACH_CALL = "aws CLI", True
# A call takes most of a second of processor time.
SLOWEST = 4


def version():
    return importlib.metadata.version("awscli")


def operations():
    bucket, key = os.environ["CONFORMANCE_BUCKET"], os.environ["CONFORMANCE_KEY"]
    return {
        "s3": lambda: aws("s3", "s3api", "get-object", "--bucket", bucket, "--key", key, "/dev/null"),
        "sts": lambda: aws("sts", "sts", "get-caller-identity"),
    }


def aws(service, *words):
    program = pathlib.Path(sys.executable).with_name("aws")
    endpoint = os.environ[f"CONFORMANCE_{service.upper()}"]
    done = subprocess.run([program, "--endpoint-url", endpoint, *words], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
