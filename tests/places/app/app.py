"""A program that uses a cloud for longer than one credential lives, and knows nothing of credentials. A line for each call.

On Google Cloud it asks AWS, with boto3; on AWS Google, with google-auth. It ends when it has seen three different
credentials or tokens, or with SIGTERM after one more call, since a draining program still needs credentials. A call that
fails ends it with 1. `app.py once` is done after the first call.
"""

import hashlib
import json
import os
import signal
import sys
import time

DIFFERENT = 1 if sys.argv[1:] == ["once"] else 3


def aws():
    import boto3

    session = boto3.Session()
    client = session.client("sts")

    def call():
        answer = client.get_caller_identity()
        # Where the client assumes the role by itself, what is kept fresh is the token.
        seen = session.get_credentials().get_frozen_credentials().access_key
        if file := os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
            with open(file, "rb") as token:
                seen = hashlib.sha256(token.read()).hexdigest()[:12]
        return seen, answer["Arn"]

    return call


def google():
    import google.auth
    import requests
    from google.auth.transport.requests import Request

    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    asked = requests.Session()

    def call():
        if not credentials.valid:
            credentials.refresh(Request())
        url = "https://iamcredentials.googleapis.com/tokeninfo"
        answer = asked.get(url, params={"access_token": credentials.token}, timeout=30)
        answer.raise_for_status()
        return hashlib.sha256(credentials.token.encode()).hexdigest()[:12], answer.json()["email"]

    return call


def main():
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(True))
    try:
        import boto3  # noqa: F401

        call = aws()
    except ImportError:
        call = google()
    different = {}
    while True:
        last = bool(told)
        seen, who = call()
        different[seen] = None
        print(json.dumps({"seen": seen, "who": who, "time": time.time()}), flush=True)
        if last:
            print(json.dumps({"told": True}), flush=True)
            return
        if len(different) >= DIFFERENT and not os.environ.get("APP_FOR_EVER"):
            return
        time.sleep(0.4)


if __name__ == "__main__":
    main()
