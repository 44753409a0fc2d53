"""Google's clients, unmodified, behind fedboot on AWS; see README.md.

Called by `run` beside it, which has got everything ready. Prints a line for each case and one with the totals.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import fnmatch
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import fronts
import mwaa
from mwaa import stage

HERE = pathlib.Path(__file__).resolve().parent
PACE = HERE.parent / "conformance/lib/pace.py"
BUCKET = "fedboot-words"
OBJECT = "words.txt"
PROJECT = "demo-project"
# Where the agents of ECS and of EKS Pod Identity and the instance metadata service answer on AWS.
IMDS = "169.254.169.254"
REAL_ADDRESSES = ("169.254.170.2", "169.254.170.23", IMDS)
# A client runs longer than a token lives by this much: its first request may take a while.
BEYOND = 10


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    # A program of `clients/`, and the place on AWS.
    client: str
    source: str
    # Which services it asks, and how many different tokens each must have seen at least.
    tokens: dict
    # What a client that can do several things is to do.
    operations: str = ""
    # fedboot's, and the sandbox's.
    options: tuple = ()
    sandbox: tuple = ()
    # The services of AWS are at the addresses that they have there.
    real: bool = False
    # How long an access token lives, and an ID token.
    lifetime: int = 20
    id_lifetime: int = 20
    # Between two rounds of requests.
    interval: float = 1
    # How it is run, and judged; and what has to be had for it.
    how: str = "fedboot"
    needs: str = ""
    quick: bool = True
    # What only one case at a time may have.
    lock: str = ""

    @property
    def seconds(self):
        return self.lifetime + BEYOND


def python(name, source, **more):
    """All that Google's libraries for Python do."""
    return Case(name, "python", source, ALL, "auth storage bigquery id id-credentials", **more)


# Two is the least that shows a renewal; storage is asked with tokens of two scopes.
ALL = {"storage": 4, "bigquery": 2, "service": 2}
TOKENS = {"storage": 2, "service": 2}
# Go keeps an ID token for 55 minutes, whatever the token says (google.golang.org/api/idtoken/compute.go): they have to
# live as long as Google's, and no renewal can be seen.
GO = {"tokens": {"storage": 2, "service": 1}, "id_lifetime": 3600}
# Long enough for each library to keep a token for a while and to renew it by its own rules: Node and C++ 5 minutes before
# its end, Python and Java 3 3/4 minutes, Go 10 seconds.
LONG = {"lifetime": 360, "id_lifetime": 360, "interval": 5, "quick": False}

CASES = (
    # The slowest first.
    Case("airflow as on MWAA", "", "ecs", {"bigquery": 2}, how="airflow", needs="airflow"),
    Case("services", "", "ecs", {}, lifetime=3, id_lifetime=3, how="services"),
    *(python(f"python {source}", source) for source in ("environment", "profile", "web-identity", "ecs")),
    *(python(f"python {source}", source) for source in ("pod-identity", "imds")),
    *(python(f"python {source} real", source, real=True) for source in ("ecs", "pod-identity")),
    python("python imds real", "imds", real=True, lock=IMDS),
    Case("node ecs", "node", "ecs", TOKENS),
    Case("go ecs", "go", "ecs", **GO),
    Case("java ecs", "java", "ecs", TOKENS),
    Case("cpp ecs", "cpp", "ecs", {"storage": 2}, "storage"),
    Case("gcloud ecs", "gcloud", "ecs", TOKENS, "auth id storage", lifetime=30, id_lifetime=30, needs="gcloud"),
    Case(
        "gcloud ecs token file",
        "gcloud",
        "ecs",
        {"storage": 2},
        "auth storage",
        options=("--delivery", "access-token-file"),
        lifetime=30,
        needs="gcloud",
    ),
    Case("python ecs executable", "python", "ecs", {"storage": 2, "bigquery": 2}, "storage bigquery", how="executable"),
    Case("python ecs without fedboot", "python", "ecs", {}, "auth", lifetime=1, how="without", lock=IMDS),
    Case("airflow without fedboot", "", "ecs", {}, how="airflow without", needs="airflow", quick=False, lock=IMDS),
    python("python ecs long", "ecs", **LONG),
    Case("node ecs long", "node", "ecs", TOKENS, **LONG),
    Case("go ecs long", "go", "ecs", **{**LONG, **GO}),
    Case("java ecs long", "java", "ecs", TOKENS, **LONG),
    Case("cpp ecs long", "cpp", "ecs", {"storage": 2}, "storage", **LONG),
)


