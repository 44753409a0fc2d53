"""What was typed, checked before anything is asked: each check gives back the value or says in one line what is wrong."""

import re


class Problem(Exception):
    """What is wrong and what to do, in one line."""


def project(value):
    """https://cloud.google.com/resource-manager/docs/creating-managing-projects#before_you_begin"""
    value = value.strip()
    if re.fullmatch(r"[0-9]+", value):
        raise Problem(f"{value} is a project's number; its id is wanted: gcloud projects describe {value}")
    # A domain may stand before the id of an old project.
    if not re.fullmatch(r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]", value):
        raise Problem(
            f"{value!r} is no project id (6 to 30 small letters, digits and hyphens; the name that the console shows "
            "is another thing): gcloud projects list shows both"
        )
    return value


def aws_account(value):
    """Twelve digits; the console shows them with hyphens."""
    digits = value.strip().replace("-", "").replace(" ", "")
    if not re.fullmatch(r"[0-9]{12}", digits):
        raise Problem(f"{value!r} is no AWS account id: it has twelve digits (aws sts get-caller-identity shows it)")
    return digits


def service_account(value, in_project):
    """The e-mail address of an account that is named by its first part or in full."""
    name, at, domain = value.strip().partition("@")
    # https://cloud.google.com/iam/docs/service-accounts-create
    if not re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", name):
        raise Problem(
            f"{value!r} is no name for a service account: 6 to 30 small letters, digits and hyphens, a letter first"
        )
    of_project, _, top = in_project.rpartition(":")
    usual = f"{top}.{of_project}.iam.gserviceaccount.com" if of_project else f"{in_project}.iam.gserviceaccount.com"
    if at and domain != usual:
        raise Problem(
            f"the service account {value} is not one of the project {in_project}, whose accounts end in @{usual}"
        )
    return f"{name}@{usual}"


def role_name(value):
    """https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html"""
    value = value.strip()
    if not re.fullmatch(r"[\w+=,.@-]{1,64}", value, re.ASCII):
        raise Problem(f"{value!r} is no name for an IAM role: 1 to 64 letters, digits and _+=,.@- without spaces")
    return value


def role_arn(value):
    """Partition, account and name of a role; a session's ARN will do."""
    value = value.strip().strip("\"'")
    parts = value.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn":
        raise Problem(f"{value!r} is no ARN of a role: arn:aws:iam::123456789012:role/NAME")
    _, partition, service, _, account, resource = parts
    kind, _, path = resource.partition("/")
    if service == "sts" and kind == "assumed-role":
        name = path.split("/")[0]
    elif service == "iam" and kind == "role":
        # Google sees the role without its path.
        name = path.rsplit("/", 1)[-1]
    else:
        what = "an instance profile holds a role; name that" if kind == "instance-profile" else "name the role itself"
        raise Problem(f"{value} is no role but {kind or service}: {what} (arn:{partition}:iam::{account}:role/NAME)")
    return partition, aws_account(account), role_name(name)


def pool(value, what):
    """https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools/create"""
    value = value.strip()
    if not re.fullmatch(r"[a-z0-9-]{4,32}", value) or value.startswith("gcp-"):
        raise Problem(
            f"{value!r} is no id for a {what}: 4 to 32 small letters, digits and hyphens, and gcp- is Google's own"
        )
    return value


def bucket(value):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html; Google's rules for them are alike."""
    value = value.strip()
    value = re.sub(r"^(s3|s3a|gs)://", "", value).rstrip("/")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", value):
        raise Problem(f"{value!r} is no name of a bucket: 3 to 63 small letters, digits, dots and hyphens, and no path")
    return value


def kubernetes(value):
    """Namespace and name of a Kubernetes service account."""
    value = value.strip()
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?/[a-z0-9]([a-z0-9.-]*[a-z0-9])?", value):
        raise Problem(f"{value!r} is no Kubernetes service account: NAMESPACE/NAME")
    return value


def policy_arn(value):
    """A managed policy, AWS's own or the account's."""
    value = value.strip()
    if not re.fullmatch(r"arn:[a-z-]+:iam::([0-9]{12}|aws):policy/[\w+=,.@/-]+", value, re.ASCII):
        raise Problem(f"{value!r} is no ARN of a policy: arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
    return value


def google_role(value):
    """https://cloud.google.com/iam/docs/roles-overview"""
    value = value.strip()
    if not re.fullmatch(r"(roles|(projects|organizations)/[a-z0-9.:-]+/roles)/[A-Za-z0-9_.]+", value):
        raise Problem(f"{value!r} is no role of Google's: roles/bigquery.jobUser")
    return value


def place(value, what, example):
    """A region or location, by its looks: which ones there are, the clouds know."""
    value = value.strip()
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", value):
        raise Problem(f"{value!r} is no {what}: {example}, say")
    return value
