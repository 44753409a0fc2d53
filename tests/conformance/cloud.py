"""The services that a cell's client talks to: an S3 that checks every request, and what stands in front of the others.

S3 is a directory. It accepts what the sandbox's STS issued, and nothing else: the signature is computed anew, the
session token compared, the expiry taken to the second. Each request and its verdict is kept.
"""

import contextlib
import datetime
import hashlib
import hmac
import http.client
import http.server
import json
import re
import threading
import time
import urllib.parse
from xml.sax.saxutils import escape

REGION = "eu-west-1"
BUCKET = "conformance"
TOLERANCE = 15 * 60
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding")


class Server(http.server.ThreadingHTTPServer):
    """A server on a free port of loopback, running from the start."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        """A client that goes away in the middle of a request is its own affair."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Header and body in one packet: Go's client closes the connection otherwise.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if "content-length" not in {name.lower() for name, _ in headers}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def forward(self, address, body):
        """The same request, byte for byte, to `address`; its answer to the client. Returns status and body."""
        there = http.client.HTTPConnection(address, timeout=30)
        with contextlib.closing(there):
            there.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                there.putheader(name, value)
            there.endheaders(body or None)
            try:
                answer = there.getresponse()
            except (http.client.HTTPException, OSError):
                self.close_connection = True
                return None, b""
            text = answer.read()
        self.reply(answer.status, [pair for pair in answer.getheaders() if pair[0].lower() not in HOP_BY_HOP], text)
        return answer.status, text

    def log_message(self, *_):
        pass


class Keys:
    """What the sandbox has issued."""

    def __init__(self, fetch):
        self.fetch, self.known = fetch, {}

    def find(self, access_key_id):
        if access_key_id not in self.known:
            self.known.update((issued["access_key_id"], issued) for issued in self.fetch())
        return self.known.get(access_key_id)

    def expiry(self, access_key_id):
        return unix(self.find(access_key_id)["expires_at"])


def unix(rfc3339):
    return datetime.datetime.fromisoformat(rfc3339).timestamp()


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code = status, code


def authorization(headers):
    """The fields of a Version 4 `Authorization` header, or an empty dictionary."""
    algorithm, _, fields = headers.get("Authorization", "").partition(" ")
    if algorithm != "AWS4-HMAC-SHA256":
        return {}
    return dict(field.strip().partition("=")[::2] for field in fields.split(","))


def key_id(headers):
    return authorization(headers).get("Credential", "").partition("/")[0]


