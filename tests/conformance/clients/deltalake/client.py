"""delta-rs: one table, which looks for new versions of itself."""

import os

import deltalake

CLIENT = "delta-rs"


def version():
    return deltalake.__version__


def operations():
    table = deltalake.DeltaTable(
        f"s3://{os.environ['CONFORMANCE_BUCKET']}/{os.path.dirname(os.environ['CONFORMANCE_PARQUET'])}",
        storage_options={"AWS_ENDPOINT_URL": os.environ["CONFORMANCE_S3"], "AWS_ALLOW_HTTP": "true"},
    )
    return {"s3": table.update_incremental}
