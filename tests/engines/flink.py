"""Flink: a session cluster of a job manager and two task managers behind fedboot, and a SQL job that does not end by itself."""

import json
import os
import re
import shutil

from cluster import BUCKET, stage, wait_until

LIFETIME = 16
# Lines of the poem, each a file of the watched folder: how often one comes, and how many at most.
PACE, MOST_LINES = 0.5, 400
# What this machine has, in the place of what a cluster has.
HERE = {
    "address: jobmanager\n    port: 6123": "address: localhost\n    port: {rpc}",
    "jobmanager:\n  rpc:": "jobmanager:\n  bind-host: localhost\n  rpc:",
    "taskmanager:\n": "taskmanager:\n  host: localhost\n  bind-host: localhost\n",
    "address: jobmanager\n  port: 8081": "address: localhost\n  bind-address: localhost\n  port: {rest}",
    "  endpoint:\n    region: eu-west-1": "  endpoint: {s3}\n  endpoint.region: eu-west-1\n  path.style.access: true",
}
# Quick to start, and nothing left in /tmp.
JVM = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Djava.io.tmpdir={place}"
# Says which of S3A's providers it was.
LOGGING = """
logger.providers.name = org.apache.hadoop.fs.s3a.AWSCredentialProviderList
logger.providers.level = DEBUG
"""
PROVIDER = re.compile(r"Using credentials from (?:[\w.]*\.)?(\w+)")


def run(cluster):
    settings, rest = prepare(cluster)
    manager = cluster.worker("job-manager", cluster.printed("fedboot -- jobmanager.sh"), **settings)
    command = cluster.printed("fedboot -- taskmanager.sh")
    workers = [cluster.worker(name, command, **settings) for name in ("task-manager-1", "task-manager-2")]

    def both_there():
        cluster.check()
        return (rest("/overview") or {}).get("slots-available") == 2

    wait_until("both task managers", both_there, 180)
    feed = Feed(cluster)
    feed.put()
    client = cluster.background("sql-client", cluster.printed("sql-client.sh"), **settings)
    assert client.process.wait(180) == 0, client.log.read_text()[-2000:]
    (job,) = [job["jid"] for job in rest("/jobs/overview")["jobs"]]
    feed.until("the first lines", lambda: written(cluster), 120)

    def checkpoints():
        return rest(f"/jobs/{job}/checkpoints")["counts"]

    # Those that failed before were wanted before the job ran.
    before = checkpoints()
    cluster.kill_an_agent(workers[0])
    feed.until(
        "checkpoints, with sessions of the second agent",
        lambda: cluster.has_gone_on() and checkpoints()["completed"] >= before["completed"] + 4,
        120,
    )
    wait_until("all lines", lambda: cluster.check() or written(cluster) == feed.expected, 60, PACE)
    after = checkpoints()
    assert after["failed"] == before["failed"], f"a checkpoint failed: {before}, then {after}"
    assert after["restored"] == 0, "the job was restarted"

    stop = cluster.background("stop", cluster.printed("flink stop", BUCKET=BUCKET, JOB=job), **settings)
    assert stop.process.wait(120) == 0, stop.log.read_text()[-2000:]
    wait_until("the job's end", lambda: rest(f"/jobs/{job}")["state"] == "FINISHED")
    assert written(cluster) == feed.expected, "the end lost or repeated something"
    assert any(name.endswith("/_metadata") for name in cluster.stage.objects("savepoints/")), "no savepoint"
    for worker in (manager, *workers):
        found = set(PROVIDER.findall(worker.log()))
        assert found == {"IAMInstanceCredentialsProvider"}, f"{worker.name}: {found}"
    return {**cluster.judge(), "checkpoints": after["completed"]}


def prepare(cluster):
    """The example's settings on this machine. Returns the environment of all processes, and how to ask the job manager."""
    (flink,) = cluster.venv.glob("lib/python3*/site-packages/pyflink")
    places = {"rpc": stage.free_port(), "rest": stage.free_port(), "s3": cluster.stage.s3_front.url}
    settings = cluster.example("config.yaml").read_text()
    for there, here in HERE.items():
        assert settings.count(there) == 1, f"{there!r} is not in config.yaml"
        settings = settings.replace(there, here.format(**places))
    conf = cluster.place / "conf"
    shutil.copytree(flink / "conf", conf)
    own = (conf / "config.yaml").read_text()
    environment = re.search(r"^env:\n(?: .*\n)+", own, re.MULTILINE).group().rstrip("\n")
    (conf / "config.yaml").write_text(f"{environment} {JVM.format(place=cluster.place)}\n{settings}")
    with open(conf / "log4j-console.properties", "a") as log:
        log.write(LOGGING)
    # As they lie in Flink's own archive and image.
    jars = {"plugins/s3-fs-hadoop": [*cluster.jars.glob("flink-s3-*.jar")]}
    jars["opt"] = [*cluster.jars.glob("flink-sql-gateway-*.jar"), *(flink / "opt").iterdir()]
    for directory, files in jars.items():
        (cluster.place / directory).mkdir(parents=True)
        for jar in files:
            (cluster.place / directory / jar.name).symlink_to(jar)

    def rest(path):
        try:
            with stage.DIRECT.open(f"http://127.0.0.1:{places['rest']}{path}", timeout=30) as reply:
                return json.load(reply)
        except OSError:
            return None

    # The client would write its history into the home of the machine's user.
    variables = {
        "JVM_ARGS": f"-Duser.home={cluster.place}",
        "PATH": f"{flink}/bin:{os.environ['PATH']}",
        "FLINK_CONF_DIR": conf,
        "FLINK_PLUGINS_DIR": cluster.place / "plugins",
        "FLINK_OPT_DIR": cluster.place / "opt",
        "FLINK_LOG_DIR": cluster.place / "log",
        "FLINK_PID_DIR": cluster.place / "pid",
    }
    return variables, rest


class Feed:
    """Puts lines into the folder that the job watches."""

    def __init__(self, cluster):
        self.cluster, self.expected = cluster, {}
        self.s3 = cluster.stage.owner("s3")

    def put(self):
        number = len(self.expected)
        assert number < MOST_LINES, "so many lines, and still not done"
        line = f"{number:04} {stage.SONNET[number % len(stage.SONNET)].strip()}"
        self.s3.put_object(Bucket=BUCKET, Key=f"poem/{number:04}.txt", Body=f"{line}\n".encode())
        self.expected[line] = len(line)

    def until(self, what, condition, seconds):
        def going_on():
            self.cluster.check()
            self.put()
            return condition()

        wait_until(what, going_on, seconds, pause=PACE)


def written(cluster):
    """What stands in the job's output, which must not say anything twice."""
    # Others in there are what a checkpoint holds of files that are not complete.
    files = cluster.stage.objects("lengths/part-")
    lines = [json.loads(line) for body in files.values() for line in body.splitlines()]
    found = {line["line"]: line["length"] for line in lines}
    assert len(found) == len(lines), "a line was written twice"
    return found
