"""gcloud's CLI: a process for each request; run by tests/conformance/lib/pace.py."""

import os
import shutil
import subprocess
import urllib.request

CLIENT = "gcloud"
EACH_CALL = True
# A second of a core for each call, and several of them.
SLOWEST = 3
STORAGE, SERVICE, BUCKET = (os.environ[f"CONFORMANCE_{name}"] for name in ("STORAGE", "SERVICE", "BUCKET"))
OBJECT = "words.txt"


def version():
    return gcloud("version", "--format=value('Google Cloud SDK')")


def operations():
    wanted = os.environ["CONFORMANCE_OPERATIONS"].split()
    everything = {"auth": print_access_token, "id": print_identity_token, "storage": storage}
    return {name: everything[name] for name in wanted}


def gcloud(*words):
    command = [shutil.which("gcloud"), *words, "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(" ".join(done.stderr.split())[-300:])
    return done.stdout.strip()


def print_access_token():
    request(f"{STORAGE}/storage/v1/b/{BUCKET}/o/{OBJECT}", gcloud("auth", "print-access-token"))


def print_identity_token():
    request(SERVICE, gcloud("auth", "print-identity-token", f"--audiences={SERVICE}"))


def storage():
    listed = gcloud("storage", "ls", f"gs://{BUCKET}")
    if listed != f"gs://{BUCKET}/{OBJECT}":
        raise ValueError(f"another list: {listed}")


def request(url, token):
    urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})).close()
