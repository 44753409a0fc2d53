"""Both clouds behind the stand-ins in bin/: gcloud.py, and the real aws CLI against moto's IAM, in one process."""

import contextlib
import io
import json
import logging
import os
import signal
import socket
import tempfile
import threading

os.environ.update(
    AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE",
    AWS_SECRET_ACCESS_KEY="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    AWS_DEFAULT_REGION="eu-west-1",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
)
for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN"):
    os.environ.pop(name, None)

import boto3
from awscli.clidriver import create_clidriver
from gcloud import READS, Google, Refusal
from moto.server import ThreadedMotoServer

ACCOUNT = "123456789012"


class Clouds:
    """A server for the stand-ins; each call is noted."""

    def __init__(self):
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        self.moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.moto.start()
        host, port = self.moto.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        os.environ["AWS_ENDPOINT_URL"] = self.endpoint
        self.place = tempfile.TemporaryDirectory(prefix="grants-")
        self.path = os.path.join(self.place.name, "s")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.driver = create_clidriver()
        self.reset()
        threading.Thread(target=self.serve, daemon=True).start()

    def reset(self, **google):
        """Two empty accounts."""
        self.google = Google(**google)
        self.calls = []
        # What the aws CLI answers instead: words of the command → what is said to stderr.
        self.aws_refuses = {}
        # The caller is killed when it has changed so many things.
        self.kill_after = None
        with contextlib.closing(socket.create_connection(self.endpoint[7:].split(":"))) as connection:
            connection.sendall(
                b"POST /moto-api/reset HTTP/1.1\r\nHost: moto\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            connection.makefile("rb").read()
        # AWS's own policies take moto a second to load.
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}
        self.iam().create_policy(PolicyName="reads", PolicyDocument=json.dumps(document))

    def iam(self):
        """To look at AWS behind the script's back."""
        return boto3.client("iam", endpoint_url=self.endpoint)

    def changes(self):
        """The calls that change something."""
        return [argv for argv in self.calls if not is_reading(argv)]

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            with connection, connection.makefile() as lines:
                call = json.loads(lines.readline())
                answer = self.answer(call["argv"], call["where"])
                if self.kill_after is not None and len(self.changes()) >= self.kill_after:
                    os.kill(call["caller"], signal.SIGKILL)
                    self.kill_after = None
                connection.sendall(json.dumps(answer).encode() + b"\n")

    def answer(self, argv, where):
        self.calls.append(argv)
        out, err = io.StringIO(), io.StringIO()
        try:
            if argv[0] == "gcloud":
                return {"code": 0, "stdout": self.google.call(argv, where), "stderr": ""}
            for words, said in self.aws_refuses.items():
                if " ".join(argv).startswith(words):
                    return {"code": 254, "stdout": "", "stderr": said}
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = self.driver.main(argv[1:])
            return {"code": code, "stdout": out.getvalue(), "stderr": err.getvalue()}
        except Refusal as refusal:
            return {"code": refusal.code, "stdout": "", "stderr": f"{refusal}\n"}
        except SystemExit as end:
            return {"code": end.code, "stdout": out.getvalue(), "stderr": err.getvalue()}
        except Exception as error:  # noqa: BLE001
            return {"code": 99, "stdout": "", "stderr": f"the stand-in is wrong: {error!r}\n"}


def is_reading(argv):
    """Whether a call changes nothing."""
    words = argv[1:4]
    if argv[0] == "aws":
        return words[1].startswith(("get-", "list-"))
    return any(word in READS for word in argv[1:5])
