"""Runs the cells of the conformance suite, compares them with what is expected, writes the table; see README.md.

Called by `run` beside it, which has built the clients.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import cloud
import report

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "beam"))
import stage

LIFETIME = 20
INTERVAL = 0.5
# They mostly sleep.
AT_ONCE = 24
DEFAULT = "file,endpoint"
WEATHERS = ("steady", "failing", "outage")
OTHERS = ("endpoint", "file", "process", "token-file", "env")
EXCHANGE = "AssumeRoleWithWebIdentity"
GOOD = ("yes", "each call")


@dataclasses.dataclass
class Cell:
    client: str
    command: list
    delivery: str
    weather: str
    result: dict = dataclasses.field(default_factory=dict)

    @property
    def column(self):
        return self.weather if self.delivery == DEFAULT else self.delivery

    @property
    def name(self):
        return f"{self.client} {self.column}"

    @property
    def seconds(self):
        """Three lifetimes and a bit: at the end of the third the client still has to go on. Half of it shows that what
        is never refreshed is not."""
        return (1.6 if self.delivery == "env" else 3.2) * LIFETIME


class Sandbox:
    """The sandbox of one cell, and its control API."""

    def __init__(self, program, place):
        command = [program, "--service-account", stage.SERVICE_ACCOUNT, "--role", stage.ROLE]
        command += ["--credential-lifetime", str(LIFETIME)]
        self.server = stage.Background("sandbox", command, {"PATH": os.defpath, "TMPDIR": place}, place / "sandbox.log")
        found = stage.wait_until("the sandbox", self.address)
        self.control = found[1]
        self.urls = self.get("/")["urls"]

    def address(self):
        self.server.check()
        return re.search(r"control +(http://\S+) ", self.server.log.read_text())

    def get(self, path):
        with stage.DIRECT.open(self.control + path, timeout=30) as reply:
            return json.load(reply)

    def post(self, path, form):
        status, _, answer = stage.post(self.control + path, json.dumps(form).encode())
        assert status == 200, answer
        return json.loads(answer)

    def clear_faults(self):
        with stage.DIRECT.open(stage.urllib.request.Request(f"{self.control}/faults", method="DELETE"), timeout=30):
            pass


def fault(effect, **more):
    return {"service": "sts", "on": EXCHANGE, "effect": effect, **more}


def every_second_fails(sandbox):
    """The boot's exchange goes well; then every second one fails, in turn as AWS fails and as it refuses."""
    bad = [fault("error", code=code) for code in ("ServiceUnavailable", "AccessDenied")]
    sandbox.post("/faults", [one for pair in range(50) for one in (fault("pass"), bad[pair % 2])])


def outages(sandbox, ended):
    """STS hangs up without a word from 40 % to 80 % of each lifetime: the time for refreshing is in there."""
    seen = 0
    while not ended.wait(0.1):
        issued = sandbox.get("/issued")
        if len(issued) > seen:
            seen = len(issued)
            start = cloud.unix(issued[-1]["issued_at"]) + 0.4 * LIFETIME
            if ended.wait(max(0.0, start - time.time())):
                return
            sandbox.post("/faults", fault("close", always=True))
            ended.wait(0.4 * LIFETIME)
            sandbox.clear_faults()


def run_cell(cell, arguments, place):
    """Fills in `cell.result`."""
    place = pathlib.Path(place, cell.name.replace(" ", "-"))
    for name in ("home", "tmp"):
        (place / name).mkdir(parents=True)
    with contextlib.ExitStack() as ending:
        sandbox = Sandbox(arguments.sandbox, place)
        ending.callback(sandbox.server.stop)
        keys = cloud.Keys(lambda: sandbox.get("/issued"))
        s3 = ending.enter_context(cloud.S3(HERE / "bucket", keys))
        sts = ending.enter_context(cloud.Sts(sandbox.urls["sts_http"].removeprefix("http://")))
        ended = threading.Event()
        if cell.weather == "failing":
            every_second_fails(sandbox)
        elif cell.weather == "outage":
            thread = threading.Thread(target=outages, args=(sandbox, ended))
            thread.start()
            ending.callback(thread.join)
            ending.callback(ended.set)
        words = [arguments.fedboot, "--role-arn", stage.ROLE, "--delivery", cell.delivery]
        # What fails for fedboot need not fail for the client.
        words += ["--sts-endpoint", sandbox.urls["sts_http"], "--log-format", "json"]
        words += ["--", sys.executable, HERE / "launch.py", place, *cell.command]
        with (place / "stderr").open("w") as errors:
            code = subprocess.run(
                [str(word) for word in words],
                env=environment(cell, place, sandbox, s3, sts),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                check=False,
                timeout=4 * cell.seconds,
            ).returncode
        issued = sandbox.get("/issued")
        exchanges = sandbox.get(f"/requests?action={EXCHANGE}")
    if code:
        tail = (place / "stderr").read_text(errors="replace").strip()[-600:]
        cell.result = {"verdict": "broken", "why": f"ended with {code}: {tail}"}
        return
    cell.result = judge(cell, place, s3, sts, issued)
    cell.result["faults"] = sum(
        exchange["fault"] is not None and '"pass"' not in exchange["fault"] for exchange in exchanges
    )


