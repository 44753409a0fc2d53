"""What people get wrong, a row each: before anything is asked, by what a cloud says, half-way."""

import dataclasses
from collections.abc import Callable

from gcloud import PROJECT
from stage import GIVEN, PROVIDER, TO_AWS, TO_GOOGLE, WORKER


@dataclasses.dataclass
class Row:
    name: str
    script: str
    says: list
    more: tuple = ()
    given: list | None = None
    before: Callable | None = None
    code: int = 1
    changes_nothing: bool = True
    after: Callable | None = None


def without(script, name):
    """The usual arguments but that one."""
    given = list(GIVEN[script])
    at = given.index(name)
    return given[:at] + given[at + 2 :]


def google_provider(clouds):
    clouds.iam().create_open_id_connect_provider(
        Url="https://accounts.google.com", ClientIDList=["some-app"], ThumbprintList=["a" * 40]
    )


def goes_on(deny, script):
    """The right that was lacking is given, and the same command does the rest."""

    def after(stage):
        stage.clouds.google.lacks.discard(deny)
        done = stage.run(script)
        assert done.returncode == 0, done.stderr

    return after


def lacking(permission):
    return lambda clouds: clouds.google.lacks.add(permission)


def deleted_pool(clouds):
    google = clouds.google
    google.pools["aws-roles"] = {"name": "aws-roles", "state": "DELETED", "expireTime": "2026-12-24T08:00:00Z"}


def other_provider(**more):
    def before(clouds):
        clouds.google.pools["aws-roles"] = {"name": "aws-roles", "state": "ACTIVE"}
        clouds.google.providers[PROVIDER] = {"name": PROVIDER, "state": "ACTIVE", **more}

    return before


def refusing(words, said):
    return lambda clouds: clouds.aws_refuses.update({words: f"\nAn error occurred {said}\n"})


