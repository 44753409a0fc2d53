"""Dask: a scheduler without credentials, two workers behind fedboot, S3 through s3fs and pyarrow."""

import words
from cluster import stage, wait_until

# A refresh every four seconds; the job takes more than three sessions.
LIFETIME = 8
OBJECTS = 48
PAUSE = 0.9


def run(cluster):
    count = words.WordCount(cluster, OBJECTS)
    at = {"HOST": "127.0.0.1", "PORT": str(stage.free_port())}
    scheduler = cluster.background("scheduler", cluster.printed("dask scheduler", **at))
    command = [*cluster.printed("fedboot -- dask worker", **at), "--host", "127.0.0.1", "--nthreads", "1"]
    first, second = (
        cluster.worker(f"worker {name}", [*command, "--local-directory", cluster.home(name)]) for name in ("one", "two")
    )

    def joined():
        cluster.check()
        return scheduler.log.read_text(errors="replace").count("Register worker addr") >= 2

    wait_until("both workers", joined, 60)
    count.start(pause=PAUSE, variables=at)
    for worker in (first, second):
        count.wait_for_parts(worker, 3)
    cluster.kill_an_agent(first)
    # What fedboot became is Dask's nanny. The process below it reads and writes.
    words.replace(second, lambda command: "multiprocessing" in command)
    for worker in (first, second):
        count.wait_for_parts(worker, 3)
    count.end()
    return cluster.judge(refreshes=2)
