"""A DAG on Amazon MWAA that asks BigQuery: nothing in it knows of AWS, of fedboot or of a key."""

from datetime import datetime

from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
from airflow.sdk import dag, task


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False, tags=["fedboot"])
def bigquery_from_aws():
    """Asks one question and prints the answer."""

    @task
    def ask(question: str) -> int:
        client = BigQueryHook(gcp_conn_id="google_cloud_default", use_legacy_sql=False).get_client()
        [row] = client.query(question).result()
        return int(row[0])

    @task
    def tell(answer: int):
        print(f"BigQuery says {answer}")

    tell(ask("SELECT 6 * 7"))


bigquery_from_aws()
