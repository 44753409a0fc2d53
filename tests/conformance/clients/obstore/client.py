"""obstore, which is Rust's object_store: one store."""

import os

import obstore
from obstore.store import S3Store

CLIENT = "obstore"


def version():
    return obstore.__version__


def operations():
    store = S3Store(
        os.environ["CONFORMANCE_BUCKET"],
        endpoint=os.environ["CONFORMANCE_S3"],
        client_options={"allow_http": True},
    )
    return {"s3": lambda: obstore.get(store, os.environ["CONFORMANCE_KEY"]).bytes()}
