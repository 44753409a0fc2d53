"""A DAG whose one task keeps one client for longer than its first sessions live."""

import datetime
import os
import time

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.sdk import dag, task


@dag(schedule=None, start_date=datetime.datetime(2026, 1, 1), catchup=False)
def outlive():
    @task
    def one_client():
        client, bucket = S3Hook().get_conn(), os.environ["WORDS_BUCKET"]
        end = time.monotonic() + float(os.environ["OUTLIVE_SECONDS"])
        while time.monotonic() < end:
            text = client.get_object(Bucket=bucket, Key="input/sonnet-1.txt")["Body"].read()
            client.put_object(Bucket=bucket, Key="output/outlive.txt", Body=text)
            time.sleep(0.5)

    one_client()


outlive()
