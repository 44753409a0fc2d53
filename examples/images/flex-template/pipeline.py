"""Counts the words of files on S3. Beam looks for the files while the pipeline is built, in the launcher, and reads them
in the workers: both need credentials."""

import re

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions


class Options(PipelineOptions):
    @classmethod
    def _add_argparse_args(cls, parser):
        parser.add_argument("--input", required=True)
        parser.add_argument("--output", required=True)


def main():
    # Dataflow's own options come from the launcher's arguments, sdk_container_image among them.
    options = PipelineOptions(save_main_session=True)
    ours = options.view_as(Options)
    with beam.Pipeline(options=options) as pipeline:
        (
            pipeline
            # With validate=False Beam does not look for the files here, and the launcher needs no credentials for them.
            | beam.io.ReadFromText(ours.input)
            | beam.FlatMap(lambda line: re.findall(r"\w+", line.lower()))
            | beam.combiners.Count.PerElement()
            | beam.MapTuple(lambda word, count: f"{word}: {count}")
            | beam.io.WriteToText(ours.output)
        )


if __name__ == "__main__":
    main()
