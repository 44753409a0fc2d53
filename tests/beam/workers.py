"""Counts words on S3 in as many SDK containers of one image as --workers says, with Beam's local runner.

Its job service knows one container a pipeline; the runner behind it deals the bundles out to several. Each file is worked on
for a while, so that credentials expire on the way. Nothing here knows of credentials.
"""

import argparse
import re
import time

import apache_beam as beam
from apache_beam.io import WriteToText
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_provision_api_pb2, beam_runner_api_pb2
from apache_beam.runners.job import utils
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.transforms.environments import DockerEnvironment


def count(name, pause):
    with FileSystems.open(name) as file:
        lines = file.read().decode().splitlines()
    time.sleep(pause)
    with FileSystems.open(name) as file:
        again = file.read().decode().splitlines()
    assert lines == again
    for line in lines:
        yield from re.findall(r"[a-z']+", line.lower())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--input", nargs="+", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--pause", type=float, required=True, help="seconds that each file is worked on")
    parser.add_argument("--image", required=True)
    parser.add_argument("--workers", type=int, required=True)
    own = parser.parse_args()

    options = PipelineOptions(direct_num_workers=own.workers, environment_type="DOCKER", environment_config=own.image)
    # What a job service tells each worker.
    told = utils.dict_to_struct({"beam:option:job_name:v1": "workers"})
    info = beam_provision_api_pb2.ProvisionInfo(retrieval_token="unused", pipeline_options=told)
    # The boot program asks in an older way where there is nothing to stage, and the runner does not know that one.
    program = beam_runner_api_pb2.ArtifactFilePayload(path=__file__).SerializeToString()
    place = beam_runner_api_pb2.ArtifactStagingToRolePayload(staged_name="workers.txt").SerializeToString()
    info.dependencies.add(
        type_urn=common_urns.artifact_types.FILE.urn,
        type_payload=program,
        role_urn=common_urns.artifact_roles.STAGING_TO.urn,
        role_payload=place,
    )
    runner = fn_runner.FnApiRunner(
        default_environment=DockerEnvironment.from_options(options.view_as(PortableOptions)),
        provision_info=fn_runner.ExtendedProvisionInfo(info),
    )
    with beam.Pipeline(runner, options=options) as pipeline:
        (
            pipeline
            | beam.Create(own.input)
            | beam.Reshuffle()
            | beam.FlatMap(count, own.pause)
            | beam.combiners.Count.PerElement()
            | beam.MapTuple("{}: {}".format)
            | WriteToText(own.output)
        )


if __name__ == "__main__":
    main()
