"""What stands between a client and a service, and takes its token.

The emulators ask nobody for a token. So a `Google` front asks the sandbox's tokeninfo about the bearer of each request,
refuses with 401 what is unknown or dead, as Google does, and hands the rest on. A `Service` stands for one on Cloud Run:
it takes ID tokens, and verifies signature, issuer, audience and expiry. Both keep every request and its verdict.
"""

import base64
import hashlib
import json
import pathlib
import sys
import time
import typing
import urllib.error
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "conformance"))
import cloud

# No proxy of the machine's may come between.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ISSUER = "https://accounts.google.com"
# DER of a SHA-256 digest's head (RFC 8017, 9.2).
SHA256_HEAD = bytes.fromhex("3031300d060960864801650304020105000420")


class Seen(typing.NamedTuple):
    at: float
    # Not the token itself: this is shown.
    token: str
    # Why it was refused, or None.
    why: str | None
    # Whose it is, and when it ends.
    email: str | None = None
    ends: float | None = None


class Front(cloud.Server):
    """`log` has a `Seen` for each request."""

    def __init__(self, handler):
        self.log = []
        super().__init__(handler)

    def admitted(self):
        return [seen for seen in self.log if not seen.why]

    def refused(self):
        return [seen for seen in self.log if seen.why]

    def tokens(self):
        return list(dict.fromkeys(seen.token for seen in self.admitted()))


class Handler(cloud.Handler):
    def do_GET(self):
        at, body = time.time(), self.body()
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        why, email, ends = "no bearer token", None, None
        if scheme.lower() == "bearer" and token:
            why, email, ends = self.server.judge(token)
        # The servers of a case are few, and a list's append is atomic.
        self.server.log.append(Seen(at, hashlib.sha256(token.encode()).hexdigest()[:8], why, email, ends))
        if why:
            error = {"code": 401, "message": f"Request had invalid authentication credentials: {why}"}
            text = json.dumps({"error": {**error, "status": "UNAUTHENTICATED"}}).encode()
            return self.reply(401, [("Content-Type", "application/json"), ("WWW-Authenticate", "Bearer")], text)
        self.admit(body)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET


class Google(Front):
    """In front of the emulator at `address`."""

    def __init__(self, address, token_info):
        self.address, self.token_info = address, token_info
        super().__init__(GoogleHandler)

    def judge(self, token):
        """Why not, whose it is, when it ends."""
        query = urllib.parse.urlencode({"access_token": token})
        try:
            with DIRECT.open(f"{self.token_info}?{query}", timeout=30) as reply:
                info = json.load(reply)
        except urllib.error.HTTPError as error:
            return f"tokeninfo says {error.code}", None, None
        return None, info.get("email"), float(info["exp"])


class GoogleHandler(Handler):
    def admit(self, body):
        self.forward(self.server.address, body)


class Service(Front):
    """Takes ID tokens for itself: its address is the audience."""

    def __init__(self, key_set):
        self.key_set, self.keys = key_set, {}
        super().__init__(ServiceHandler)

    def judge(self, token):
        try:
            claims = self.claims(token)
        except (ValueError, KeyError) as error:
            return str(error), None, None
        for name, wanted in (("aud", self.url), ("iss", ISSUER)):
            if claims.get(name) != wanted:
                return f"its {name} is {claims.get(name)}", None, None
        if time.time() >= claims["exp"]:
            return "it has expired", None, None
        return None, claims.get("email"), float(claims["exp"])

    def claims(self, token):
        """What the token says, if Google says it: RS256, by hand."""
        signed, _, signature = token.rpartition(".")
        header, _, claims = signed.partition(".")
        header = json.loads(decoded(header))
        if header["alg"] != "RS256":
            raise ValueError(f"its algorithm is {header['alg']}")
        modulus, exponent = self.key(header["kid"])
        size = (modulus.bit_length() + 7) // 8
        found = pow(int.from_bytes(decoded(signature)), exponent, modulus).to_bytes(size)
        end = SHA256_HEAD + hashlib.sha256(signed.encode()).digest()
        if found != b"\0\1" + b"\xff" * (size - len(end) - 3) + b"\0" + end:
            raise ValueError("its signature is not Google's")
        return json.loads(decoded(claims))

    def key(self, name):
        if name not in self.keys:
            with DIRECT.open(self.key_set, timeout=30) as reply:
                for key in json.load(reply)["keys"]:
                    self.keys[key["kid"]] = [int.from_bytes(decoded(key[part])) for part in "ne"]
        return self.keys[name]


class ServiceHandler(Handler):
    def admit(self, _body):
        self.reply(200, [("Content-Type", "text/plain")], b"welcome\n")


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