LOCKS = {case.lock: threading.Lock() for case in CASES}


class Sandbox:
    """The sandbox of one case, and its control API."""

    def __init__(self, program, case, place):
        command = [program, "--aws", case.source, "--access-token-cap", case.lifetime, *case.sandbox]
        if case.real:
            command.append("--real-addresses")
        self.server = stage.Background("sandbox", command, {"PATH": os.defpath, "TMPDIR": place}, place / "sandbox.log")
        try:
            self.control = stage.wait_until("the sandbox", self.address)[1]
            overview = self.call("/")
            self.call("/settings", {"id_token_lifetime_seconds": case.id_lifetime})
        except BaseException:
            self.server.stop()
            raise
        self.urls, self.env = overview["urls"], overview["env"]
        self.external_account = overview["external_account"]
        self.token_info = f"{self.urls['iam_credentials_http']}/tokeninfo"

    def address(self):
        self.server.check()
        return re.search(r"control +(http://\S+) ", self.server.log.read_text())

    def call(self, path, form=None):
        body = None if form is None else json.dumps(form).encode()
        with stage.DIRECT.open(urllib.request.Request(self.control + path, body), timeout=30) as reply:
            return json.load(reply)


class Emulators:
    """Storage and BigQuery, for all cases. They ask nobody for a token."""

    def __init__(self, venv, place):
        self.ending = contextlib.ExitStack()
        self.storage, self.bigquery = (f"127.0.0.1:{stage.free_port()}" for _ in range(2))
        environment = {"PATH": os.defpath, "HOME": place, "TMPDIR": place, "BQEMU_ENABLE_FORMAT_EXTENSIONS": "false"}
        port = self.storage.partition(":")[2]
        command = [f"{venv}/bin/gcp-storage-emulator", "start", "--host", "127.0.0.1", "--port", port]
        command += ["--in-memory", "--quiet", "--default-bucket", BUCKET]
        storage = stage.Background("gcp-storage-emulator", command, environment, place / "storage.log")
        self.ending.callback(storage.stop)
        port = self.bigquery.partition(":")[2]
        command = [f"{venv}/bin/python", HERE / "emulator.py", "start", "--rest-port", port]
        command += ["--grpc-port", stage.free_port(), "--project", PROJECT, "--log-level", "error"]
        bigquery = stage.Background("bqemulator", command, environment, place / "bigquery.log")
        self.ending.callback(bigquery.stop)
        for server, url in (
            (storage, f"http://{self.storage}/storage/v1/b/{BUCKET}"),
            (bigquery, f"http://{self.bigquery}/bigquery/v2/projects/{PROJECT}/datasets"),
        ):
            stage.wait_until(server.name, lambda server=server, url=url: server.check() or stage.answers(url), 60)
        upload = f"http://{self.storage}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={OBJECT}"
        stage.DIRECT.open(upload, "".join(stage.SONNET).encode(), timeout=30).close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ending.close()


