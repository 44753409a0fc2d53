"""Where the pods and instances of these tests live: a network of their own, in which the clouds have their own addresses.

The sandbox plays both clouds and verifies what it is sent. Names resolve as cluster DNS does it, by /etc/hosts, and what
is asked for at sts.eu-west-1.amazonaws.com, sts.googleapis.com, iamcredentials.googleapis.com and 169.254.169.254 is the
sandbox's. So a manifest is played as it stands, without a variable more. Images differ in one file from those that they
stand for: the sandbox's authority is among the certificates.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import select
import shutil
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "beam"))

import stage
from kubelet import own
from stage import DIRECT, Background, answers, free_port, post

ACCOUNT = "123456789012"
# What a busy machine may take for anything, in seconds; nothing that goes well waits for it.
PATIENCE = 150
SERVICE_ACCOUNT = "beam-worker@demo-project.iam.gserviceaccount.com"
METADATA = "169.254.169.254"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# What the webhooks of EKS put into each container, and where (docs.aws.amazon.com/eks).
IRSA = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
POD_IDENTITY = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"


def wait_until(what, condition):
    return stage.wait_until(what, condition, PATIENCE)


class Forwarder(socketserver.ThreadingTCPServer):
    """Bytes from one address to another."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, address, port):
        self.target = ("127.0.0.1", port)
        super().__init__(address, ForwarderHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class ForwarderHandler(socketserver.BaseRequestHandler):
    def handle(self):
        with contextlib.suppress(OSError), socket.create_connection(self.server.target) as there:
            ends = {self.request: there, there: self.request}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    if not (data := end.recv(65536)):
                        return
                    ends[end].sendall(data)


def add_address(address, number):
    """`ip address add ADDRESS/32 dev lo`, for machines without iproute2."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name = f"lo:{number}".encode()
        set_address, set_mask = 0x8916, 0x891C
        for request, value in ((set_address, address), (set_mask, "255.255.255.255")):
            fcntl.ioctl(any_socket, request, struct.pack("16sH2x4s8x", name, socket.AF_INET, socket.inet_aton(value)))


class Node:
    """A cloud and what runs in it; a context manager that ends all that it started."""

    def __init__(self, arguments, *options, aws=None):
        self.arguments, self.options, self.aws = arguments, options, aws
        self.ending = contextlib.ExitStack()
        self.variables = []
        self.mounts = {}

    def __enter__(self):
        with self.ending:
            self.place = pathlib.Path(self.ending.enter_context(tempfile.TemporaryDirectory(prefix="fedboot-places-")))
            (self.place / "pods").mkdir()
            # A copy is not replaced by a build, and whatever still runs it was started here.
            self.fedboot = pathlib.Path(shutil.copy2(self.arguments.fedboot, self.place / "fedboot"))
            self.start()
            self.ending = self.ending.pop_all()
        return self

    def __exit__(self, *_):
        self.ending.close()

    def start(self):
        if not self.aws:
            add_address(METADATA, 1)
        elif self.aws == "pod-identity":
            add_address("169.254.170.23", 2)
        elif self.aws == "imds":
            add_address(METADATA, 1)
        names = ("metadata", "control", "google-tls", "google-sts-tls")
        ports = {**{name: free_port() for name in names}, "sts-tls": 443}
        place = ["--aws", self.aws, "--real-addresses"] if self.aws in ("pod-identity", "imds") else []
        if self.aws and not place:
            place = ["--aws", self.aws]
        accounts = ["--service-account", SERVICE_ACCOUNT, "--role", f"arn:aws:iam::{ACCOUNT}:role/beam-worker"]
        if self.aws:
            accounts = ["--role", f"arn:aws:iam::{ACCOUNT}:role/reads-bigquery"]
        server = Background(
            "sandbox",
            [
                self.arguments.sandbox,
                *accounts,
                *place,
                *self.options,
                *(f"--port={name}={port}" for name, port in ports.items()),
            ],
            {"PATH": os.defpath, "TMPDIR": self.place},
            self.place / "sandbox.log",
        )
        self.ending.callback(server.stop)
        self.control = f"http://127.0.0.1:{ports['control']}"
        wait_until("the sandbox", lambda: server.check() or answers(self.control))
        self.hosts = [f"127.0.0.1 sts.{region}.amazonaws.com" for region in ("eu-west-1", "us-east-1")]
        addresses = {"127.0.0.2": ("sts.googleapis.com", 443, "google-sts-tls")}
        addresses["127.0.0.3"] = ("iamcredentials.googleapis.com", 443, "google-tls")
        if not self.aws:
            addresses[METADATA] = ("metadata.google.internal", 80, "metadata")
        for address, (name, port, of) in addresses.items():
            self.hosts.append(f"{address} {name}")
            forwarder = Forwarder((address, port), ports[of])
            self.ending.callback(forwarder.server_close)
            self.ending.callback(forwarder.shutdown)
        self.certificates = pathlib.Path(self.ask("")["ca_file"])
        self.place_identity()

    def place_identity(self):
        """What EKS gives a pod, by its webhooks' documentation."""
        given = dict(self.ask("")["env"])
        if self.aws == "web-identity":
            self.mounts[IRSA] = pathlib.Path(given["AWS_WEB_IDENTITY_TOKEN_FILE"]), "token"
            self.variables = [
                ("AWS_STS_REGIONAL_ENDPOINTS", "regional"),
                ("AWS_DEFAULT_REGION", "eu-west-1"),
                ("AWS_REGION", "eu-west-1"),
                ("AWS_ROLE_ARN", f"arn:aws:iam::{ACCOUNT}:role/reads-bigquery"),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", f"{IRSA}/token"),
            ]
        elif self.aws == "pod-identity":
            token = "eks-pod-identity-token"
            self.mounts[POD_IDENTITY] = pathlib.Path(given["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]), token
            self.variables = [
                ("AWS_STS_REGIONAL_ENDPOINTS", "regional"),
                ("AWS_DEFAULT_REGION", "eu-west-1"),
                ("AWS_REGION", "eu-west-1"),
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", f"{POD_IDENTITY}/{token}"),
            ]

    # What a kubelet asks for.

    def injected(self, _pod):
        return [{"name": name, "value": value} for name, value in self.variables]

    def injected_mounts(self, pod):
        mounts = []
        for number, (target, (source, name)) in enumerate(self.mounts.items()):
            volume = f"injected-{number}"
            if volume not in pod.volumes:
                directory = pod.place / "volumes" / volume
                directory.mkdir()
                shutil.copy(source, directory / name)
                own({"projected": {}}, directory, pod.spec)
                pod.volumes[volume] = directory
            mounts.append({"name": volume, "mountPath": target, "readOnly": True})
        return mounts

    def fill(self, volume, directory):
        if "configMap" in volume:
            assert volume["configMap"]["name"] == "google", volume
            (directory / "google.json").write_text(json.dumps(self.external_account()))
        elif "directory" in volume:
            # One that systemd makes for a unit.
            wanted = volume["directory"]
            directory.chmod(wanted["mode"])
            os.chown(directory, wanted["user"], wanted["group"])
        elif "emptyDir" not in volume:
            raise RuntimeError(f"nothing is known of the volume {volume}")

    def external_account(self):
        """The file that gcloud writes, with Google's own addresses."""
        account = self.ask("")["external_account"]
        account = json.loads(pathlib.Path(account).read_text()) if isinstance(account, str) else account
        account["token_url"] = "https://sts.googleapis.com/v1/token"
        if "service_account_impersonation_url" in account:
            path = account["service_account_impersonation_url"].split("/", 3)[3]
            account["service_account_impersonation_url"] = f"https://iamcredentials.googleapis.com/{path}"
        return account

    def expand(self, variables, texts):
        return self.kubernetes("expand", {"variables": variables, "texts": texts})

    def kubernetes(self, verb, question):
        command = [self.arguments.kubernetes, verb]
        return json.loads(subprocess.run(command, check=True, input=json.dumps(question), **CAPTURED).stdout)

    def image(self, reference):
        """What stands for an image; its name says what it holds."""
        name = reference.rpartition("/")[2].partition(":")[0]
        binary = {"/usr/local/bin/fedboot": str(self.fedboot)}
        image = {
            "entrypoint": [],
            "arguments": [],
            "environment": {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            "directory": "/",
            "user": 0,
            "system": name != "fedboot",
            "copy": {CERTIFICATES: str(self.certificates)},
        }
        if "fedboot" in name or name == "machine":
            image["copy"] |= binary
        if name == "app-fedboot":
            image["entrypoint"] = ["fedboot", "--"]
        if name == "machine" and self.aws:
            file = self.place / "google.json"
            file.write_text(json.dumps(self.external_account()))
            image["copy"] |= {"/etc/google.json": str(file)}
        if name in ("app", "app-fedboot", "vector", "php-app", "machine"):
            venv = self.venv()
            image["copy"] |= {str(venv): str(venv), "/app": str(HERE / "app"), "/opt/app": str(self.installed(venv))}
            command = [f"{venv}/bin/python", "-c", "import sys; print(sys.base_prefix)"]
            prefix = subprocess.run(command, check=True, **CAPTURED).stdout.strip()
            if not prefix.startswith("/usr"):
                image["copy"][prefix] = prefix
            image["environment"] |= {
                "PATH": f"{venv}/bin:{image['environment']['PATH']}",
                "PYTHONDONTWRITEBYTECODE": "1",
                "AWS_CA_BUNDLE": CERTIFICATES,
                "REQUESTS_CA_BUNDLE": CERTIFICATES,
            }
            image["directory"] = "/app"
            image["arguments"] = ["python", "plain.py"] if name in ("vector", "php-app") else ["python", "app.py"]
        return image

    def installed(self, venv):
        """The program as somebody has it on a machine: beside a Python of its own."""
        place = self.place / "opt-app"
        if not place.exists():
            shutil.copytree(HERE / "app", place)
            (place / "bin").mkdir()
            python = place / "bin/python"
            python.write_text(f'#!/bin/sh\nexec {venv}/bin/python "$@"\n')
            python.chmod(0o755)
        return place

    def venv(self):
        """That of the client that asks the other cloud."""
        return self.arguments.google if self.aws else self.arguments.boto3

    # What tests ask.

    def ask(self, path, body=None):
        if body is None:
            with DIRECT.open(f"{self.control}/{path}", timeout=30) as reply:
                return json.load(reply)
        status, _, answer = post(f"{self.control}/{path}", json.dumps(body).encode())
        assert status == 200, answer
        return json.loads(answer) if answer else None

    def issued(self):
        return self.ask("issued")

    def runs_fedboot(self):
        """The processes that run this node's fedboot."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and os.path.samestat(os.stat(entry / "exe"), self.fedboot.stat()):
                    found.append(int(entry.name))
        return found


CAPTURED = {"capture_output": True, "text": True}
