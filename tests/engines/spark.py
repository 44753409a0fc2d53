"""Spark standalone: a master, two workers that fork an executor each, and a driver, the last three behind fedboot."""

import collections
import re

from cluster import BUCKET, jobs, stage, wait_until

LIFETIME = 16
# As many input files besides the stage's own seven, and seconds for each: twenty seconds for two executors.
FILES, PAUSE = 13, 2
# Quick to start, small, and nothing left in /tmp.
JVM = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Djava.io.tmpdir={place}"
# Where this stage is; a task that fails fails the job.
HERE = """
spark.hadoop.fs.s3a.endpoint           {url}
spark.hadoop.fs.s3a.path.style.access  true
spark.driver.extraClassPath            {jars}/*
spark.executor.extraClassPath          {jars}/*
spark.driver.bindAddress               127.0.0.1
spark.driver.host                      127.0.0.1
spark.task.maxFailures                 1
spark.ui.enabled                       false
spark.hadoop.hadoop.tmp.dir            {place}
spark.executor.extraJavaOptions        {jvm}
spark.driver.extraJavaOptions          {jvm}
"""
# Says which of S3A's providers it was.
LOGGING = """
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1}: %m%n%ex
logger.deploy.name = org.apache.spark.deploy
logger.deploy.level = info
# It warns of sessions that are shorter than a minute.
logger.sdk.name = software.amazon.awssdk
logger.sdk.level = error
logger.providers.name = org.apache.hadoop.fs.s3a.AWSCredentialProviderList
logger.providers.level = debug
"""
PROVIDER = re.compile(r"Using credentials from (\w+)")


# A machine of this size has one core and little memory.
SIZE = ["--cores", "1", "--memory", "512m", "--host", "127.0.0.1"]


def run(cluster):
    fill(cluster)
    settings = prepare(cluster)
    where = {"HOST": "127.0.0.1", "PORT": str(stage.free_port())}
    master = [*cluster.printed("spark-class", **where), *web()]
    master = cluster.background("master", master, **settings)
    wait_until("the master", lambda: master.check() or "New state: ALIVE" in said(master), 90)
    command = cluster.printed("fedboot -- spark-class", **where)
    command[2:2] = [*SIZE, *web()]
    workers = [
        cluster.worker(name, command, SPARK_WORKER_DIR=cluster.place / name, **settings)
        for name in ("worker-1", "worker-2")
    ]
    wait_until("the workers", lambda: cluster.check() or said(master).count("Registering worker") == 2, 90)

    command = [*cluster.printed("fedboot -- spark-submit", BUCKET=BUCKET, **where), "--pause", str(PAUSE)]
    driver = cluster.worker("driver", command, **settings)
    # In the middle of the job: some tasks are done, most are not.
    wait_until("the first tasks", lambda: cluster.check() or written(cluster) >= 4, 180)
    for worker in workers:
        check_executor(worker)
    cluster.kill_an_agent(workers[0])
    assert driver.server.process.wait(240) == 0, "the driver failed"

    assert counts(cluster) == expected(cluster)
    for worker in workers:
        assert worker.log().count("Asked to launch executor") == 1, f"{worker.name}: its executor was restarted"
        found = {name for log in executor_logs(cluster, worker) for name in PROVIDER.findall(log)}
        assert found == {"IAMInstanceCredentialsProvider"}, f"{worker.name}: {found}"
    return cluster.judge()


def web():
    """The option with which a web page is on a port of its own."""
    return ["--webui-port", str(stage.free_port())]


def prepare(cluster):
    """Completes the example's settings for this machine. Returns the environment of all processes."""
    jvm = JVM.format(place=cluster.place)
    with open(cluster.example("spark-defaults.conf"), "a") as defaults:
        defaults.write(HERE.format(url=cluster.stage.s3_front.url, jars=cluster.jars, place=cluster.place, jvm=jvm))
    conf = cluster.place / "conf"
    conf.mkdir()
    (conf / "log4j2.properties").write_text(LOGGING)
    (home,) = cluster.venv.glob("lib/python3*/site-packages/pyspark")
    return {
        "SPARK_HOME": home,
        "SPARK_CONF_DIR": conf,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": cluster.place / "local",
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": f"-Dspark.master.rest.enabled=false {jvm}",
        "PYSPARK_PYTHON": cluster.venv / "bin/python",
    }


def fill(cluster):
    s3 = cluster.stage.owner("s3")
    for number in range(FILES):
        s3.put_object(Bucket=BUCKET, Key=f"input/{number:02}.txt", Body=text_of(number))


def text_of(number):
    return "".join(stage.SONNET[number % len(stage.SONNET) :]).encode()


def expected(cluster):
    """Of all that the pattern in the README finds, the stage's own input too."""
    texts = (body for key, body in cluster.stage.objects("input/").items() if key.endswith(".txt"))
    return collections.Counter(word for text in texts for word in re.findall(r"[a-z']+", text.decode().lower()))


def counts(cluster):
    parts = {key: body for key, body in cluster.stage.objects("counts/counts/").items() if "/part-" in key}
    lines = (line.rpartition(": ") for body in parts.values() for line in body.decode().splitlines())
    return {word: int(count) for word, _, count in lines}


def written(cluster):
    """How many tasks have left their file."""
    done = {request.object for request in cluster.stage.s3_front.requests if request.completes_object()}
    return sum("/part-" in name for name in done)


def said(server):
    return server.log.read_text(errors="replace")


def executor_logs(cluster, worker):
    return [log.read_text(errors="replace") for log in (cluster.place / worker.name).glob("app-*/*/stderr")]


def check_executor(worker):
    """The worker forked it, and it asks the endpoint of the worker's agent."""
    family = {pid: jobs.command_of(pid) for pid in worker.family()}
    (executor,) = [pid for pid, command in family.items() if "CoarseGrainedExecutorBackend" in command]
    assert executor != worker.pid
    name = "AWS_CONTAINER_CREDENTIALS_FULL_URI="
    found = [
        [entry for entry in jobs.text_of(pid, "environ").split("\0") if entry.startswith(name)]
        for pid in (executor, worker.pid)
    ]
    assert found[0] and found[0] == found[1], f"{worker.name}: {found}"
