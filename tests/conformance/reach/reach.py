"""Whether clients that have rules of their own reach the credentials: with variables that exclude each other, behind a
proxy, as another user. Each row has a counterpart that shows what it is about.

Called by `run` beside it, which has built the clients.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parent.parent / "beam")]
import cloud
import run as conformance
import stage

# A user whom no /etc/passwd knows.
USER = "4242"
IDENTITY = r"arn:aws:sts::\d+:assumed-role/beam-worker/"
ASK = """
url=${AWS_CONTAINER_CREDENTIALS_FULL_URI#http://}
host=${url%%/*}
exec 3<>"/dev/tcp/${host%:*}/${host#*:}"
printf 'GET /%s HTTP/1.1\\r\\nHost: %s\\r\\nConnection: close\\r\\n\\r\\n' "${url#*/}" "$host" >&3
cat <&3
"""


class Proxy(cloud.Server):
    """A proxy that hands nothing on, and keeps what it was asked."""

    def __init__(self):
        self.asked = []
        super().__init__(ProxyHandler)


class ProxyHandler(cloud.Handler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.reply(502, [], b"")

    do_CONNECT = do_PUT = do_POST = do_HEAD = do_GET


class Clients:
    """fedboot in front of clients, and the clouds."""

    def __init__(self, arguments, place, ending):
        self.arguments, self.place = arguments, pathlib.Path(place)
        # For another user, too.
        self.place.chmod(0o755)
        self.fedboot = shutil.copy2(arguments.fedboot, self.place / "fedboot")
        self.go = arguments.go and shutil.copy2(arguments.go, self.place / "go")
        (self.place / "home").mkdir(mode=0o700)
        (self.place / "run").mkdir()
        (self.place / "run").chmod(0o1777)
        self.sandbox = conformance.Sandbox(arguments.sandbox, self.place)
        ending.callback(self.sandbox.server.stop)
        self.ca_file = pathlib.Path(self.sandbox.get("/")["ca_file"])
        self.ca_file.parent.chmod(0o755)
        keys = cloud.Keys(lambda: self.sandbox.get("/issued"))
        self.s3 = ending.enter_context(cloud.S3(HERE.parent / "bucket", keys))
        self.proxy = ending.enter_context(Proxy())

    def run(self, *command, options=(), variables=None):
        """The outcome, less what fedboot itself says, and that."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": self.place / "home",
            "TMPDIR": self.place / "run",
            "XDG_RUNTIME_DIR": self.place / "run",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "GCE_METADATA_HOST": self.sandbox.urls["metadata"].removeprefix("http://"),
            "AWS_CA_BUNDLE": self.ca_file,
            "AWS_REGION": cloud.REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            # A remark about this machine's Node.js.
            "AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED": "true",
            "AWS_ENDPOINT_URL_S3": self.s3.url,
            "AWS_ENDPOINT_URL_STS": self.sandbox.urls["sts_http"],
            "CONFORMANCE_S3": self.s3.url,
            "CONFORMANCE_STS": self.sandbox.urls["sts_http"],
            "CONFORMANCE_BUCKET": cloud.BUCKET,
            "CONFORMANCE_KEY": "words.txt",
            "CONFORMANCE_SECONDS": "1",
            "CONFORMANCE_INTERVAL": "0.5",
            **(variables or {}),
        }
        # Over TLS, so that no proxy for http: is in between.
        words = [self.fedboot, "--role-arn", stage.ROLE, "--sts-endpoint", self.sandbox.urls["sts"]]
        words += ["--log-format", "json", *options, "--", *command]
        done = subprocess.run(
            [str(word) for word in words],
            env={name: str(value) for name, value in environment.items()},
            cwd=self.place,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        lines = done.stderr.splitlines(keepends=True)
        done.log = [json.loads(line) for line in lines if line.startswith('{"severity"')]
        done.stderr = "".join(line for line in lines if not line.startswith('{"severity"'))
        return done

    def javascript(self, version, *before):
        return self.run(*before, "node", self.arguments.node / "client.js", version)

    def cdk(self, *before):
        return self.run(
            *(*before, "node", self.arguments.node / "node_modules/aws-cdk/bin/cdk", "list", "--app", HERE / "app"),
            *("--output", self.place / "cdk.out", "--no-notices", "--no-version-reporting"),
        )

    def python(self, name):
        return self.arguments.obstore, HERE.parent / "lib/pace.py", HERE.parent / f"clients/{name}/client.py"


# Where both are set, some find nothing.
BOTH = ("env", "AWS_CONTAINER_AUTHORIZATION_TOKEN=fedboot")


def said(done):
    return f"{done.returncode}: {done.stdout}{done.stderr}"


def cdk(clients):
    done = clients.cdk()
    assert f"account={stage.ACCOUNT}\n" in done.stdout + done.stderr, said(done)
    done = clients.cdk(*BOTH)
    assert f"account={stage.ACCOUNT}\n" not in done.stdout + done.stderr, said(done)


def node_844(clients):
    done = clients.javascript("844")
    assert re.fullmatch(IDENTITY + r".*\n\[\]\n", done.stdout) and not done.stderr, said(done)
    done = clients.javascript("844", *BOTH)
    assert done.returncode != 0, said(done)


def node_1174(clients):
    done = clients.javascript("1174")
    assert re.fullmatch(IDENTITY + r".*\n\[\]\n", done.stdout) and not done.stderr, said(done)
    done = clients.javascript("1174", *BOTH)
    assert "AuthorizationToken" in done.stdout + done.stderr, said(done)


def answers(done):
    """Whether a client of the suite got what it asked for, each time."""
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    errors = [line["error"] for line in lines[1:]]
    return done.returncode == 0 and len(errors) > 0 and not any(errors)


def behind_proxies(clients):
    return {name: clients.proxy.url for name in ("http_proxy", "HTTP_PROXY")}


def obstore(clients):
    done = clients.run(*clients.python("obstore"), variables=behind_proxies(clients))
    assert answers(done) and not clients.proxy.asked, f"{said(done)}{clients.proxy.asked}"
    # What stands in the list already is of no use to some.
    lists = {"NO_PROXY": "*", "no_proxy": "localhost 127.0.0.1 127.0.0.0/8"}
    done = clients.run(*clients.python("obstore"), variables={**behind_proxies(clients), **lists})
    assert answers(done) and not clients.proxy.asked, f"{said(done)}{clients.proxy.asked}"
    bare = ("env", "-u", "NO_PROXY", "-u", "no_proxy")
    done = clients.run(*bare, *clients.python("obstore"), variables=behind_proxies(clients))
    assert any("/v1/credentials" in asked for asked in clients.proxy.asked), said(done)
    clients.proxy.asked.clear()


def go_v1(clients):
    done = clients.run(clients.go, "v1", variables=behind_proxies(clients))
    assert answers(done) and not clients.proxy.asked, f"{said(done)}{clients.proxy.asked}"


def another_user(clients):
    become = ("setpriv", "--reuid", USER, "--regid", USER, "--clear-groups")
    for generation in ("v1", "v2"):
        done = clients.run(*become, clients.go, generation, options=("--owner", USER))
        assert answers(done), said(done)
        assert not any("--owner" in event["message"] for event in done.log), done.log
    # Without it the files are root's: that is said, and whoever needs no file is served.
    done = clients.run(*become, clients.go, "v2")
    assert not answers(done), said(done)
    assert any(event["message"].endswith(f"say --owner {USER}") for event in done.log), done.log
    done = clients.run(*become, "bash", "-c", ASK)
    assert done.stdout.startswith("HTTP/1.1 200 ") and '"AccessKeyId"' in done.stdout, done.stdout[:40]


def rows(arguments):
    """Name, what it does, and why it cannot."""
    no_node = None if arguments.node else "npm and Node.js of version 20 or newer are needed"
    no_go = None if arguments.go else "no Go that is new enough"
    no_user = no_go if os.geteuid() == 0 and shutil.which("setpriv") else "not root, or no setpriv"
    return [
        ("AWS CDK 2.1026", cdk, no_node),
        ("Node.js SDK 3.844 with a logger", node_844, no_node),
        ("Node.js SDK 3.1174 with a logger", node_1174, no_node),
        ("obstore behind a proxy", obstore, None if arguments.obstore else "no obstore"),
        ("Go SDK v1 behind a proxy", go_v1, no_go),
        ("another user", another_user, no_user),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedboot", required=True, type=pathlib.Path)
    parser.add_argument("--sandbox", required=True, type=pathlib.Path)
    parser.add_argument("--obstore", type=pathlib.Path, help="the Python that has it")
    parser.add_argument("--go", type=pathlib.Path, help="the suite's client in Go")
    parser.add_argument("--node", type=pathlib.Path, help="the directory of node/ with what it needs")
    arguments = parser.parse_args()
    if why := stage.isolate():
        print(f"   not in a network of its own: {why}", file=sys.stderr)
    os.environ.update(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    count = {"passed": 0, "failed": 0, "skipped": 0}
    with tempfile.TemporaryDirectory(prefix="fedboot-reach-") as place, contextlib.ExitStack() as ending:
        clients = Clients(arguments, place, ending)
        for name, row, lack in rows(arguments):
            if lack:
                count["skipped"] += 1
                print(line := f"SKIP reach {name}: {lack}", flush=True)
                if skips := os.environ.get("FEDBOOT_SKIPS"):
                    with open(skips, "a") as file:
                        file.write(f"{line}\n")
                continue
            try:
                row(clients)
            # Whatever it raises is the row's failure.
            except Exception as error:  # noqa: BLE001
                count["failed"] += 1
                print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
            else:
                count["passed"] += 1
                print(f"ok   {name}", flush=True)
    print("reach: " + ", ".join(f"{number} {word}" for word, number in count.items()), flush=True)
    return 1 if count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
