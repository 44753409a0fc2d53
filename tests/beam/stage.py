"""The stage on which scripts/demo and the tests play: two clouds on loopback, and Beam workers in containers.

    metadata server   fedboot-sandbox: signs real ID tokens
    STS               StsFront below: fedboot-sandbox verifies the token (signature, issuer, expiry, trust policy),
                      and only what it admits goes on to ministack, whose STS registers the session it issues
    S3                S3Front below, which notes each request of the workers and the answer to it; behind it ministack
                      with AUTH=true: checks each request's signature, session token, expiry and the role's policy
    containers        bin/docker: fedboot as process 1, on a root file system without a key in it

ministack's own STS decodes a token without verifying it, hence the front; and it grants any lifetime, which lets
sessions of seconds show a refresh (AWS grants 15 minutes and more).
"""

import collections
import contextlib
import datetime
import fcntl
import http.client
import http.server
import itertools
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import typing
import urllib.error
import urllib.parse
import urllib.request

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

HERE = pathlib.Path(__file__).resolve().parent
ACCOUNT = "123456789012"
REGION = "eu-west-1"
BUCKET = "fedboot-words"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/beam-worker"
SERVICE_ACCOUNT = "beam-worker@demo-project.iam.gserviceaccount.com"
HOME = "/home/worker"

# Shakespeare's eighteenth sonnet, a file for each pair of lines.
SONNET = """\
Shall I compare thee to a summer's day?
Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May,
And summer's lease hath all too short a date;
Sometime too hot the eye of heaven shines,
And often is his gold complexion dimm'd;
And every fair from fair sometime declines,
By chance or nature's changing course untrimm'd;
But thy eternal summer shall not fade,
Nor lose possession of that fair thou ow'st;
Nor shall death brag thou wander'st in his shade,
When in eternal lines to time thou grow'st:
So long as men can breathe or eyes can see,
So long lives this, and this gives life to thee.
""".splitlines(keepends=True)


def expected_counts():
    return dict(collections.Counter(re.findall(r"[a-z']+", "".join(SONNET).lower())))


def isolate():
    """Goes on in namespaces of its own: nothing listens outside loopback (Beam's job server binds every address),
    nothing outlives this program, and containers can be started without root. Returns why not, if it cannot."""
    # By default it would end this program without its cleaning up, or, as process 1, do nothing.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.environ.get("FEDBOOT_STAGE") == "isolated":
        raise_loopback()
        return None
    if not shutil.which("unshare"):
        return "no unshare on PATH"
    unshare = ["unshare", "--net", "--pid", "--mount", "--fork", "--mount-proc", "--kill-child"]
    if os.geteuid() != 0:
        unshare.insert(1, "--map-root-user")
    tried = subprocess.run([*unshare, "true"], check=False, capture_output=True, text=True)
    if tried.returncode != 0:
        return f"no namespaces of one's own here ({tried.stderr.strip() or 'unshare failed'})"
    os.environ["FEDBOOT_STAGE"] = "isolated"
    os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])


def raise_loopback():
    """`ip link set lo up`, for machines without iproute2."""
    get_flags, set_flags, up = 0x8913, 0x8914, 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = fcntl.ioctl(any_socket, get_flags, struct.pack("16sH22x", b"lo", 0))
        (flags,) = struct.unpack_from("H", request, 16)
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sH22x", b"lo", flags | up))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ministack_environment(place, port, root_key):
    """What ministack needs to check each request's signature, expiry and permissions; only the root key may do all."""
    return {
        "PATH": os.defpath,
        "HOME": place,
        "TMPDIR": place,
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": root_key,
        "AWS_SECRET_ACCESS_KEY": "unused",
        "BIND_HOST": "127.0.0.1",
        # It would look after containers of its own where it found an engine.
        "DOCKER_HOST": "unix:///nonexistent",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "SERVICES": "s3,sts,iam",
        "SFTP_ENABLED": "0",
    }


def wait_until(what, condition, seconds=30, pause=0.05):
    until = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(pause)
    return result


