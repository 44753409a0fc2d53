"""pyarrow's S3FileSystem, which is AWS's SDK for C++: one file system."""

import os

import pyarrow
from pyarrow import fs

CLIENT = "pyarrow"


def version():
    return pyarrow.__version__


def operations():
    host = os.environ["CONFORMANCE_S3"].removeprefix("http://")
    files = fs.S3FileSystem(endpoint_override=host, scheme="http", region=os.environ["AWS_REGION"])
    path = f"{os.environ['CONFORMANCE_BUCKET']}/{os.environ['CONFORMANCE_KEY']}"

    def get():
        with files.open_input_stream(path) as stream:
            stream.read()

    return {"s3": get}
