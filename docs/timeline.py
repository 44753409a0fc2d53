#!/usr/bin/env python3
"""Draws docs/timeline.svg, a boot and some refreshes, from the log of a real fedboot between the sandbox's clouds.

    docs/timeline.py --fedboot target/release/fedboot --sandbox target/debug/fedboot-sandbox

The times are those of fedboot's log lines, of the sandbox's request log and of what the command itself wrote down. The
second part takes 65 seconds: sessions of 20 seconds, an STS that hangs up for a while, and an agent that is killed.
"""

import argparse
import datetime
import html
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

LIFETIME, SECONDS = 20, 65
# When STS hangs up, when it answers again, and when the agent is killed.
OUTAGE, RECOVERY, KILL = 26, 37, 53
METADATA_DELAY, ROUND_TRIP, BOOTS = 50, 40, 10
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# Of Okabe and Ito, as in clients.svg.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8c6d1f")
SEVERITIES = {"INFO": "#555", "WARNING": "#e69f00", "ERROR": "#d62700", "CRITICAL": "#d62700"}
LEFT, WIDTH, LANE = 190, 690, 24


def moment(text):
    return datetime.datetime.fromisoformat(text).timestamp()


def client(seconds):
    """The command of the second part: asks the endpoint as an SDK does, twice a second, and says what it got."""
    url, started = os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], time.time()
    killed, faults = False, None
    print(json.dumps({"at": started, "key": None}), flush=True)
    while (passed := time.time() - started) < seconds:
        if faults is None and passed > OUTAGE:
            faults = fault("POST", {"service": "sts", "effect": "close", "always": True})
        elif faults == "POST" and passed > RECOVERY:
            faults = fault("DELETE")
        if not killed and passed > KILL:
            with DIRECT.open(f"{url}/status", timeout=5) as answer:
                os.kill(json.load(answer)["agent"], signal.SIGKILL)
            killed = True
            print(json.dumps({"at": time.time(), "killed": True}), flush=True)
        asked = time.time()
        with DIRECT.open(url, timeout=5) as answer:
            key = json.load(answer)["AccessKeyId"]
        print(json.dumps({"at": asked, "key": key, "took": time.time() - asked}), flush=True)
        time.sleep(0.5)


def fault(method, body=None):
    data = body and json.dumps(body).encode()
    request = urllib.request.Request(f"{os.environ['FEDBOOT_SANDBOX']}/faults", data, method=method)
    with DIRECT.open(request, timeout=5):
        return method


def run(arguments, directory, sandbox_options, command):
    """Runs COMMAND behind fedboot; returns fedboot's start, its log, the requests, and what COMMAND wrote."""
    requests = directory / f"requests-{time.monotonic_ns()}"
    # The shell writes down the time and becomes fedboot.
    start = ["sh", "-c", 'date +%s.%N && exec "$@"', "sh", arguments.fedboot, "--log-format", "json"]
    done = subprocess.run(
        [arguments.sandbox, "--quiet", "--request-log", requests, *sandbox_options, "--", *start, "--", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode != 0:
        sys.exit(f"the command ended with {done.returncode}:\n{done.stderr}")
    first, *written = done.stdout.splitlines()
    log = [json.loads(line) for line in done.stderr.splitlines()]
    return float(first), log, [json.loads(line) for line in requests.read_text().splitlines()], written


def text(x, y, words, colour="#000", anchor="start", weight="normal"):
    words = html.escape(words)
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}">{words}</text>'


def bar(x, y, width, colour, height=12):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1.5):.1f}" height="{height}" fill="{colour}"/>'


def tick(x, y, colour, height=12):
    return f'<path d="M{x:.1f} {y:.1f}v{height}" stroke="{colour}" stroke-width="2"/>'