class Background:
    """A server of the stage: its output in a file, ended by its pid."""

    def __init__(self, name, command, environment, log, **more):
        self.name, self.log = name, log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                env={key: str(value) for key, value in environment.items()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **more,
            )

    def check(self):
        """Fails when it ended by itself, with the end of what it said."""
        if self.process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{tail}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Front(http.server.ThreadingHTTPServer):
    """A server of this program's, between the workers and one of the clouds."""

    daemon_threads = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class FrontHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer's head and body go out together.
    wbufsize = -1

    def handle_expect_100(self):
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(iter(self.chunk, b""))
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def chunk(self):
        """One of them; the last one is empty, and what may follow it is passed over (RFC 9112, 7.1)."""
        size = int(self.rfile.readline().partition(b";")[0], 16)
        data = self.rfile.read(size)
        while self.rfile.readline() not in (b"\r\n", b"\n", b""):
            pass
        return data

    def answer(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class StsFront(Front):
    """Lets the sandbox judge each exchange, and ministack issue what the sandbox admits.

    With `faults`, every second exchange fails by the next of them in turn, but never the first one.
    """

    def __init__(self, judge, issuer, lifetime, faults=()):
        self.judge, self.issuer, self.lifetime = judge, issuer, lifetime
        self.faults = itertools.cycle([None, fault][turn] for fault in faults for turn in range(2))
        self.attempts, self.failed = 0, collections.Counter()
        super().__init__(StsFrontHandler)


class StsFrontHandler(FrontHandler):
    def do_POST(self):
        body = self.body()
        self.server.attempts += 1
        if fault := next(self.server.faults, None):
            self.server.failed[fault] += 1
            return fault(self)
        status, headers, answer = post(self.server.judge, body)
        if status == 200:
            form = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
            form["DurationSeconds"] = str(self.server.lifetime)
            status, headers, answer = post(self.server.issuer, urllib.parse.urlencode(form).encode())
        kept = [(name, headers[name]) for name in ("Content-Type", "x-amzn-RequestId") if name in headers]
        self.answer(status, [*kept, ("Content-Length", str(len(answer)))], answer)

    def out_of_order(self):
        self.refuse(500, "Receiver", "InternalFailure")

    def deny(self):
        self.refuse(403, "Sender", "AccessDenied")

    def hang_up(self):
        self.close_connection = True

    def refuse(self, status, whose, code):
        error = f"<Error><Type>{whose}</Type><Code>{code}</Code><Message>Made to fail</Message></Error>"
        body = f"<ErrorResponse>{error}<RequestId>made-to-fail</RequestId></ErrorResponse>".encode()
        self.answer(status, [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))], body)


# What may become of an exchange: an error of STS's own, a refusal, and a connection that ends without an answer.
FAULTS = (StsFrontHandler.out_of_order, StsFrontHandler.deny, StsFrontHandler.hang_up)


class S3Request(typing.NamedTuple):
    time: datetime.datetime
    method: str
    # The object's key, empty for a request that is about the bucket.
    object: str
    query: dict
    # The access key id that it was signed with, and what S3 answered.
    key: str
    status: int

    def completes_object(self):
        """Whether an object stands, or stands anew, after this request."""
        if self.method == "POST":
            return "uploadId" in self.query
        return self.method == "PUT" and "uploadId" not in self.query


class S3Front(Front):
    """Hands each request on as it is, signature and all, and keeps a record of it and of the answer."""

    def __init__(self, s3_port):
        self.s3_port = s3_port
        self.requests = []
        super().__init__(S3FrontHandler)


class S3FrontHandler(FrontHandler):
    def pass_on(self):
        time = datetime.datetime.now(datetime.UTC)
        body = self.body()
        s3 = http.client.HTTPConnection("127.0.0.1", self.server.s3_port, timeout=60)
        with contextlib.closing(s3):
            s3.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                # The client has been told to continue, by this server, which has all of the body.
                if name.lower() not in ("content-length", "expect", "transfer-encoding"):
                    s3.putheader(name, value)
            if body or "Content-Length" in self.headers:
                s3.putheader("Content-Length", str(len(body)))
            s3.endheaders(body)
            reply = s3.getresponse()
            answer = reply.read()
        url = urllib.parse.urlsplit(self.path)
        signer = re.search(r"Credential=([^/]+)", self.headers.get("Authorization", ""))
        request = S3Request(
            time=time,
            method=self.command,
            object=url.path.removeprefix(f"/{BUCKET}").removeprefix("/"),
            query=dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True)),
            key=signer.group(1) if signer else "",
            status=reply.status,
        )
        self.server.requests.append(request)
        hop = ("connection", "keep-alive", "transfer-encoding")
        headers = [(name, value) for name, value in reply.getheaders() if name.lower() not in hop]
        if "content-length" not in {name.lower() for name, _ in headers}:
            headers.append(("Content-Length", str(len(answer))))
        self.answer(reply.status, headers, answer)

    do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = pass_on