class Trial:
    """One case on its way."""

    def __init__(self, case, arguments, emulators, place):
        self.case, self.arguments, self.place = case, arguments, pathlib.Path(place, case.name.replace(" ", "-"))
        for name in ("home", "tmp"):
            (self.place / name).mkdir(parents=True)
        self.ending = contextlib.ExitStack()
        with self.ending:
            self.sandbox = Sandbox(arguments.sandbox, case, self.place)
            self.ending.callback(self.sandbox.server.stop)
            self.fronts = {
                "storage": fronts.Google(emulators.storage, self.sandbox.token_info),
                "bigquery": fronts.Google(emulators.bigquery, self.sandbox.token_info),
                "service": fronts.Service(self.sandbox.urls["jwks"]),
            }
            for front in self.fronts.values():
                self.ending.enter_context(front)
            self.ending = self.ending.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ending.close()

    def environment(self):
        """What the client finds before fedboot; nothing of this machine's but PATH."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place / "home"),
            "TMPDIR": str(self.place / "tmp"),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "CLOUDSDK_CONFIG": str(self.place / "home/gcloud"),
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{self.fronts['storage'].url}/storage/v1/",
            "BIGQUERY_EMULATOR_HOST": self.fronts["bigquery"].url,
            "CONFORMANCE_STORAGE": self.fronts["storage"].url,
            "CONFORMANCE_BIGQUERY": self.fronts["bigquery"].url,
            "CONFORMANCE_SERVICE": self.fronts["service"].url,
            "CONFORMANCE_BUCKET": BUCKET,
            "CONFORMANCE_OPERATIONS": self.case.operations,
            "CONFORMANCE_SECONDS": str(self.case.seconds),
            "CONFORMANCE_INTERVAL": str(self.case.interval),
            **self.sandbox.env,
        }

    def run(self, command, environment):
        """Runs the client. Returns its lines but the first, and what was said beside them."""
        with (self.place / "client.jsonl").open("w") as out, (self.place / "stderr").open("w") as errors:
            code = subprocess.run(
                [str(word) for word in command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                check=False,
                timeout=3 * self.case.seconds + 90,
            ).returncode
        said = (self.place / "stderr").read_text(errors="replace")
        if code:
            raise Complaint(f"ended with {code}: {said.strip()[-600:]}")
        first, *lines = map(json.loads, (self.place / "client.jsonl").read_text().splitlines())
        self.client = f"{first['client']} {first['version']}"
        return lines, said

    def client_command(self):
        return self.arguments.clients[self.case.client]


class Complaint(Exception):
    """What is wrong with a case."""


def behind_fedboot(trial):
    """`fedboot -- CLIENT`."""
    command = [trial.arguments.fedboot, *trial.case.options, "--log-format", "json", "--"]
    lines, said = trial.run([*command, *trial.client_command()], trial.environment())
    check_client(trial, lines)
    check_fronts(trial)
    return check_log(said)


def executable(trial):
    """google-auth's `executable` source asks fedboot for a subject token; Google is asked by google-auth itself."""
    account = dict(trial.sandbox.external_account)
    account["audience"] = f"{account['audience'].rpartition('/')[0]}/aws-tokens"
    account["subject_token_type"] = "urn:ietf:params:oauth:token-type:jwt"
    command = f"{trial.arguments.fedboot} token subject --proof web-identity-token"
    account["credential_source"] = {"executable": {"command": command, "timeout_millis": 5000}}
    file = trial.place / "executable.json"
    file.write_text(json.dumps(account))
    environment = trial.environment() | {
        "GOOGLE_APPLICATION_CREDENTIALS": str(file),
        "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES": "1",
        "GOOGLE_CLOUD_PROJECT": PROJECT,
    }
    lines, _ = trial.run(trial.client_command(), environment)
    check_client(trial, lines)
    check_fronts(trial)
    # google-auth runs fedboot for each exchange, and fedboot keeps a subject token while it is young.
    if not (asked := len(trial.sandbox.call("/requests?action=GetWebIdentityToken"))):
        raise Complaint("AWS STS was never asked for a token")
    return f"GetWebIdentityToken {asked}"


def without_fedboot(trial):
    """The same client in the same place: it must fail, or the cases above would show nothing."""
    # It would ask the Resource Manager for the project.
    environment = trial.environment() | {"GOOGLE_CLOUD_PROJECT": PROJECT}
    lines, _ = trial.run(trial.client_command(), environment)
    errors = {line["error"] for line in lines}
    if None in errors or trial.fronts["storage"].admitted():
        raise Complaint("it does without")
    return f"fails: {min(errors)[:130]}"


def services(trial):
    """The fronts refuse what they should, or the cases above would show nothing."""

    def status(front, token, scheme="Bearer"):
        path = f"/storage/v1/b/{BUCKET}" if front == "storage" else "/"
        headers = {"Authorization": f"{scheme} {token}"} if token else {}
        try:
            with stage.DIRECT.open(urllib.request.Request(trial.fronts[front].url + path, headers=headers)) as reply:
                return reply.status
        except stage.urllib.error.HTTPError as error:
            return error.code

    def printed(*words):
        command = [str(trial.arguments.fedboot), "token", *words]
        return subprocess.check_output(command, env=trial.environment(), text=True, timeout=60).strip()

    def forged(token):
        head, _, signature = token.rpartition(".")
        return f"{head}.{signature[:9]}{'B' if signature[9] == 'A' else 'A'}{signature[10:]}"

    service = trial.fronts["service"].url
    access, identity = printed("access"), printed("id", "--audience", service)
    found = {
        "access token": (200, status("storage", access)),
        "ID token": (200, status("service", identity)),
        "no token": (401, status("storage", "")),
        "an invented one": (401, status("storage", "ya29.invented")),
        "another scheme": (401, status("storage", access, "Basic")),
        "an ID token for an access token": (401, status("storage", identity)),
        "an access token for an ID token": (401, status("service", access)),
        "another audience": (401, status("service", printed("id", "--audience", "https://another.example"))),
        "a forged one": (401, status("service", forged(identity))),
    }
    time.sleep(trial.case.lifetime + 1)
    found |= {
        "a dead access token": (401, status("storage", access)),
        "a dead ID token": (401, status("service", identity)),
    }
    if wrong := {name: got for name, (wanted, got) in found.items() if wanted != got}:
        raise Complaint(f"otherwise than it should: {wrong}")
    return f"{sum(wanted == 401 for wanted, _ in found.values())} kinds of token refused"


