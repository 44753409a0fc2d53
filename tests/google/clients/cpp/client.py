"""google-cloud-cpp, as pyarrow has it in it; run by tests/conformance/lib/pace.py."""

import functools
import os

import pyarrow
from pyarrow import fs

CLIENT = "google-cloud-cpp in pyarrow"
STORAGE, BUCKET = (os.environ[f"CONFORMANCE_{name}"] for name in ("STORAGE", "BUCKET"))


def version():
    return pyarrow.__version__


def operations():
    return {"storage": storage}


@functools.cache
def files():
    return fs.GcsFileSystem(endpoint_override=STORAGE.removeprefix("http://"), scheme="http")


def storage():
    with files().open_input_stream(f"{BUCKET}/words.txt") as stream:
        text = stream.read()
    if not text.startswith(b"Shall I compare thee"):
        raise ValueError(f"an object of other content: {text[:40]}")
