"""boto3: one session, one client for each service."""

import os

import boto3

CLIENT = "boto3"


def version():
    return boto3.__version__


def operations():
    session = boto3.session.Session(region_name=os.environ["AWS_REGION"])
    s3 = session.client("s3", endpoint_url=os.environ["CONFORMANCE_S3"])
    sts = session.client("sts", endpoint_url=os.environ["CONFORMANCE_STS"])
    what = {"Bucket": os.environ["CONFORMANCE_BUCKET"], "Key": os.environ["CONFORMANCE_KEY"]}
    return {"s3": lambda: s3.get_object(**what)["Body"].read(), "sts": sts.get_caller_identity}
