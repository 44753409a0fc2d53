"""The play of scripts/demo: a word count from S3 to S3, told as it happens."""

import argparse
import json
import sys

import jobs
import stage

# AWS grants sessions from 15 minutes up; these are short so that the job outlives its first ones.
LIFETIME = 16
PAUSE = 0.9


def say(words):
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}== {words}{plain}", flush=True)


def note(words=""):
    print(f"   {words}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("fedboot", "sandbox", "beam", "ministack"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--python-boot")
    arguments = parser.parse_args()
    why_no_containers = stage.isolate()

    programs = {name: getattr(arguments, name) for name in ("fedboot", "sandbox", "beam", "ministack")}
    with stage.Stage(**programs, lifetime=LIFETIME) as on_stage:
        play(on_stage, arguments.python_boot, why_no_containers)


def play(on_stage, boot, why_no_containers):
    say("Two clouds, on loopback" + ("" if why_no_containers else ", in a network of their own"))
    note(f"metadata server   {on_stage.metadata}   {stage.SERVICE_ACCOUNT}")
    note(f"STS               {on_stage.front.url}   {stage.ROLE}")
    note(f"S3                {on_stage.s3_url}   s3://{stage.BUCKET}")
    note(f"Sessions last {LIFETIME} seconds instead of an hour, so that they are refreshed while you watch.")
    if why_no_containers:
        note(f"({why_no_containers}: no containers, and Beam's own ports are open on all addresses meanwhile.)")

    say("S3 refuses what was not issued")
    for what, keys in (
        ("no key at all", None),
        ("an invented key", ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None)),
    ):
        refusal(on_stage, what, keys)

    def show(event):
        note(json.dumps(event, ensure_ascii=False))

    if boot and not why_no_containers:
        job = jobs.PythonContainerJob(on_stage, "python", boot, pause=PAUSE, on_event=show)
        say("A word count whose workers start as containers do")
        note('ENTRYPOINT ["fedboot", "--", "/opt/apache/beam/boot"], process 1; the environment holds no key and no')
        note(
            "role: that is an attribute of the Google project. Beam starts it with the container contract's arguments."
        )
    else:
        job = jobs.PoolJob(on_stage, "pool", pause=PAUSE, on_event=show)
        say("A word count whose workers start in Beam's worker pool")
        note("fedboot -- python -m apache_beam.runners.worker.worker_pool_main")
    note("~/.aws/credentials already holds revoked keys in [default], and a colleague's in [other].")
    note()
    note("fedboot says:")
    job.run()
    note(f"… and the job is done, after {job.seconds:.0f} seconds.")

    if boot and not why_no_containers:
        say("Process 1 of the container, once fedboot had become Beam's boot program")
        for word in list(job.seen.commands[1])[-1].split():
            note(word)

    counts = on_stage.output(job.output)
    expected = stage.expected_counts()
    say(f"The words, from s3://{stage.BUCKET}/{job.output}*")
    for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:8]:
        note(f"{count:3} {word}")
    note(f"{sum(counts.values())} words, {len(counts)} different ones; the text has {sum(expected.values())}.")

    say("~/.aws/credentials of the worker, secrets cut off")
    for line in jobs.masked(job.credentials[-1]).splitlines():
        note(line)

    say("The keys that signed the job's S3 requests")
    requests = on_stage.s3_requests(job)
    issued = job.issued()
    keys = list(dict.fromkeys(request.key for request in requests))
    for key in keys:
        times = [request.time for request in requests if request.key == key]
        source = "NOT FEDBOOT'S"
        if key in issued:
            source = f"delivered by refresh {issued.index(key)}" if issued.index(key) else "delivered at boot"
        note(f"{key}  {len(times):2} requests from {times[0]:%H:%M:%S} to {times[-1]:%H:%M:%S}  {source}")

    say("The job's first keys, tried again now")
    expired = refusal(on_stage, "expired since", job.delivered_keys(0))

    checks = {
        "the counts are right": counts == expected,
        "every request was signed with keys that fedboot delivered": set(keys) <= set(issued),
        "S3 refused none of them": all(request.status < 400 for request in requests),
        "the keys changed while the job ran": len(keys) > 1,
        "the first keys are dead by now": expired,
    }
    wrong = [what for what, right in checks.items() if not right]
    if wrong:
        sys.exit(f"\nThis did not work: not true that {'; '.join(wrong)}.")
    say("Done: S3 was read and written across a refresh, and no key was ever configured")


def refusal(on_stage, what, keys):
    """Reads an input file with `keys`, says and returns what comes of it."""
    code = on_stage.refusal(keys)
    note(f"GetObject with {what}: {code or 'ALLOWED'}")
    return code


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
