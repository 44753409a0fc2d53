"""s3fs, and below it aiobotocore: one file system."""

import os

import aiobotocore
import s3fs

CLIENT = "s3fs"


def version():
    return f"{s3fs.__version__}, aiobotocore {aiobotocore.__version__}"


def operations():
    files = s3fs.S3FileSystem(endpoint_url=os.environ["CONFORMANCE_S3"], skip_instance_cache=True)
    path = f"{os.environ['CONFORMANCE_BUCKET']}/{os.environ['CONFORMANCE_KEY']}"
    return {"s3": lambda: files.cat_file(path)}
