"""Runs a client that is written in Python: `pace.py CLIENT.PY`.

The module has `CLIENT`, `version()`, and `operations()`, which makes the client and returns what it can do: the name
of each operation ("s3", "sts") with a function that does it once. `EACH_CALL` if it starts a process each time.
"""

import json
import os
import runpy
import sys
import time


def say(**line):
    print(json.dumps(line), flush=True)


def main():
    client = runpy.run_path(sys.argv[1])
    interval = max(float(os.environ["CONFORMANCE_INTERVAL"]), client.get("SLOWEST", 0))
    say(client=client["CLIENT"], version=client["version"](), **({"each_call": True} if "EACH_CALL" in client else {}))
    end = time.monotonic() + float(os.environ["CONFORMANCE_SECONDS"])
    operations = {}

    def make():
        operations.update(client["operations"]())

    while (start := time.monotonic()) < end:
        if not operations:
            # Some look for credentials as soon as they are made: that is a failed request like any other.
            attempt("s3", make, silent=True)
        for name, call in operations.items():
            attempt(name, call)
        time.sleep(max(0.0, start + interval - time.monotonic()))


def attempt(operation, call, *, silent=False):
    at, error = time.time(), None
    try:
        call()
    # Whatever it raises is its answer.
    except Exception as caught:  # noqa: BLE001
        error = f"{type(caught).__name__}: {caught}".replace("\n", " ")[:300]
    if error or not silent:
        say(at=at, operation=operation, error=error)


if __name__ == "__main__":
    main()