def boot(arguments, directory, top):
    """The first panel, and where it ends."""
    options = ["--round-trip", str(ROUND_TRIP), "--fault", f"metadata:delay={METADATA_DELAY},always"]
    runs = [run(arguments, directory, options, ["date", "+%s.%N"]) for _ in range(BOOTS)]
    # What else this machine does is not what is drawn.
    start, log, requests, written = min(runs, key=lambda one: float(one[3][0]) - one[0])
    ready = next(line for line in log if line["message"] == "AWS credentials are ready")
    command, ready = (float(written[0]) - start) * 1000, (moment(ready["time"]) - start) * 1000
    scale = WIDTH / (command + 25)

    def across(milliseconds):
        return LEFT + milliseconds * scale

    title = f"A boot, the quickest of {BOOTS}: the metadata server answers after {METADATA_DELAY} ms, STS is {ROUND_TRIP} ms away"
    parts = [text(4, top, title, weight="bold")]
    lanes = [("fedboot", 0, ready, COLOURS[0], f"credentials are ready: {ready:.0f} ms")]
    for service, label, away in (("metadata", "Google's metadata server", 0), ("sts", "AWS STS", ROUND_TRIP)):
        request = next(request for request in requests if request["service"] == service)
        arrived = (moment(request["at"]) - start) * 1000
        begin, end = arrived - away / 2, arrived + request["took_ms"] + away / 2
        lanes.append((label, begin, end, COLOURS[1 if service == "metadata" else 2], f"{request['action']}"))
    lanes.append(("the command", command, command + 25, COLOURS[3], f"runs after {command:.0f} ms"))
    for index, (label, begin, end, colour, words) in enumerate(lanes):
        y = top + 14 + index * LANE
        parts += [text(4, y + 10, label), bar(across(begin), y, (end - begin) * scale, colour)]
        # Behind the bar where there is room, else in it, else before it.
        if across(end) + 6 + 6 * len(words) < LEFT + WIDTH + 20:
            parts.append(text(across(end) + 6, y + 10, words, "#333"))
        elif (end - begin) * scale > 6 * len(words) + 12:
            parts.append(text(across(end) - 6, y + 10, words, "#fff", "end"))
        else:
            parts.append(text(across(begin) - 6, y + 10, words, "#333", "end"))
    return parts, top + 14 + len(lanes) * LANE


def day(arguments, directory, top):
    """The second panel, and where it ends."""
    options = ["--credential-lifetime", str(LIFETIME)]
    command = [sys.executable, __file__, "--client", str(SECONDS)]
    _, log, _, written = run(arguments, directory, options, command)
    started, *written = [json.loads(line) for line in written]
    start = started["at"]
    issued = [line for line in log if "access_key_id" in line]
    keys = {line["access_key_id"]: COLOURS[index % len(COLOURS)] for index, line in enumerate(issued)}

    def across(at):
        return LEFT + min(max(at - start, 0), SECONDS) * WIDTH / SECONDS

    title = f"Refreshes: a session lives {LIFETIME} s here, an hour by default, so {LIFETIME} s stand for an hour"
    parts, y = [text(4, top, title, weight="bold")], top + 28
    for second in range(0, SECONDS + 1, 10):
        x = across(start + second)
        parts += [f'<path d="M{x:.1f} {y}v{LANE * (len(issued) + 3)}" stroke="#ddd"/>']
        parts.append(text(x, y - 6, f"{second} s", anchor="middle"))
    parts.append(
        bar(across(start + OUTAGE), y, (RECOVERY - OUTAGE) * WIDTH / SECONDS, "#f3d9d2", LANE * (len(issued) + 3))
    )
    parts.append(text(across(start + OUTAGE) + 3, y + LANE * (len(issued) + 3) + 12, "STS hangs up", "#d62700"))
    for line in issued:
        begin, end = across(moment(line["time"])), across(moment(line["expiration"]))
        parts += [
            text(4, y + 12, f"session {line['access_key_id'][-4:]}"),
            bar(begin, y + 3, end - begin, keys[line["access_key_id"]]),
        ]
        y += LANE
    parts.append(text(4, y + 12, "fedboot's log lines"))
    for line in log:
        parts.append(tick(across(moment(line["time"])), y + 3, SEVERITIES[line["severity"]]))
    y += LANE
    parts.append(text(4, y + 12, "a client's requests"))
    for line in written:
        if "key" in line:
            parts.append(tick(across(line["at"]), y + 3, keys[line["key"]]))
    y += LANE
    killed = next(line["at"] for line in written if "killed" in line)
    parts += [text(4, y + 12, "the agent is killed"), tick(across(killed), y + 3, "#d62700")]
    slowest = max(line["took"] for line in written if "took" in line and line["at"] > killed - 1)
    parts.append(
        text(across(killed) - 6, y + 13, f"the slowest answer after it: {slowest * 1000:.0f} ms", "#333", "end")
    )
    y += LANE + 18
    parts.append(
        text(
            4,
            y + 14,
            "A log line is grey for INFO, amber for WARNING, red for ERROR and CRITICAL. A request has the colour of its session.",
        )
    )
    return parts, y + 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fedboot", type=os.path.abspath)
    parser.add_argument("--sandbox", type=os.path.abspath)
    parser.add_argument("--client", type=float, metavar="SECONDS", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).with_name("timeline.svg"))
    arguments = parser.parse_args()
    if arguments.client:
        client(arguments.client)
        return
    if not (arguments.fedboot and arguments.sandbox):
        parser.error("--fedboot and --sandbox are needed")
    with tempfile.TemporaryDirectory() as directory:
        first, bottom = boot(arguments, pathlib.Path(directory), 20)
    with tempfile.TemporaryDirectory() as directory:
        second, bottom = day(arguments, pathlib.Path(directory), bottom + 34)
    box = f'viewBox="0 0 {LEFT + WIDTH + 20} {bottom:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="11">'
    arguments.output.write_text(
        "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *first, *second, "</svg>\n"])
    )


if __name__ == "__main__":
    main()