def airflow(trial):
    environment = mwaa.Environment(
        trial.arguments.airflow,
        trial.place,
        container(trial),
        trial.sandbox.external_account,
        trial.arguments.fedboot,
    )
    environment.prepare()
    try:
        said = environment.start_up()
        if "FEDBOOT_AGENT_PID" not in environment.variables:
            raise Complaint(f"the startup script said: {said[-600:]}")
        states = environment.run_dag(120)
        if set(states.values()) != {"success"}:
            failed = min(name for name, state in states.items() if state != "success")
            raise Complaint(f"{states}: {environment.task_log(failed)[-1200:]}")
    finally:
        environment.stop_agent()
    check_fronts(trial)
    return check_log((environment.home / "fedboot.log").read_text())


def airflow_without_fedboot(trial):
    environment = mwaa.Environment(
        trial.arguments.airflow, trial.place, container(trial), trial.sandbox.external_account
    )
    environment.prepare()
    environment.start_up()
    code, said = environment.airflow("dags", "test", "bigquery")
    error = re.search(r"google\.auth\.exceptions\.\w+: .{0,60}", said)
    if code == 0 or not error or trial.fronts["bigquery"].admitted():
        raise Complaint(f"it does without: {code}, {said[-600:]}")
    return f"fails: {error[0]}"


def container(trial):
    """The variables of a container on MWAA: nobody can add one."""
    variables = trial.environment()
    del variables["GOOGLE_APPLICATION_CREDENTIALS"]
    return {**variables, "PATH": os.defpath}


WAYS = {
    "fedboot": behind_fedboot,
    "executable": executable,
    "without": without_fedboot,
    "services": services,
    "airflow": airflow,
    "airflow without": airflow_without_fedboot,
}


def check_client(trial, lines):
    errors = [line for line in lines if line["error"]]
    if errors:
        raise Complaint(
            f"{len(errors)} of {len(lines)} requests failed, {errors[0]['operation']}: {errors[0]['error']}"
        )
    if missing := set(trial.case.operations.split()) - {line["operation"] for line in lines}:
        raise Complaint(f"it never did {missing}")


def check_fronts(trial):
    """No token refused, each of the right account, and each client outlived its first one."""
    for name, least in trial.case.tokens.items():
        front = trial.fronts[name]
        if refused := front.refused():
            raise Complaint(f"{name} refused {len(refused)} of {len(front.log)} requests: {refused[0].why}")
        if len(front.tokens()) < least:
            raise Complaint(f"{name} saw {len(front.tokens())} tokens in {len(front.log)} requests")
        admitted = front.admitted()
        if strangers := {seen.email for seen in admitted} - {account(trial)}:
            raise Complaint(f"{name} saw tokens of {strangers}")
        if least > 1 and admitted[-1].at <= admitted[0].ends:
            raise Complaint(
                f"{name}: the last request was at {admitted[-1].at}, the first token lived {admitted[0].ends}"
            )


def account(trial):
    url = trial.sandbox.external_account["service_account_impersonation_url"]
    return re.search(r"serviceAccounts/([^:]+):", url)[1]


def check_log(said):
    """fedboot's own log: it went well, refreshed, and told no secret."""
    events = [json.loads(line) for line in said.splitlines() if line.startswith('{"severity"')]
    if bad := [event for event in events if event["severity"] not in ("DEBUG", "INFO")]:
        raise Complaint(f"fedboot says {bad[0]}")
    if not events or events[0]["message"] != "Google credentials are ready":
        raise Complaint(f"fedboot's first word is {events[:1]}")
    if secret := re.search(r"ya29\.\S|eyJ\S", said):
        raise Complaint(f"a token in the log: {secret[0]}…")
    refreshed = sum("refreshed" in event["message"] for event in events)
    return f"refreshed {refreshed}"