def environment(cell, place, sandbox, s3, sts):
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "GCE_METADATA_HOST": sandbox.urls["metadata"].removeprefix("http://"),
        "AWS_REGION": cloud.REGION,
        # Python's SDK reads no other.
        "AWS_DEFAULT_REGION": cloud.REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_S3": s3.url,
        "AWS_ENDPOINT_URL_STS": sts.url,
        "CONFORMANCE_S3": s3.url,
        "CONFORMANCE_STS": sts.url,
        "CONFORMANCE_BUCKET": cloud.BUCKET,
        "CONFORMANCE_KEY": "words.txt",
        "CONFORMANCE_PARQUET": "table/part-0.parquet",
        "CONFORMANCE_SECONDS": str(cell.seconds),
        "CONFORMANCE_INTERVAL": str(INTERVAL),
    }


def json_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def judge(cell, place, s3, sts, issued):
    """What the client said, and what the services saw, in figures and in one word."""
    first, *lines = json_lines(place / "client.jsonl")
    # Whatever came later came from the second process.
    again = json_lines(place / "again.jsonl")[1:]
    end = again[0]["at"] if again else float("inf")
    seen = sorted((entry for entry in (*s3.log, *sts.log) if entry[0] < end), key=lambda entry: entry[0])
    answers = [(at, until) for at, until in (*json_lines(place / "answers.jsonl"), *sts.answers) if at < end]
    early = [before[1] - at for before, (at, _) in itertools.pairwise(answers)]
    admitted = [key for _, key, code in seen if not code]
    errors = [line["error"] for line in lines if line["error"]]
    codes = collections.Counter(code for _, _, code in seen if code)
    used = list(dict.fromkeys(admitted))
    went_well = {line["operation"]: not line["error"] for line in lines}

    if not admitted:
        verdict = "refused" if any(key for _, key, _ in seen) else "no keys"
        if cell.delivery == "token-file" and not answers:
            verdict = "no exchange"
    elif len(used) >= 3 and all(went_well.values()):
        verdict = "each call" if first.get("each_call") else "yes"
    elif again and not again[-1]["error"]:
        verdict = "new process"
    else:
        verdict = "never"
    start = lines[0]["at"] if lines else 0
    return {
        "client": first["client"],
        "version": first["version"],
        "verdict": verdict,
        "requests": len(lines),
        "failed": len(errors),
        "refused": sum(codes.values()),
        "codes": codes,
        "error": errors[0] if errors else None,
        "answers": len(answers),
        "early": round(statistics.median(early), 1) if early else None,
        "issued": len(issued),
        "timeline": [[round(at - start, 2), issued_index(issued, key), code] for at, key, code in seen],
        "expiries": [round(cloud.unix(one["expires_at"]) - start, 2) for one in issued],
    }


def issued_index(issued, key):
    return next((index for index, one in enumerate(issued) if one["access_key_id"] == key), None)


def complaint(cell, expected):
    """What is wrong with the result, or None."""
    result = cell.result
    if "why" in result:
        return result["why"]
    if cell.delivery == DEFAULT and (result["verdict"] not in GOOD or result["failed"]):
        return f"the default must not fail: {result['error']}"
    if cell.weather != "steady" and result["faults"] < 2:
        return f"the weather was too good: {result['faults']} refreshes failed"
    wanted = expected.get(cell.client, {}).get(cell.delivery, "")
    if report.verdict(result) not in wanted.split(" | "):
        return f'expected.json says "{wanted}": {result["error"]}'
    return None


def accept(cell, expected):
    """What is expected may be two words: a client that asks in the very second of expiry is lucky or not."""
    row, word = expected.setdefault(cell.client, {}), report.verdict(cell.result)
    if word != "broken" and word not in row.get(cell.delivery, "").split(" | "):
        row[cell.delivery] = word


