"""Counts words on S3 with Apache Beam, slowly enough that its credentials expire on the way.

One ends in `--input PATTERN --output PREFIX`, the rest goes to Beam. Nothing here knows of credentials: the workers
find them where boto3 looks.
"""

import argparse
import re
import time

import apache_beam as beam
from apache_beam.io import ReadFromText, WriteToText
from apache_beam.options.pipeline_options import PipelineOptions


def words(line, pause):
    """The words of a line, after a pause: each file is opened when the lines before it are done."""
    time.sleep(pause)
    return re.findall(r"[a-z']+", line.lower())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds to wait at each line")
    own, for_beam = parser.parse_known_args()

    with beam.Pipeline(options=PipelineOptions(for_beam)) as pipeline:
        (
            pipeline
            # The launcher has no credentials, so it cannot look whether the input is there.
            | ReadFromText(own.input, validate=False)
            | beam.FlatMap(words, own.pause)
            | beam.combiners.Count.PerElement()
            | beam.MapTuple("{}: {}".format)
            | WriteToText(own.output)
        )


if __name__ == "__main__":
    main()
