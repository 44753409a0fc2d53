"""Ray: a head node without credentials, two nodes behind fedboot, S3 through pyarrow and s3fs."""

import words
from cluster import stage, wait_until

# A refresh every four seconds; the job takes more than three sessions.
LIFETIME = 8
OBJECTS = 48
PAUSE = 0.9
STARTED = "Ray runtime started"
# Little memory, and no process that the job does not need.
SMALL = ("--object-store-memory", str(80 * 2**20), "--include-log-monitor", "false")


def run(cluster):
    count = words.WordCount(cluster, OBJECTS)
    at = {"HEAD": "127.0.0.1", "PORT": str(stage.free_port())}

    def small(command, directory):
        """A node with a directory of its own for its sockets, whose names must be short."""
        return [*command, *SMALL, "--temp-dir", cluster.place / directory]

    head = cluster.background("head", small(cluster.printed("ray start --head", **at), "h"))
    wait_until("the head", lambda: head.check() or STARTED in head.log.read_text(errors="replace"), 90)
    # One processor for the actor, one for tasks. Each node has an address of its own on loopback.
    join = [*cluster.printed("fedboot -- ray start", **at), "--num-cpus", "2", "--node-ip-address"]
    nodes = []
    # One after the other: Ray gives up a node that is not there within 30 seconds, and the machine may have much to do.
    for name, address in (("one", "127.0.0.2"), ("two", "127.0.0.3")):
        nodes.append(cluster.worker(f"node {name}", small([*join, address], name)))
        wait_until(nodes[-1].name, lambda: cluster.check() or STARTED in nodes[-1].log(), 90)
    first, second = nodes
    count.start(pause=PAUSE, RAY_ADDRESS=f"{at['HEAD']}:{at['PORT']}")
    for worker in (first, second):
        count.wait_for_parts(worker, 3, 90)
    cluster.kill_an_agent(first)
    # Node two loses what works and what waits for work there, and Ray starts the actor again.
    words.replace(second, lambda command: command.startswith(("ray::Counter", "ray::IDLE")), 90)
    for worker in (first, second):
        count.wait_for_parts(worker, 3)
    count.end()
    return cluster.judge(refreshes=2)
