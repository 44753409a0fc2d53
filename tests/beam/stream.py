"""Reads and writes S3 for as long as elements come, one at each interval, all in one bundle of one worker.

An element is a number. Its input is read and a line about it written, twice over: with Beam's own file systems, and
with a client that is made once and lives as long as the worker, which is what a user's own code would do. One more
file, the journal, is open from the first element to the last, its upload going on all the time. Nothing here knows
of credentials.
"""

import argparse
import concurrent.futures
import hashlib
import threading
import time
import urllib.parse
import uuid

import apache_beam as beam
import boto3
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions


class Copy(beam.DoFn):
    """Several elements are in flight at once; the bundle is over when all of them are."""

    def __init__(self, own):
        self.own = own

    def setup(self):
        self.client = boto3.client("s3")
        self.pool = concurrent.futures.ThreadPoolExecutor(self.own.in_flight)

    def start_bundle(self):
        # A bundle that is tried again would leave a second journal.
        self.journal = FileSystems.create(f"{self.own.output}/journal-{uuid.uuid4()}")
        self.journal_lock = threading.Lock()
        self.flight = set()
        self.next = time.monotonic()

    def process(self, number):
        time.sleep(max(0, self.next - time.monotonic()))
        self.next += self.own.interval
        if len(self.flight) == self.own.in_flight:
            landed, self.flight = concurrent.futures.wait(self.flight, return_when=concurrent.futures.FIRST_COMPLETED)
            for element in landed:
                element.result()
        self.flight.add(self.pool.submit(self.copy, f"{number:04}"))

    def finish_bundle(self):
        for element in self.flight:
            element.result()
        self.journal.close()

    def copy(self, name):
        with FileSystems.open(f"{self.own.input}/{name}") as file:
            read = file.read()
        read_by_client = self.client.get_object(**self.address(self.own.input, name))["Body"].read()
        time.sleep(self.own.pause)
        with FileSystems.create(f"{self.own.output}/beam/{name}") as file:
            file.write(line(name, read))
        self.client.put_object(**self.address(f"{self.own.output}/client", name), Body=line(name, read_by_client))
        with self.journal_lock:
            self.journal.write(line(name, read).rjust(self.own.record))

    @staticmethod
    def address(directory, name):
        url = urllib.parse.urlsplit(f"{directory}/{name}")
        return {"Bucket": url.netloc, "Key": url.path.removeprefix("/")}


def line(name, read):
    return f"{name} {hashlib.sha256(read).hexdigest()}\n".encode()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--elements", type=int, required=True)
    parser.add_argument("--interval", type=float, required=True, help="seconds between elements")
    parser.add_argument("--in-flight", type=int, required=True, help="elements, at most")
    parser.add_argument("--pause", type=float, required=True, help="seconds between an element's reads and writes")
    parser.add_argument("--record", type=int, required=True, help="bytes that each element adds to the journal")
    own, for_beam = parser.parse_known_args()

    with beam.Pipeline(options=PipelineOptions(for_beam)) as pipeline:
        pipeline | beam.Create(range(own.elements)) | beam.Reshuffle() | beam.ParDo(Copy(own))


if __name__ == "__main__":
    main()