# No proxy of the machine's may come between.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post(url, body):
    request = urllib.request.Request(url, body, {"Content-Type": "application/x-www-form-urlencoded"})
    try:
        with DIRECT.open(request, timeout=30) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def answers(url):
    try:
        with DIRECT.open(url, timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False


def document(statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class Stage:
    """Everything but the job; a context manager that ends all that it started.

    `lifetime` is what a session lasts, in seconds.
    """

    def __init__(self, *, fedboot, sandbox, beam, ministack, lifetime):
        self.fedboot, self.sandbox_program = pathlib.Path(fedboot), pathlib.Path(sandbox)
        self.beam, self.ministack = pathlib.Path(beam), pathlib.Path(ministack)
        self.lifetime = lifetime
        self.ending = contextlib.ExitStack()
        # The owner of the bucket, for what the workers do not do. ministack accepts its key id with any secret.
        self.root_key = f"ROOT{secrets.token_hex(8).upper()}"

    def __enter__(self):
        with self.ending:
            # For boto3 in this process: what it talks to is on loopback.
            os.environ.update(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
            self.place = pathlib.Path(self.ending.enter_context(tempfile.TemporaryDirectory(prefix="fedboot-stage-")))
            for name in ("bin", "docker/images", "docker/containers", "homes", "launcher", "logs"):
                (self.place / name).mkdir(parents=True)
            # A copy is not replaced by a build, and whatever still runs it was started here.
            self.fedboot = pathlib.Path(shutil.copy2(self.fedboot, self.place / "bin/fedboot"))
            self.start_ministack()
            self.start_sandbox()
            self.front = self.sts_front(self.lifetime)
            self.s3_front = S3Front(urllib.parse.urlsplit(self.s3_url).port)
            self.ending.callback(self.s3_front.shutdown)
            self.fill()
            self.ending = self.ending.pop_all()
        return self

    def __exit__(self, *_):
        self.ending.close()

    def background(self, name, command, environment, **more):
        server = Background(name, command, environment, self.place / "logs" / f"{name}.log", **more)
        self.ending.callback(server.stop)
        return server

    def start_ministack(self):
        port = free_port()
        self.s3_url = f"http://127.0.0.1:{port}"
        server = self.background(
            "ministack",
            [self.ministack / "bin" / "python", "-m", "ministack"],
            ministack_environment(self.place, port, self.root_key),
        )
        wait_until("ministack", lambda: server.check() or answers(f"{self.s3_url}/_ministack/health"))

    def start_sandbox(self):
        ports = {name: free_port() for name in ("metadata", "sts", "control")}
        self.metadata = f"127.0.0.1:{ports['metadata']}"
        self.sandbox_sts = f"http://127.0.0.1:{ports['sts']}"
        self.control = f"http://127.0.0.1:{ports['control']}"
        server = self.background(
            "sandbox",
            [
                self.sandbox_program,
                *("--service-account", SERVICE_ACCOUNT),
                *("--role", ROLE),
                # As on Dataflow, where nobody can set a worker's environment: one line for the whole project.
                *("--project-attribute", f"fedboot-role-arn=arn:aws:iam::{ACCOUNT}:role/{{service_account}}"),
                *(f"--port={name}={port}" for name, port in ports.items()),
            ],
            {"PATH": os.defpath, "TMPDIR": self.place},
        )
        wait_until("the sandbox", lambda: server.check() or answers(self.control))

    def sts_front(self, lifetime, faults=()):
        """One more STS, for who is given its url."""
        front = StsFront(self.sandbox_sts, self.s3_url, lifetime, faults)
        self.ending.callback(front.shutdown)
        return front

    def token(self, *, forged):
        """An ID token as the metadata server gives it, or one with a signature of somebody else's."""
        status, _, answer = post(f"{self.control}/tokens", json.dumps({"forged": forged}).encode())
        assert status == 200, answer
        return json.loads(answer)["token"]

    def fill(self):
        """The bucket with its input, and the role that ministack's own STS asks for."""
        s3, iam = self.owner("s3"), self.owner("iam")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        for number in range(0, len(SONNET), 2):
            body = "".join(SONNET[number : number + 2]).encode()
            s3.put_object(Bucket=BUCKET, Key=f"input/sonnet-{number // 2 + 1}.txt", Body=body)
        name = ROLE.rpartition("/")[2]
        trust = {
            "Effect": "Allow",
            "Principal": {"Federated": "accounts.google.com"},
            "Action": "sts:AssumeRoleWithWebIdentity",
        }
        policy = {
            "Effect": "Allow",
            "Action": ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
            "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
        }
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))
        iam.put_role_policy(RoleName=name, PolicyName="words", PolicyDocument=document(policy))

    def owner(self, service):
        return self.client(service, (self.root_key, "unused", None))

    def client(self, service, keys):
        """A client with these keys, or with none, and with nothing from the environment."""
        key, secret, token = keys or (None, None, None)
        config = Config(retries={"total_max_attempts": 1}, signature_version=None if keys else UNSIGNED)
        return boto3.session.Session().client(
            service,
            endpoint_url=self.s3_url,
            region_name=REGION,
            config=config,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
        )

    def refusal(self, keys):
        """What S3 says to reading one of the input files with `keys`: None when it lets them."""
        try:
            self.client("s3", keys).get_object(Bucket=BUCKET, Key="input/sonnet-1.txt")
        except ClientError as error:
            return error.response["Error"]["Code"]
        return None

    def objects(self, prefix):
        """All objects of the bucket whose keys begin with `prefix`."""
        s3 = self.owner("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def output(self, prefix):
        """The counts that a job wrote."""
        counts = {}
        for text in self.objects(prefix).values():
            for line in text.decode().splitlines():
                word, _, count = line.rpartition(": ")
                counts[word] = int(count)
        return counts

    def s3_requests(self, job):
        """The S3 requests of that job's workers as they came, or of all that ran meanwhile."""
        return [request for request in self.s3_front.requests if request.time >= job.started]

    def image(self, name, boot, *, system, environment=None, entrypoint=("fedboot", "--", "/opt/apache/beam/boot")):
        """Makes an image: the two lines of docs/dataflow.md on top of Beam's boot program. Returns its home.

        With `system` it has a Debian and Python below, without it next to nothing, as Beam's distroless Go image.
        """
        home = self.place / "homes" / name
        home.mkdir()
        copy = {"/usr/local/bin/fedboot": self.fedboot, "/opt/apache/beam/boot": boot}
        path = "/usr/local/bin:/usr/bin:/bin"
        if system:
            copy[str(self.beam)] = self.beam
            path = f"{self.beam}/bin:{path}"
            command = [self.beam / "bin/python", "-c", "import sys; print(sys.base_prefix)"]
            prefix = subprocess.check_output(command, text=True).strip()
            if not prefix.startswith("/usr"):
                copy[prefix] = prefix
        else:
            passwd = self.place / "passwd"
            passwd.write_text("root:x:0:0:root:/root:/sbin/nologin\n")
            copy["/etc/passwd"] = passwd
        image = {
            "entrypoint": list(entrypoint),
            "environment": {
                "PATH": path,
                "HOME": HOME,
                "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT": "1",
                **self.worker_environment(),
                **(environment or {}),
            },
            "system": system,
            "copy": {target: str(source) for target, source in copy.items()},
            "volumes": {HOME: str(home)},
        }
        (self.place / "docker/images" / f"{name}.json").write_text(json.dumps(image, indent=2))
        return home

    def runs_fedboot(self, pid):
        """Whether that process runs the stage's fedboot, whatever the program is called where it runs."""
        with contextlib.suppress(OSError):
            return os.path.samestat(os.stat(f"/proc/{pid}/exe"), self.fedboot.stat())
        return False

    def agents(self):
        """The processes that run the stage's fedboot."""
        return [int(entry.name) for entry in pathlib.Path("/proc").iterdir() if self.runs_fedboot(entry.name)]

    def worker_environment(self):
        """Where the clouds are: on a real worker none of this is set."""
        return {
            "GCE_METADATA_HOST": self.metadata,
            "AWS_ENDPOINT_URL_STS": self.front.url,
            "AWS_ENDPOINT_URL_S3": self.s3_front.url,
            "AWS_REGION": REGION,
        }
