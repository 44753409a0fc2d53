"""Counts the words of all objects below one S3 URL: a Dask job whose workers read and write S3.

Nothing in it knows of AWS's keys, and the client, which only hands out tasks, asks S3 for nothing. A worker keeps its
two file systems for as long as it lives.
"""

import argparse
import collections
import re
import time

from distributed import Client, get_worker


def arrow(path):
    """pyarrow's S3, which is AWS's SDK for C++: one for each worker."""
    from pyarrow import fs

    worker = get_worker()
    if not hasattr(worker, "arrow"):
        # With a URL it finds the bucket's region, and heeds AWS_ENDPOINT_URL_S3.
        worker.arrow, _ = fs.FileSystem.from_uri(f"s3://{path.partition('/')[0]}")
    return worker.arrow


def files():
    """s3fs, which is botocore; it keeps one for each process by itself."""
    import s3fs

    return s3fs.S3FileSystem()


def find(source):
    return sorted(files().find(source))


def count(path, output, pause):
    """The words of one object, kept as Parquet. Returns where."""
    import pyarrow
    from pyarrow import parquet

    words = collections.Counter(re.findall(r"[a-z']+", files().cat_file(path).decode().lower()))
    part = f"{output}/parts/{path.rpartition('/')[2]}.parquet"
    table = pyarrow.table({"word": list(words), "count": list(words.values())})
    parquet.write_table(table, part, filesystem=arrow(part))
    time.sleep(pause)
    return part


def total(parts, output):
    from pyarrow import parquet

    counts = collections.Counter()
    for part in parts:
        for row in parquet.read_table(part, filesystem=arrow(part)).to_pylist():
            counts[row["word"]] += row["count"]
    lines = "".join(f"{word}: {number}\n" for word, number in sorted(counts.items()))
    files().pipe_file(f"{output}/counts.txt", lines.encode())
    return len(counts)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scheduler", required=True, help="its address, as tcp://HOST:8786")
    parser.add_argument("--input", required=True, help="s3://BUCKET/PREFIX of texts")
    parser.add_argument("--output", required=True, help="s3://BUCKET/PREFIX for the counts")
    parser.add_argument(
        "--pause", type=float, default=0, help="seconds after each object, for a job that takes its time"
    )
    arguments = parser.parse_args()
    source, output = (url.removeprefix("s3://").rstrip("/") for url in (arguments.input, arguments.output))

    with Client(arguments.scheduler) as client:
        # Not `pure`: what stands in S3 may be another thing the next time.
        paths = client.submit(find, source, pure=False).result()
        parts = client.gather(client.map(count, paths, output=output, pause=arguments.pause, pure=False))
        words = client.submit(total, parts, output, pure=False).result()
    print(f"{words} words of {len(paths)} objects")


if __name__ == "__main__":
    main()