def verify(keys, method, target, headers, body):
    """Passes a request that is signed with live keys; raises `Refused` for any other."""
    fields = authorization(headers)
    if not {"Credential", "SignedHeaders", "Signature"} <= fields.keys():
        raise Refused(403, "AccessDenied", "Access Denied: no Version 4 signature in the Authorization header.")
    access_key_id, *scope = fields["Credential"].split("/")
    issued = keys.find(access_key_id)
    if not issued:
        raise Refused(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
    if not hmac.compare_digest(headers.get("X-Amz-Security-Token", ""), issued["session_token"]):
        raise Refused(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
    now = time.time()
    if now >= keys.expiry(access_key_id):
        raise Refused(400, "ExpiredToken", "The provided token has expired.")

    def mismatch(why):
        return Refused(403, "SignatureDoesNotMatch", why)

    stamp = headers.get("X-Amz-Date", "")
    if not re.fullmatch(r"\d{8}T\d{6}Z", stamp) or scope != [stamp[:8], REGION, "s3", "aws4_request"]:
        raise mismatch(f"the scope {scope} does not fit {stamp or 'a missing date'}, {REGION} and s3")
    if abs(now - unix(stamp)) > TOLERANCE:
        raise Refused(403, "RequestTimeTooSkewed", "The difference between the request time and ours is too large.")
    signed = fields["SignedHeaders"].split(";")
    for name in {name.lower() for name in headers}:
        if (name == "host" or name.startswith("x-amz-")) and name not in signed:
            raise mismatch(f"{name} is not a signed header")
    digest = headers.get("X-Amz-Content-Sha256", "")
    if digest != "UNSIGNED-PAYLOAD" and digest != hashlib.sha256(body).hexdigest():
        raise Refused(400, "XAmzContentSHA256Mismatch", "x-amz-content-sha256 does not match the body.")

    path, _, query = target.partition("?")
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    encoded = sorted((urllib.parse.quote(name, "~"), urllib.parse.quote(value, "~")) for name, value in pairs)
    canonical = [
        method,
        urllib.parse.quote(urllib.parse.unquote(path), "/~"),
        "&".join(f"{name}={value}" for name, value in encoded),
        *(f"{name}:{','.join(' '.join(value.split()) for value in headers.get_all(name, []))}" for name in signed),
        "",
        fields["SignedHeaders"],
        digest,
    ]
    hashed = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    key = f"AWS4{issued['secret_access_key']}".encode()
    for part in (*scope, f"AWS4-HMAC-SHA256\n{stamp}\n{'/'.join(scope)}\n{hashed}"):
        key = hmac.digest(key, part.encode(), "sha256")
    if not hmac.compare_digest(key.hex(), fields["Signature"]):
        raise mismatch("The request signature we calculated does not match the signature you provided.")


class S3(Server):
    """The bucket, read-only. `log` has (time, access key id, error code or None) for each request."""

    def __init__(self, directory, keys):
        self.objects = {
            str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
        }
        self.keys, self.log = keys, []
        super().__init__(S3Handler)


class S3Handler(Handler):
    def do_GET(self):
        at = time.time()
        try:
            verify(self.server.keys, self.command, self.path, self.headers, self.body())
        except Refused as refusal:
            self.server.log.append((at, key_id(self.headers), refusal.code))
            return self.error(refusal.status, refusal.code, str(refusal))
        self.server.log.append((at, key_id(self.headers), None))
        path, _, query = self.path.partition("?")
        bucket, _, key = urllib.parse.unquote(path).lstrip("/").partition("/")
        if bucket != BUCKET:
            return self.error(404, "NoSuchBucket", "The specified bucket does not exist")
        if not key:
            return self.list(dict(urllib.parse.parse_qsl(query, keep_blank_values=True)))
        if key not in self.server.objects:
            return self.error(404, "NoSuchKey", "The specified key does not exist.")
        return self.send(self.server.objects[key])

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def send(self, content):
        headers = [
            ("ETag", f'"{hashlib.md5(content).hexdigest()}"'),
            ("Last-Modified", "Tue, 24 Nov 2026 00:00:00 GMT"),
            ("Accept-Ranges", "bytes"),
            ("Content-Type", "binary/octet-stream"),
        ]
        status, size = 200, len(content)
        if wanted := re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "")):
            first, last = wanted.groups()
            start = int(first) if first else max(0, size - int(last))
            end = min(int(last), size - 1) if first and last else size - 1
            if start >= size:
                return self.error(416, "InvalidRange", "The requested range is not satisfiable")
            headers.append(("Content-Range", f"bytes {start}-{end}/{size}"))
            status, content = 206, content[start : end + 1]
        self.reply(status, [*headers, ("Content-Length", str(len(content)))], content)

    def list(self, query):
        if "location" in query:
            return self.xml(200, "LocationConstraint", REGION)
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("start-after") or query.get("marker") or ""
        contents, common = [], set()
        for key, content in sorted(self.server.objects.items()):
            if key.startswith(prefix) and key > after:
                head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
                if found:
                    common.add(prefix + head + found)
                else:
                    contents.append(
                        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-24T00:00:00.000Z</LastModified>"
                        f'<ETag>"{hashlib.md5(content).hexdigest()}"</ETag><Size>{len(content)}</Size>'
                        "<StorageClass>STANDARD</StorageClass></Contents>"
                    )
        count = len(contents) + len(common)
        contents += [f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in sorted(common)]
        head = f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{count}</KeyCount>"
        tail = "<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>"
        self.xml(200, "ListBucketResult", head + tail + "".join(contents))

    def error(self, status, code, message):
        self.xml(status, "Error", f"<Code>{code}</Code><Message>{escape(message)}</Message><RequestId>0</RequestId>")

    def xml(self, status, root, inner):
        space = "" if root == "Error" else ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}{space}>{inner}</{root}>'
        self.reply(status, [("Content-Type", "application/xml")], text.encode())


class Sts(Server):
    """In front of the sandbox's STS, for the client alone. `log` as S3's, `answers` as `Counter`'s."""

    def __init__(self, address):
        self.address, self.log, self.answers = address, [], []
        super().__init__(StsHandler)


class StsHandler(Handler):
    def do_POST(self):
        at, body = time.time(), self.body()
        status, text = self.forward(self.server.address, body)
        code = None if status == 200 else found(r"<Code>(.*?)</Code>", text) or f"status {status}"
        if b"AssumeRoleWithWebIdentity" not in body:
            self.server.log.append((at, key_id(self.headers), code))
        elif not code:
            self.server.answers.append((at, unix(found(r"<Expiration>(.*?)</Expiration>", text))))

    def do_GET(self):
        """Some clients put the whole request into the URL; the sandbox says what AWS would."""
        self.forward(self.server.address, b"")


class Counter(Server):
    """In front of a container-credentials endpoint. `heard` gets (time, expiration) of each answer."""

    def __init__(self, address, heard):
        self.address, self.heard = address, heard
        super().__init__(CounterHandler)


class CounterHandler(Handler):
    def do_GET(self):
        at = time.time()
        status, text = self.forward(self.server.address, b"")
        if status == 200:
            self.server.heard(at, unix(json.loads(text)["Expiration"]))


def found(pattern, text):
    match = re.search(pattern, text.decode(errors="replace"))
    return match and match[1]
