"""Google's libraries for Python, as their guides show them; run by tests/conformance/lib/pace.py."""

import functools
import os

import google.auth
import google.auth.compute_engine
import google.oauth2.id_token
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud import bigquery, storage

CLIENT = "google-auth"
STORAGE, BIGQUERY, SERVICE, BUCKET = (
    os.environ[f"CONFORMANCE_{name}"] for name in ("STORAGE", "BIGQUERY", "SERVICE", "BUCKET")
)
OBJECT = "words.txt"


def version():
    return google.auth.__version__


def operations():
    wanted = os.environ["CONFORMANCE_OPERATIONS"].split()
    everything = {
        "auth": auth,
        "storage": cloud_storage,
        "bigquery": cloud_bigquery,
        "id": id_token,
        "id-credentials": id_credentials,
    }
    return {name: everything[name] for name in wanted}


# The first request makes the client: what fails in there is a failed request.
@functools.cache
def auth_session():
    credentials, project = google.auth.default()
    if not project:
        raise ValueError("google.auth.default() knows no project")
    credentials.refresh(Request())
    return AuthorizedSession(credentials)


@functools.cache
def storage_client():
    return storage.Client(client_options={"api_endpoint": STORAGE})


@functools.cache
def bigquery_client():
    return bigquery.Client(client_options={"api_endpoint": BIGQUERY})


@functools.cache
def id_session():
    credentials = google.auth.compute_engine.IDTokenCredentials(Request(), SERVICE, use_metadata_identity_endpoint=True)
    return AuthorizedSession(credentials)


def auth():
    auth_session().get(f"{STORAGE}/storage/v1/b/{BUCKET}/o/{OBJECT}").raise_for_status()


def cloud_storage():
    text = storage_client().bucket(BUCKET).blob(OBJECT).download_as_text()
    if not text.startswith("Shall I compare thee"):
        raise ValueError(f"an object of other content: {text[:40]}")


def cloud_bigquery():
    rows = [tuple(row) for row in bigquery_client().query_and_wait("SELECT 6 * 7 AS answer")]
    if rows != [(42,)]:
        raise ValueError(f"other rows: {rows}")


def id_token():
    request = Request()
    token = google.oauth2.id_token.fetch_id_token(request, SERVICE)
    reply = request(SERVICE, headers={"Authorization": f"Bearer {token}"})
    if reply.status != 200:
        raise ValueError(reply.data.decode())


def id_credentials():
    id_session().get(SERVICE).raise_for_status()
