"""polars: one process that reads the same table again and again; it keeps its object stores by itself.

It asks boto3 for credentials where that is installed, and else looks for them itself.
"""

import os

import polars

try:
    import boto3
except ImportError:
    boto3 = None

CLIENT = "polars"


def version():
    return f"{polars.__version__} {f'with boto3 {boto3.__version__}' if boto3 else 'without boto3'}"


def operations():
    path = f"s3://{os.environ['CONFORMANCE_BUCKET']}/{os.environ['CONFORMANCE_PARQUET']}"
    options = {"aws_endpoint_url": os.environ["CONFORMANCE_S3"], "allow_http": "true"}
    return {"s3": lambda: polars.read_parquet(path, storage_options=options)}
