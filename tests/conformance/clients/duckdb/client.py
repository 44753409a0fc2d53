"""DuckDB with its httpfs and aws extensions (from PyPI: nothing is fetched): one connection, one secret."""

import importlib.util
import os
import pathlib

import duckdb

CLIENT = "DuckDB"


def version():
    return duckdb.__version__


def operations():
    connection = duckdb.connect(config={"autoinstall_known_extensions": False})
    for name in ("httpfs", "aws"):
        package = pathlib.Path(importlib.util.find_spec(f"duckdb_extension_{name}").submodule_search_locations[0])
        connection.load_extension(str(package / f"extensions/v{duckdb.__version__}/{name}.duckdb_extension"))
    host = os.environ["CONFORMANCE_S3"].removeprefix("http://")
    connection.execute(
        "CREATE SECRET (TYPE s3, PROVIDER credential_chain, REFRESH auto, "
        f"ENDPOINT '{host}', URL_STYLE path, USE_SSL false)"
    )
    path = f"s3://{os.environ['CONFORMANCE_BUCKET']}/{os.environ['CONFORMANCE_PARQUET']}"
    return {"s3": lambda: connection.execute(f"SELECT count(*) FROM '{path}'").fetchall()}
