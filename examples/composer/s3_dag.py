"""A DAG on Cloud Composer that reads and writes S3: nothing in it knows of Google, of fedboot or of a key."""

import collections
import datetime
import json
import os
import re

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.s3 import S3ListOperator
from airflow.sdk import dag, task

BUCKET = os.environ.get("WORDS_BUCKET", "my-bucket")


@dag(schedule=None, start_date=datetime.datetime(2026, 1, 1), catchup=False)
def s3_from_google():
    # The connection aws_default as it comes with Airflow.
    texts = S3ListOperator(task_id="texts", bucket=BUCKET, prefix="input/")

    @task
    def count(keys):
        hook = S3Hook()
        words = collections.Counter()
        for key in keys:
            words.update(re.findall(r"[a-z']+", hook.read_key(key, bucket_name=BUCKET).lower()))
        hook.load_string(json.dumps(words), key="output/airflow.json", bucket_name=BUCKET, replace=True)

    count(texts.output)


s3_from_google()
