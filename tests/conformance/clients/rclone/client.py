"""rclone, which has Go's first SDK: one process that reads from S3 what it is asked for over HTTP, with one backend.

It asks for a web identity's keys where its S3 is, so with token-file it gets none here.
"""

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request

CLIENT = "rclone"


def version():
    first = subprocess.check_output(["rclone", "version"], text=True).splitlines()[0]
    return first.removeprefix("rclone v")


def operations():
    remote = {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_S3_TYPE": "s3",
        # "AWS" would look for a host named bucket.127.0.0.1.
        "RCLONE_CONFIG_S3_PROVIDER": "Other",
        # Without it, it looks for no credentials at all.
        "RCLONE_CONFIG_S3_ENV_AUTH": "true",
        "RCLONE_CONFIG_S3_ENDPOINT": os.environ["CONFORMANCE_S3"],
        "RCLONE_CONFIG_S3_REGION": os.environ["AWS_REGION"],
    }
    command = ["rclone", "rcd", "--rc-serve", "--rc-no-auth", "--rc-addr", "127.0.0.1:0"]
    server = subprocess.Popen(command, env={**os.environ, **remote}, stderr=subprocess.PIPE, text=True)
    atexit.register(server.kill)
    for line in server.stderr:
        if found := re.search(r"http://127\.0\.0\.1:[1-9]\d*/", line):
            break
    else:
        raise RuntimeError("rclone ended")
    threading.Thread(target=shutil.copyfileobj, args=(server.stderr, sys.stderr), daemon=True).start()
    address = f"{found[0]}[s3:{os.environ['CONFORMANCE_BUCKET']}]/{os.environ['CONFORMANCE_KEY']}"

    def read():
        try:
            with urllib.request.urlopen(address) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["error"]) from None

    return {"s3": read}