def check_services(arguments, place):
    """S3 refuses what it should, or the cells would show nothing. Raises what is wrong."""
    place = pathlib.Path(place, "services")
    place.mkdir()
    with contextlib.ExitStack() as ending:
        sandbox = Sandbox(arguments.sandbox, place)
        ending.callback(sandbox.server.stop)
        s3 = ending.enter_context(cloud.S3(HERE / "bucket", cloud.Keys(lambda: sandbox.get("/issued"))))
        form = {
            "Action": EXCHANGE,
            "Version": "2011-06-15",
            "RoleArn": stage.ROLE,
            "RoleSessionName": "by-hand",
            "WebIdentityToken": sandbox.post("/tokens", {})["token"],
        }
        status, _, answer = stage.post(sandbox.urls["sts_http"], stage.urllib.parse.urlencode(form).encode())
        assert status == 200, answer
        (issued,) = sandbox.get("/issued")
        good = {
            "aws_access_key_id": issued["access_key_id"],
            "aws_secret_access_key": issued["secret_access_key"],
            "aws_session_token": issued["session_token"],
            "region_name": cloud.REGION,
        }

        def refusal(key="words.txt", **changes):
            config = stage.Config(retries={"total_max_attempts": 1})
            client = stage.boto3.session.Session().client(
                "s3", endpoint_url=s3.url, config=config, **{**good, **changes}
            )
            try:
                client.get_object(Bucket=cloud.BUCKET, Key=key)
            except stage.ClientError as error:
                return error.response["Error"]["Code"]
            return None

        found = {
            None: refusal(),
            "NoSuchKey": refusal(key="an other/käy+&~*"),
            "SignatureDoesNotMatch": refusal(aws_secret_access_key="x" * 40),
            "InvalidToken": refusal(aws_session_token="x" * 40),
            "InvalidAccessKeyId": refusal(aws_access_key_id="ASIAINVENTEDINVENTED"),
        }
        elsewhere = refusal(region_name="us-east-1")
        time.sleep(max(0.0, cloud.unix(issued["expires_at"]) - time.time()))
        found["ExpiredToken"] = refusal()
    wrong = {wanted: got for wanted, got in found.items() if wanted != got}
    assert not wrong and elsewhere == "SignatureDoesNotMatch", f"S3 said otherwise: {wrong}, {elsewhere}"


def cells_of(clients, deliveries):
    if unknown := set(deliveries) - {"default", *OTHERS}:
        sys.exit(f"no such delivery: {' '.join(unknown)}")
    wanted = [(DEFAULT, weather) for weather in WEATHERS if "default" in deliveries]
    wanted += [(delivery, "steady") for delivery in OTHERS if delivery in deliveries]
    # A weather after the other, so that no client starts eight times in the same second.
    return [Cell(name, command, *pair) for pair in wanted for name, command in clients.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedboot", required=True, type=pathlib.Path)
    parser.add_argument("--sandbox", required=True, type=pathlib.Path)
    parser.add_argument("--clients", required=True, type=pathlib.Path, help="a line each: name and command, by tabs")
    parser.add_argument("--skipped", type=int, default=0, help="how many clients cannot run here")
    parser.add_argument("--delivery", default=" ".join(["default", *OTHERS]), help="separated by spaces")
    parser.add_argument("--accept", action="store_true", help="what is measured becomes what is expected")
    parser.add_argument("--write", type=pathlib.Path, metavar="DIRECTORY", help="writes the table and the plot there")
    parser.add_argument("--keep", type=pathlib.Path, help="a directory for everything that was written")
    arguments = parser.parse_args()
    if why := stage.isolate():
        print(f"   not in a network of its own: {why}", file=sys.stderr)
    os.environ.update(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    lines = (line.split("\t") for line in arguments.clients.read_text().splitlines())
    clients = {name: command for name, *command in lines}
    expected = json.loads((HERE / "expected.json").read_text())
    cells = cells_of(clients, arguments.delivery.split())

    failed = 0
    with tempfile.TemporaryDirectory(prefix="fedboot-conformance-") as place:
        # Copies are not replaced by a build.
        arguments.fedboot = shutil.copy2(arguments.fedboot, pathlib.Path(place, "fedboot"))
        arguments.sandbox = shutil.copy2(arguments.sandbox, pathlib.Path(place, "sandbox"))
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            services = pool.submit(check_services, arguments, place)
            running = {pool.submit(run_cell, cell, arguments, place): cell for cell in cells}
            for future in concurrent.futures.as_completed(running):
                cell = running[future]
                if error := future.exception():
                    cell.result = {"verdict": "broken", "why": f"{type(error).__name__}: {error}"}
                if arguments.accept and cell.weather == "steady":
                    accept(cell, expected)
                why = complaint(cell, expected)
                failed += why is not None
                print(f"{'FAIL' if why else 'ok  '} {cell.name}: {report.line(cell.result)}", flush=True)
                if why:
                    print(f"     {why}", flush=True)
        if error := services.exception():
            failed += 1
            print(f"FAIL services: {type(error).__name__}: {error}", flush=True)
        if arguments.keep:
            shutil.rmtree(arguments.keep, ignore_errors=True)
            shutil.copytree(place, arguments.keep)
    if arguments.accept:
        (HERE / "expected.json").write_text(json.dumps(expected, indent=2, sort_keys=True) + "\n")
    if arguments.write and not failed:
        report.write(cells, arguments.write, lifetime=LIFETIME)
    print(f"conformance: {len(cells) + 1 - failed} passed, {failed} failed, {arguments.skipped} skipped", flush=True)
    return 1 if failed or not cells else 0


if __name__ == "__main__":
    sys.exit(main())