ROWS = [
    # Before anything is asked.
    Row("no project", TO_AWS, ["--project"], given=without(TO_AWS, "--project"), code=2),
    Row("no location", TO_AWS, ["--location europe-west1"], given=without(TO_AWS, "--location")),
    Row("a project's name", TO_AWS, ["'My Project' is no project id"], given=["--project", "My Project"]),
    Row("a project's number", TO_AWS, ["is a project's number"], given=["--project", "739419398126"]),
    Row("an account with spaces", TO_AWS, ["no name for a service account"], ("--service-account", "my worker")),
    Row("another project's account", TO_AWS, ["is not one of the project"], ("--service-account", "worker@other-project.iam.gserviceaccount.com")),
    Row("a role with spaces", TO_AWS, ["no name for an IAM role"], ("--role-name", "my role")),
    Row("an AWS account of eleven digits", TO_AWS, ["has twelve digits"], ("--aws-account", "12345678901")),
    Row("an AWS account with hyphens", TO_AWS, ["may be arn:aws:iam::123456789012:role/fedboot-worker"], ("--aws-account", "1234-5678-9012"), code=0, changes_nothing=False),
    Row("a Kubernetes account without a namespace", TO_AWS, ["NAMESPACE/NAME"], ("--kubernetes", "app")),
    Row("a bucket with a path", TO_AWS, ["no name of a bucket"], ("--s3-read", "s3://bucket/path")),
    Row("a policy's name", TO_AWS, ["no ARN of a policy"], ("--policy-arn", "AmazonS3ReadOnlyAccess")),
    Row("an instance profile", TO_GOOGLE, ["an instance profile holds a role"], given=["--project", PROJECT, "--aws-role", "arn:aws:iam::123456789012:instance-profile/x"]),
    Row("a user", TO_GOOGLE, ["is no role but user"], given=["--project", PROJECT, "--aws-role", "arn:aws:iam::123456789012:user/x"]),
    Row("a Google role without its kind", TO_GOOGLE, ["no role of Google's"], ("--role", "bigquery.jobUser")),
    Row("a pool's id that is too short", TO_GOOGLE, ["no id for a pool"], ("--pool", "aws")),
    # By what a cloud says.
    Row("a project that is not there", TO_AWS, ["the project other-project is not there", "gcloud projects list"], given=["--project", "other-project", "--location", "europe-west1"]),
    Row("a project that is being deleted", TO_GOOGLE, ["DELETE_REQUESTED", "gcloud projects undelete"], before=lambda clouds: clouds.google.projects[PROJECT].update(lifecycleState="DELETE_REQUESTED")),
    Row("another AWS account", TO_AWS, ["signed in to the account 123456789012, not to 210987654321", "AWS_PROFILE"], ("--aws-account", "210987654321")),
    Row("nobody is signed in to AWS", TO_AWS, ["Unable to locate credentials", "sign in"], before=refusing("aws sts get-caller-identity", "Unable to locate credentials. You can configure credentials by running aws configure")),
    Row("a region that is not enabled", TO_AWS, ["aws account enable-region --region-name eu-west-1"], before=refusing("aws sts get-caller-identity --region=eu-west-1", "(InvalidClientTokenId) when calling the GetCallerIdentity operation: The security token included in the request is invalid.")),
    Row("an identity provider for Google", TO_AWS, ["InvalidIdentityToken", "--remove-google-provider"], before=google_provider),
    Row("an identity provider for Google, removed", TO_AWS, ["oidc-provider/accounts.google.com: removed"], ("--remove-google-provider",), before=google_provider, code=0, changes_nothing=False),
    Row("a bucket of somebody else's", TO_AWS, ["another project has a bucket of that name", "--bucket"], before=lambda clouds: clouds.google.taken.add(f"gs://{PROJECT}-fedboot"), changes_nothing=False),
    Row("a repository for Python", TO_AWS, ["--repository"], before=lambda clouds: clouds.google.repositories.update(fedboot={"format": "PYTHON"}), changes_nothing=False),
    Row("a disabled account", TO_AWS, ["gcloud iam service-accounts enable"], before=lambda clouds: clouds.google.accounts.update({WORKER: {"uniqueId": "1", "disabled": True}}), changes_nothing=False),
    Row("a role that is not there", TO_GOOGLE, ["there is no role nobody"], given=["--project", PROJECT, "--aws-role", "nobody"]),
    Row("a pool in its thirty days", TO_GOOGLE, ["2026-12-24", "--change-existing", "--pool"], before=deleted_pool, changes_nothing=False),
    Row("a pool in its thirty days, taken back", TO_GOOGLE, ["pool aws-roles: changed"], ("--change-existing",), before=deleted_pool, code=0, changes_nothing=False),
    Row("a provider for another account", TO_GOOGLE, ["it is for the AWS account 999999999999"], before=other_provider(aws={"accountId": "999999999999"}), changes_nothing=False),
    Row("a provider for OIDC", TO_GOOGLE, ["it is none for AWS"], before=other_provider(oidc={"issuerUri": "https://example.com"}), changes_nothing=False),
    Row("a provider with another mapping", TO_GOOGLE, ["another mapping", "assertion.arn"], before=other_provider(aws={"accountId": "123456789012"}, attributeMapping={"google.subject": "assertion.arn"}), changes_nothing=False),
    # Half-way.
    Row("no right to make accounts", TO_AWS, ["you lack iam.serviceAccounts.create", "goes on where it stopped"], before=lacking("iam.serviceAccounts.create"), changes_nothing=False, after=goes_on("iam.serviceAccounts.create", TO_AWS)),
    Row("no right to bind", TO_AWS, ["you lack project.setIamPolicy"], before=lacking("project.setIamPolicy"), changes_nothing=False, after=goes_on("project.setIamPolicy", TO_AWS)),
    Row("no right to set attributes", TO_AWS, ["you lack compute.projects.setCommonInstanceMetadata"], before=lacking("compute.projects.setCommonInstanceMetadata"), changes_nothing=False, after=goes_on("compute.projects.setCommonInstanceMetadata", TO_AWS)),
    Row("no right to make pools", TO_GOOGLE, ["you lack iam.workloadIdentityPools.create"], before=lacking("iam.workloadIdentityPools.create"), changes_nothing=False, after=goes_on("iam.workloadIdentityPools.create", TO_GOOGLE)),
    Row("no right to make roles", TO_AWS, ["you lack iam:CreateRole"], before=refusing("aws iam create-role", "(AccessDenied) when calling the CreateRole operation: User: arn:aws:iam::123456789012:user/me is not authorized to perform: iam:CreateRole on resource: arn:aws:iam::123456789012:role/fedboot-worker because no identity-based policy allows the iam:CreateRole action"), changes_nothing=False),
]  # fmt: skip
