"""A DAG that knows nothing of AWS: BigQuery through the connection google_cloud_default as it comes with Airflow."""

import datetime
import os
import time

from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
from airflow.providers.google.cloud.operators.bigquery import BigQueryInsertJobOperator
from airflow.sdk import dag, task

QUERY = "SELECT 6 * 7 AS answer"


@dag(schedule="@once", start_date=datetime.datetime(2026, 1, 1), catchup=False, default_args={"retries": 0})
def bigquery():
    insert = BigQueryInsertJobOperator(
        task_id="insert", configuration={"query": {"query": QUERY, "useLegacySql": False}}
    )

    @task
    def outlive():
        """One client, for longer than a token lives."""
        client = BigQueryHook().get_client()
        end = time.monotonic() + float(os.environ["CONFORMANCE_SECONDS"])
        while time.monotonic() < end:
            rows = [tuple(row) for row in client.query(QUERY).result()]
            if rows != [(42,)]:
                raise ValueError(f"other rows: {rows}")
            time.sleep(float(os.environ["CONFORMANCE_INTERVAL"]))

    insert >> outlive()


bigquery()
