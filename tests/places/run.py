"""Where fedboot is started by somebody else than a shell: Kubernetes, Cloud Run, systemd. Called by `run` beside it."""

import argparse
import concurrent.futures
import os
import subprocess
import sys
import unittest

import cloud_run
import machines
import node  # noqa: F401  finds stage.py
import pods
import stage

GROUPS = {
    "jobs": [pods.Jobs],
    "sidecars": [pods.Sidecars],
    "eks": [pods.OnEks, pods.Manifests],
    "cloud_run": [cloud_run.Files, cloud_run.Flags, cloud_run.Lives],
    "machines": [machines.ComputeEngine, machines.Ec2],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("fedboot", "sandbox", "boto3", "google"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--kubernetes")
    parser.add_argument("--why-no-kubernetes")
    parser.add_argument("--group", choices=GROUPS)
    parser.add_argument("tests", nargs="*", help="names of tests, all otherwise")
    arguments = parser.parse_args()
    if arguments.group:
        return play(arguments)

    # Each in a network of its own, so they can be played at the same time: they wait more than they work.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = pool.map(lambda group: run(group), GROUPS)
    totals = [0, 0, 0]
    for output, numbers in done:
        sys.stderr.write(output)
        totals = [total + number for total, number in zip(totals, numbers, strict=True)]
    print("places: {} passed, {} failed, {} skipped".format(*totals), flush=True)
    return 1 if totals[1] or not sum(totals) else 0


def run(group):
    command = [sys.executable, sys.argv[0], "--group", group, *sys.argv[1:]]
    ended = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    last = ended.stdout.splitlines()[-1:] or [""]
    try:
        numbers = [int(number) for number in last[0].split()]
        assert len(numbers) == 3
    except (ValueError, AssertionError):
        return ended.stderr + ended.stdout + f"{group} ended with {ended.returncode}\n", (0, 1, 0)
    return ended.stderr, numbers


def play(arguments):
    pods.PodTest.arguments = arguments
    if os.geteuid() != 0:
        why_not = "only root can start containers as several users"
    else:
        why_not = stage.isolate()
    # Its code expands a container's variables, too.
    pods.PodTest.why_not = why_not or (None if arguments.kubernetes else arguments.why_no_kubernetes)
    loader = unittest.defaultTestLoader
    if arguments.tests:
        loader.testNamePatterns = [f"*{name}*" for name in arguments.tests]
    suite = unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in GROUPS[arguments.group])
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    skips = os.environ.get("FEDBOOT_SKIPS")
    for test, reason in result.skipped:
        line = f"SKIP places {test.id().rpartition('.')[2]}: {reason}\n"
        sys.stderr.write(line)
        if skips:
            with open(skips, "a") as summary:
                summary.write(line)
    failed = len(result.failures) + len(result.errors)
    print(result.testsRun - failed - len(result.skipped), failed, len(result.skipped), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
