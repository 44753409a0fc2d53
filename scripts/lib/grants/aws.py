"""The steps on AWS's side."""

import json

from . import tools
from .names import Problem
from .plan import Differs, Missing, Step, There

MARK = {"Key": "made-by", "Value": "fedboot"}
GOOGLE = "accounts.google.com"
# The statement that is ours among those of a trust policy.
STATEMENT = "FedbootGoogleServiceAccount"
POLICY = "fedboot"


def aws(*words):
    """One call of the aws CLI."""
    return ["aws", *words]


def check_account(wanted, region):
    """The account and partition that the aws CLI is signed in to."""
    identity = tools.ask(aws("sts", "get-caller-identity"))
    account, partition = identity["Account"], identity["Arn"].split(":")[1]
    if wanted and wanted != account:
        raise Problem(
            f"the aws CLI is signed in to the account {account}, not to {wanted}\n"
            "  → set AWS_PROFILE to a profile of that account, or sign in to it"
        )
    if region:
        try:
            tools.ask(aws("sts", "get-caller-identity", f"--region={region}"))
        except tools.Refused as refused:
            raise Problem(
                f"STS in {region} does not take this account ({' '.join(refused.said.split())[-200:]})\n"
                f"  → aws account enable-region --region-name {region}, or name another one with --aws-region"
            ) from None
    return account, partition


def role_of_name(name):
    """The ARN of a role in the account that the aws CLI is signed in to."""
    found = tools.ask(aws("iam", "get-role", f"--role-name={name}"))
    if found is None:
        account = tools.ask(aws("sts", "get-caller-identity"))["Account"]
        raise Problem(
            f"there is no role {name} in the AWS account {account}\n  → aws iam list-roles shows those that there are"
        )
    return found["Role"]["Arn"]


def google_provider():
    """The ARN of an OIDC provider for Google, with which AWS refuses the tokens of service accounts."""
    found = tools.ask(aws("iam", "list-open-id-connect-providers"), {}) or {}
    arns = [it["Arn"] for it in found.get("OpenIDConnectProviderList", [])]
    return next((arn for arn in arns if arn.endswith(f":oidc-provider/{GOOGLE}")), None)


def check_google_provider(remove):
    """Stops where there is one, or removes it if that was said."""
    arn = google_provider()
    if arn is None:
        return
    command = aws("iam", "delete-open-id-connect-provider", f"--open-id-connect-provider-arn={arn}")
    if not remove:
        raise Problem(
            f"the account has an identity provider for {GOOGLE} ({arn}). AWS knows Google by itself; with the provider it "
            "takes only tokens for that provider's audiences, and the exchange fails (InvalidIdentityToken)\n"
            f"  → if nobody else needs it, run it again with --remove-google-provider, which does: {tools.printed(command)}"
        )
    tools.run(command)
    print(f"identity provider {arn}: removed", flush=True)


def statement(audience):
    """Admits one service account, by its number that is never given again, with tokens for that audience.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif"""
    return {
        "Sid": STATEMENT,
        "Effect": "Allow",
        "Principal": {"Federated": GOOGLE},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{GOOGLE}:oaud": audience, f"{GOOGLE}:sub": "{{unique_id}}"}},
    }


def document(statements):
    """A policy as IAM takes it."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


def role(name, audience, filled, email):
    """A role that this service account may assume. `filled` puts the account's number in its place."""
    found = {}

    def look():
        answer = tools.ask(aws("iam", "get-role", f"--role-name={name}"))
        if answer is None:
            return Missing()
        found.update(answer["Role"])
        if json.loads(filled(json.dumps(statement(audience)))) in statements():
            return There()
        how = f"it trusts others: {json.dumps(found.get('AssumeRolePolicyDocument'))}"
        remedy = (
            f"--change-existing adds a statement for {email} and keeps the others, and it may then do all that the role "
            "may; --role-name names another role"
        )
        return Differs(how, is_ours(), remedy, can_change=True)

    def is_ours():
        return MARK in found.get("Tags", [])

    def statements():
        those = (found.get("AssumeRolePolicyDocument") or {}).get("Statement", [])
        return those if isinstance(those, list) else [those]

    def others():
        return [it for it in statements() if it.get("Sid") != STATEMENT]

    def trust(those):
        return aws(
            "iam", "update-assume-role-policy", f"--role-name={name}", f"--policy-document={document(those)}"
        )  # fmt: skip

    unmake = aws("iam", "delete-role", f"--role-name={name}")
    return Step(
        f"role {name}, which trusts {email}",
        look,
        aws(
            "iam", "create-role", f"--role-name={name}", f"--assume-role-policy-document={document([statement(audience)])}",
            f"--description=For {email}", f"--tags=Key={MARK['Key']},Value={MARK['Value']}",
        ),
        change=lambda: trust([*others(), statement(audience)]),
        unmake=unmake,
        # Somebody else's role loses our statement alone.
        unmake_now=lambda: unmake if is_ours() or not others() else trust(others()),
    )  # fmt: skip


def permissions(name, partition, reads, writes):
    """What the role may do with buckets."""
    everything = sorted({*reads, *writes})

    def arns(buckets, objects):
        return [f"arn:{partition}:s3:::{it}{'/*' if objects else ''}" for it in buckets]

    lists = ["s3:GetBucketLocation", "s3:ListBucket"]
    statements = [
        {"Effect": "Allow", "Action": lists, "Resource": arns(everything, False)},
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": arns(everything, True)},
    ]
    if writes:
        puts = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
        statements.append({"Effect": "Allow", "Action": puts, "Resource": arns(sorted(set(writes)), True)})

    def look():
        found = tools.ask(aws("iam", "get-role-policy", f"--role-name={name}", f"--policy-name={POLICY}"))
        if found is None:
            return Missing()
        right = found["PolicyDocument"].get("Statement") == statements
        return There() if right else Differs("it allowed other things", is_ours=True, can_change=True)

    return Step(
        f"what {name} may do on {', '.join(everything)}",
        look,
        aws(
            "iam", "put-role-policy", f"--role-name={name}", f"--policy-name={POLICY}",
            f"--policy-document={document(statements)}",
        ),
        unmake=aws("iam", "delete-role-policy", f"--role-name={name}", f"--policy-name={POLICY}"),
    )  # fmt: skip


def attached(name):
    """The managed policies of a role."""
    found = tools.ask(aws("iam", "list-attached-role-policies", f"--role-name={name}"), {}) or {}
    return [it["PolicyArn"] for it in found.get("AttachedPolicies", [])]


def managed_policy(name, arn, owner):
    """A managed policy of the role."""

    def look():
        return There() if arn in attached(name) else Missing()

    return Step(
        f"policy {arn.rsplit('/', 1)[-1]} of {name}",
        look,
        aws("iam", "attach-role-policy", f"--role-name={name}", f"--policy-arn={arn}"),
        unmake=aws("iam", "detach-role-policy", f"--role-name={name}", f"--policy-arn={arn}"),
        owner=owner,
    )
