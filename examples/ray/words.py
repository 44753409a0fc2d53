"""Counts the words of all objects below one S3 URL: a Ray job whose workers read and write S3.

Nothing in it knows of AWS's keys, and the driver, which only hands out work, asks S3 for nothing. An actor keeps its
two file systems for as long as it lives.
"""

import argparse
import collections
import json
import re
import time

import ray
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy


def arrow(path):
    """pyarrow's S3, which is AWS's SDK for C++."""
    from pyarrow import fs

    # With a URL it finds the bucket's region, and heeds AWS_ENDPOINT_URL_S3.
    return fs.FileSystem.from_uri(f"s3://{path.partition('/')[0]}")[0]


def files():
    """s3fs, which is botocore; it keeps one for each process by itself."""
    import s3fs

    return s3fs.S3FileSystem()


@ray.remote
def find(source):
    return sorted(files().find(source))


# An actor whose process is lost begins anew, with the object that it was at.
@ray.remote(max_restarts=-1, max_task_retries=-1)
class Counter:
    def __init__(self, source):
        self.arrow = arrow(source)

    def count(self, path, output, pause):
        """The words of one object, kept as JSON. Returns where."""
        with self.arrow.open_input_stream(path) as stream:
            words = re.findall(r"[a-z']+", stream.read().decode().lower())
        part = f"{output}/parts/{path.rpartition('/')[2]}.json"
        files().pipe_file(part, json.dumps(collections.Counter(words)).encode())
        time.sleep(pause)
        return part


@ray.remote
def total(parts, output):
    counts = collections.Counter()
    for part in parts:
        counts.update(json.loads(files().cat_file(part)))
    lines = "".join(f"{word}: {number}\n" for word, number in sorted(counts.items()))
    with arrow(output).open_output_stream(f"{output}/counts.txt") as stream:
        stream.write(lines.encode())
    return len(counts)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", required=True, help="s3://BUCKET/PREFIX of texts")
    parser.add_argument("--output", required=True, help="s3://BUCKET/PREFIX for the counts")
    parser.add_argument("--counters", type=int, default=2, help="how many actors, each on another node")
    parser.add_argument(
        "--pause", type=float, default=0, help="seconds after each object, for a job that takes its time"
    )
    arguments = parser.parse_args()
    source, output = (url.removeprefix("s3://").rstrip("/") for url in (arguments.input, arguments.output))

    ray.init(address="auto")
    paths = ray.get(find.remote(source))
    # Each actor on a node of its own.
    group = placement_group([{"CPU": 1}] * arguments.counters, strategy="STRICT_SPREAD")
    somewhere = Counter.options(num_cpus=1, scheduling_strategy=PlacementGroupSchedulingStrategy(group))
    pool = ray.util.ActorPool([somewhere.remote(source) for _ in range(arguments.counters)])
    parts = list(pool.map(lambda counter, path: counter.count.remote(path, output, arguments.pause), paths))
    words = ray.get(total.remote(parts, output))
    print(f"{words} words of {len(paths)} objects")


if __name__ == "__main__":
    main()
