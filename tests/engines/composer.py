"""Airflow as Cloud Composer runs it: no entrypoint of one's own, so AWS's profile has fedboot called for credentials.

Two workers, each with a home of its own, run a DAG each by `airflow dags test`: the one in the example, and one whose
client outlives its sessions. What else is set is what the example's README has set in the environment.
"""

import json
import os
import shutil
import subprocess

from cluster import BUCKET, HERE, REFUSALS, stage, wait_until

LIFETIME = 8
# Two sessions and more, of which each is renewed at half its lifetime.
SECONDS = 20
# Where the environment's bucket is to be found there.
MOUNTED = "/home/airflow/gcs"


def run(cluster):
    bucket = cluster.place / "gcs"
    (bucket / "dags/fedboot").mkdir(parents=True)
    # As it comes from a bucket: nobody may execute it.
    program = bucket / "dags/fedboot/fedboot"
    shutil.copyfile(cluster.stage.fedboot, program)
    shutil.copyfile(cluster.example("credentials.sh"), bucket / "dags/fedboot/credentials.sh")
    config = cluster.example("aws-config").read_text()
    assert MOUNTED in config and stage.ROLE in config, config
    (bucket / "dags/fedboot/aws-config").write_text(config.replace(MOUNTED, str(bucket)))
    shutil.copyfile(cluster.example("s3_dag.py"), bucket / "dags/s3_dag.py")
    shutil.copyfile(HERE / "dags/outlive.py", bucket / "dags/outlive.py")

    first, second = (Worker(cluster, name, bucket) for name in ("worker one", "worker two"))
    first.airflow("db", "migrate")
    shutil.copyfile(first.database, second.database)
    running = [first.start("dags", "test", "s3_from_google"), second.start("dags", "test", "outlive")]

    # A newer fedboot in the bucket, in the middle of a task.
    wait_until("requests", lambda: running[1].check() or len(second.requests()) > 5, 240)
    before = os.stat(second.copy)
    shutil.copyfile(cluster.stage.fedboot, program)
    wait_until("the newer fedboot", lambda: os.stat(second.copy).st_ino != before.st_ino, 30)

    for dag in running:
        code = dag.process.wait(240)
        said = dag.log.read_text(errors="replace")
        assert code == 0, f"{dag.name} ended with {code}: {said[-3000:]}"
    (counts,) = cluster.stage.objects("output/airflow.json").values()
    assert json.loads(counts) == stage.expected_counts(), counts
    return judge(cluster, first, second)


def judge(cluster, *workers):
    requests = cluster.stage.s3_front.requests
    refused = [request for request in requests if request.status in REFUSALS or request.status >= 500]
    assert not refused, f"S3 refused {len(refused)} of {len(requests)} requests: {refused[:5]}"
    sessions = {request.key for request in workers[1].requests()}
    assert len(sessions) >= 3, f"the client that outlives its sessions used {len(sessions)}"
    # All processes of a worker share what one of them got.
    exchanges = cluster.stage.front.attempts
    assert len({request.key for request in requests}) <= exchanges < len(requests), f"{exchanges} exchanges"
    for worker in workers:
        assert os.stat(worker.copy).st_mode & 0o777 == 0o700
        assert os.listdir(worker.copy.parent) == ["fedboot"], os.listdir(worker.copy.parent)
    return {
        "workers": len(workers),
        "exchanges": exchanges,
        "sessions used": len({request.key for request in requests}),
        "S3 requests": len(requests),
        "refused": len(refused),
    }


class Worker:
    def __init__(self, cluster, name, bucket):
        self.cluster, self.name, home = cluster, name, cluster.home(name)
        self.copy = home / ".cache/fedboot-program/fedboot"
        self.database = home / "airflow/airflow.db"
        self.database.parent.mkdir()
        printed = cluster.printed("gcloud composer environments update")
        settings = printed[printed.index("--update-env-variables") + 1].replace(MOUNTED, str(bucket)).split(",")
        self.variables = {
            **cluster.environment(home),
            **dict(setting.split("=", 1) for setting in settings),
            "WORDS_BUCKET": BUCKET,
            "OUTLIVE_SECONDS": str(SECONDS),
            "AIRFLOW_HOME": str(self.database.parent),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}",
            # The default connection, as it is.
            "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
            "AIRFLOW__CORE__DAGS_FOLDER": str(bucket / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }

    def airflow(self, *words):
        done = subprocess.run(
            [self.cluster.venv / "bin/airflow", *words],
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, f"airflow {' '.join(words)}: {done.stdout[-2000:]}"

    def start(self, *words):
        return self.cluster.stage.background(
            f"{self.name}, {words[-1]}", [self.cluster.venv / "bin/airflow", *words], self.variables
        )

    def requests(self):
        """Those of the client that outlives its sessions: no other asks for that object's text alone."""
        return [request for request in self.cluster.stage.s3_front.requests if request.object == "output/outlive.txt"]
