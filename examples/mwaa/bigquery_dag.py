"""A DAG on Amazon MWAA that asks BigQuery: nothing in it knows of AWS, of fedboot or of a key."""

import datetime

from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
from airflow.sdk import dag, task


@dag(schedule="@once", start_date=datetime.datetime(2026, 1, 1), catchup=False)
def bigquery_from_aws():
    @task
    def ask(question):
        client = BigQueryHook(gcp_conn_id="google_cloud_default", use_legacy_sql=False).get_client()
        [row] = client.query(question).result()
        return row[0]

    @task
    def tell(answer):
        print(f"BigQuery says {answer}")

    tell(ask("SELECT 6 * 7"))


bigquery_from_aws()
