"""No engine yet: two processes that write to S3, to try the framework itself."""

import time

from cluster import BUCKET

LIFETIME = 8
PROGRAM = """
import boto3, sys, time
s3 = boto3.client("s3")
for number in range(40):
    s3.put_object(Bucket=sys.argv[1], Key=f"{sys.argv[2]}/{number}", Body=b"x")
    time.sleep(0.4)
print("done", flush=True)
time.sleep(600)
"""


def run(cluster):
    command = [cluster.venv / "bin/python", "-c", PROGRAM, BUCKET]
    workers = [cluster.worker(name, [*command, name]) for name in ("one", "two")]
    time.sleep(2)
    cluster.kill_an_agent(workers[0])
    for worker in workers:
        while "done" not in worker.log():
            cluster.check()
            time.sleep(0.1)
        assert len(cluster.stage.objects(f"{worker.name}/")) == 40
    return cluster.judge(refreshes=2)