def run_case(case, arguments, emulators, place):
    """Returns what was seen, and what is wrong or None."""
    with LOCKS[case.lock] if case.lock else contextlib.nullcontext(), Trial(case, arguments, emulators, place) as trial:
        started = time.monotonic()
        try:
            seen, why = WAYS[case.how](trial), None
        except Complaint as complaint:
            seen, why = "", str(complaint)
        except (OSError, subprocess.SubprocessError, TimeoutError, RuntimeError, AssertionError) as error:
            seen, why = "", f"{type(error).__name__}: {error}"
        words = [f"{time.monotonic() - started:.0f} s"]
        if asked := {name: front for name, front in trial.fronts.items() if front.log}:
            requests = sum(len(front.log) for front in asked.values())
            refused = sum(len(front.refused()) for front in asked.values())
            counts = ", ".join(f"{name} {len(front.tokens())}" for name, front in asked.items())
            words.append(f"{requests} requests, {refused} refused; tokens: {counts}")
        words += [word for word in (seen, getattr(trial, "client", "")) if word]
    return "; ".join(words), why


def add_real_addresses():
    """Gives loopback the addresses of AWS's services. Returns why not, if it cannot."""
    if os.environ.get("FEDBOOT_STAGE") != "isolated":
        return "this needs a network of its own, and so root or user namespaces"
    if not shutil.which("ip"):
        return "no ip on PATH (apt-get install iproute2)"
    for address in REAL_ADDRESSES:
        command = ["ip", "address", "add", f"{address}/32", "dev", "lo"]
        tried = subprocess.run(command, check=False, capture_output=True, text=True)
        if tried.returncode:
            return tried.stderr.strip()
    return None


def skip(name, why):
    line = f"SKIP google {name}: {why}"
    print(line, file=sys.stderr, flush=True)
    if file := os.environ.get("FEDBOOT_SKIPS"):
        with open(file, "a") as skips:
            skips.write(line + "\n")


def runnable(cases, arguments, why_not_real):
    """Those that can run here; the others are skipped by name."""
    lacking = dict(arguments.lack)
    for case in cases:
        if why := lacking.get(case.needs) or lacking.get(case.client):
            skip(case.name, why)
        elif case.real and why_not_real:
            skip(case.name, why_not_real)
        else:
            yield case


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedboot", required=True)
    parser.add_argument("--sandbox", required=True)
    parser.add_argument("--emulators", required=True, help="a venv with both")
    parser.add_argument("--airflow", help="a venv with it")
    parser.add_argument("--client", action="append", default=[], help="name and command, separated by tabs")
    parser.add_argument("--lack", nargs=2, action="append", default=[], metavar=("NAME", "WHY"))
    parser.add_argument("--quick", action="store_true", help="what runs on every change")
    parser.add_argument("--keep", type=pathlib.Path, help="a directory for everything that was written")
    parser.add_argument("names", nargs="*", metavar="NAME", help="patterns of names of cases")
    arguments = parser.parse_args()
    why_not_isolated = stage.isolate()
    if why_not_isolated:
        print(f"   not in a network of its own: {why_not_isolated}", file=sys.stderr)
    os.environ.update(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    arguments.clients = {name: command for name, *command in (line.split("\t") for line in arguments.client)}
    wanted = [
        case
        for case in CASES
        if (case.quick or not arguments.quick)
        and (not arguments.names or any(fnmatch.fnmatch(case.name, name) for name in arguments.names))
    ]
    if not wanted:
        sys.exit("no case has such a name; there are: " + ", ".join(case.name for case in CASES))
    cases = list(runnable(wanted, arguments, add_real_addresses()))

    failed = 0
    with tempfile.TemporaryDirectory(prefix="fedboot-google-") as place:
        # Copies are not replaced by a build.
        for name in ("fedboot", "sandbox"):
            setattr(arguments, name, shutil.copy2(getattr(arguments, name), pathlib.Path(place, name)))
        with (
            Emulators(arguments.emulators, pathlib.Path(place)) as emulators,
            concurrent.futures.ThreadPoolExecutor(len(cases) or 1) as pool,
        ):
            running = {pool.submit(run_case, case, arguments, emulators, place): case for case in cases}
            for future in concurrent.futures.as_completed(running):
                try:
                    seen, why = future.result()
                except Exception as error:  # noqa: BLE001
                    seen, why = "broken", f"{type(error).__name__}: {error}"
                failed += why is not None
                print(f"{'FAIL' if why else 'ok  '} {running[future].name}: {seen}", flush=True)
                if why:
                    print(f"     {why}", flush=True)
        if arguments.keep:
            shutil.rmtree(arguments.keep, ignore_errors=True)
            shutil.copytree(place, arguments.keep, symlinks=True, ignore_dangling_symlinks=True)
    skipped = len(wanted) - len(cases)
    print(f"google: {len(cases) - failed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
