"""fedboot's own evaluator, and the sandbox with the real fedboot in front of it."""

import contextlib
import json
import os
import pathlib
import shlex
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from setting import Programs

# No proxy of the machine's may come between.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fedboot(*words, environment=None, input=None):
    with tempfile.TemporaryDirectory() as home:
        return subprocess.run(
            [Programs.fedboot, *words],
            env={"PATH": os.defpath, "HOME": home, **(environment or {})},
            input=input,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def admits(policy, claims):
    """Whether the trust policy admits a token with these claims, by `fedboot trust-policy --check`."""
    with tempfile.TemporaryDirectory() as place:
        for name, it in (("policy", policy), ("claims", claims)):
            (pathlib.Path(place) / name).write_text(json.dumps(it))
        files = ["--check", f"{place}/policy", "--claims", f"{place}/claims"]
        ended = fedboot("trust-policy", "--flags-only", *files)
    if ended.returncode not in (0, 1):
        raise AssertionError(ended.stderr)
    return ended.returncode == 0


class Sandbox(contextlib.AbstractContextManager):
    """The two clouds, with what the examples made set in them."""

    def __init__(self, *options, **settings):
        self.ending = contextlib.ExitStack()
        with self.ending:
            place = pathlib.Path(self.ending.enter_context(tempfile.TemporaryDirectory()))
            told = place / "env"
            with told.open("wb") as output, (place / "log").open("wb") as log:
                server = subprocess.Popen(
                    [Programs.sandbox, "--quiet", *options],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=log,
                    env={"PATH": os.defpath, "TMPDIR": str(place)},
                )
            self.ending.callback(server.wait)
            self.ending.callback(server.terminate)
            until = time.monotonic() + 30
            # Its last line.
            while "no_proxy" not in told.read_text():
                if server.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((place / "log").read_text() or "the sandbox says nothing")
                time.sleep(0.02)
            words = [shlex.split(line) for line in told.read_text().splitlines()]
            self.environment = dict(word[1].split("=", 1) for word in words if word[0] == "export")
            self.control = self.environment.pop("FEDBOOT_SANDBOX")
            self.set(**settings)
            self.ending = self.ending.pop_all()

    def __exit__(self, *_):
        self.ending.close()

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        try:
            with DIRECT.open(urllib.request.Request(self.control + path, data), timeout=30) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None

    def set(self, **settings):
        self.ask("/settings", settings)

    def fedboot(self, *words, without=(), **more):
        """The real one between these clouds, with some variables fewer, and with more."""
        environment = {name: it for name, it in self.environment.items() if name not in without}
        return fedboot(*words, environment={**environment, **more})

    def led_here(self, google_json):
        """The file, with Google's two addresses in place of its own."""
        own = json.loads(pathlib.Path(self.environment["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
        account = google_json["service_account_impersonation_url"]
        assert account.startswith("https://iamcredentials.googleapis.com/"), account
        assert google_json["token_url"] == "https://sts.googleapis.com/v1/token"
        address = own["service_account_impersonation_url"].partition("/v1/")[0]
        moved = {
            "token_url": own["token_url"],
            "service_account_impersonation_url": account.replace("https://iamcredentials.googleapis.com", address),
        }
        path = pathlib.Path(self.environment["GOOGLE_APPLICATION_CREDENTIALS"]).with_name("led-here.json")
        path.write_text(json.dumps({**google_json, **moved}))
        return str(path)
