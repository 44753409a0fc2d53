"""Whether a role with the permissions on stdin reads and writes its bucket and no other, by ministack's IAM and S3.

It runs with ministack's Python, and prints what each request came to, as JSON.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "beam"))
import stage
from stage import ACCOUNT, REGION

ROOT = "ROOTOFTHETESTS"
ANYBODY = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}


@contextlib.contextmanager
def ministack():
    port = stage.free_port()
    with tempfile.TemporaryDirectory() as place:
        environment = stage.ministack_environment(place, port, ROOT)
        log = pathlib.Path(place) / "log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                [sys.executable, "-m", "ministack"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            until = time.monotonic() + 60
            while True:
                with contextlib.suppress(BotoCoreError):
                    client(f"http://127.0.0.1:{port}", "sts", ROOT, "unused").get_caller_identity()
                    break
                if server.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(log.read_text())
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def client(url, service, key, secret, token=None):
    return boto3.session.Session().client(
        service,
        endpoint_url=url,
        region_name=REGION,
        config=Config(retries={"total_max_attempts": 1}),
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
    )


def came_to(request, **arguments):
    try:
        request(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "done"


def main():
    os.environ.update(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    said = json.load(sys.stdin)
    with ministack() as url:
        owner, iam = client(url, "s3", ROOT, "unused"), client(url, "iam", ROOT, "unused")
        for bucket in (said["bucket"], "another"):
            owner.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
            owner.put_object(Bucket=bucket, Key="input", Body=b"words")
        trust = json.dumps({"Version": "2012-10-17", "Statement": [ANYBODY]})
        iam.create_role(RoleName="role", AssumeRolePolicyDocument=trust)
        iam.put_role_policy(RoleName="role", PolicyName="bucket", PolicyDocument=said["permissions"])
        sts = client(url, "sts", ROOT, "unused")
        keys = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/role", RoleSessionName="test")["Credentials"]
        worker = client(url, "s3", keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
        result = {}
        for bucket in (said["bucket"], "another"):
            result[bucket] = {
                "list": came_to(worker.list_objects_v2, Bucket=bucket),
                "read": came_to(worker.get_object, Bucket=bucket, Key="input"),
                "write": came_to(worker.put_object, Bucket=bucket, Key="output", Body=b"counts"),
                "delete": came_to(worker.delete_object, Bucket=bucket, Key="input"),
            }
        result["delete the bucket"] = came_to(worker.delete_bucket, Bucket=said["bucket"])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
