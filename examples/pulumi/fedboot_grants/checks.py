"""What can be wrong with a setting is said in one sentence, before anything is made."""

import re

import pulumi

# Each setting: its form, and what it is.
SETTINGS = {
    "aws_account_id": (r"[0-9]{12}", "is 12 digits without dashes, as `aws sts get-caller-identity` says"),
    "aws_role_name": (r"[A-Za-z0-9+=,.@_-]{1,64}", "has 1 to 64 letters, digits and +=,.@_- and no spaces"),
    "bucket": (
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        "is a name of 3 to 63 lower-case letters, digits, dots and dashes, without s3://",
    ),
    "dataset_id": (r"[A-Za-z0-9_]+", "has letters, digits and underscores only, without the project"),
    "environment_name": (
        r"[A-Za-z][A-Za-z0-9_-]{0,79}",
        "begins with a letter and has letters, digits, dashes and underscores, at most 80",
    ),
    "google_project": (
        r"[a-z][a-z0-9-]{4,28}[a-z0-9]",
        "is the project's id, 6 to 30 lower-case letters, digits and dashes, not its name or number",
    ),
    "image": (r"\S+", "is REGISTRY/NAME:TAG, without spaces"),
    "kubernetes_service_account": (
        r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?",
        "has lower-case letters, digits, dots and dashes",
    ),
    "namespace": (r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "has 1 to 63 lower-case letters, digits and dashes"),
    "oidc_provider_arn": (
        r"arn:aws:iam::[0-9]{12}:oidc-provider/\S+",
        "is arn:aws:iam::ACCOUNT:oidc-provider/ISSUER, as `aws iam list-open-id-connect-providers` says",
    ),
    "pool_id": (
        r"(?!gcp-)[a-z0-9-]{4,32}",
        "has 4 to 32 lower-case letters, digits and dashes, and does not begin with gcp-",
    ),
    "provider_id": (
        r"(?!gcp-)[a-z0-9-]{4,32}",
        "has 4 to 32 lower-case letters, digits and dashes, and does not begin with gcp-",
    ),
    "service_account_id": (
        r"[a-z][a-z0-9-]{4,28}[a-z0-9]",
        "has 6 to 30 lower-case letters, digits and dashes, and begins with a letter",
    ),
    "source_bucket": (
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        "is a name of 3 to 63 lower-case letters, digits, dots and dashes, without s3://",
    ),
    "temp_bucket": (r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", "is the name of a bucket, without gs://"),
}


def check(**settings):
    """Fails with the first setting that cannot be right."""
    for name, value in settings.items():
        form, what = SETTINGS[name]
        if not re.fullmatch(form, value):
            raise pulumi.RunError(f"{name} {what}; this is {value!r}.")
