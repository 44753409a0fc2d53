"""Counts words on S3 with Spark: the executors read and write S3, the driver lists and commits.

Nothing here knows of credentials. With `--pause` it is slow enough to see a refresh on the way.
"""

import argparse
import re
import time

from pyspark.sql import SparkSession


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--input", required=True, help="s3a://BUCKET/input/*.txt")
    parser.add_argument("--output", required=True, help="s3a://BUCKET/counts")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds to wait in each task")
    own = parser.parse_args()

    def words(lines):
        time.sleep(own.pause)
        for line in lines:
            yield from re.findall(r"[a-z']+", line.lower())

    spark = SparkSession.builder.appName("wordcount").getOrCreate()
    context = spark.sparkContext
    # Each task reads one file and writes one, so S3 is in use from the first minute to the last.
    context.textFile(own.input).mapPartitions(words).saveAsTextFile(f"{own.output}/words")
    counts = context.textFile(f"{own.output}/words").map(lambda word: (word, 1)).reduceByKey(int.__add__, 2)
    counts.map(lambda pair: f"{pair[0]}: {pair[1]}").saveAsTextFile(f"{own.output}/counts")
    spark.stop()


if __name__ == "__main__":
    main()
