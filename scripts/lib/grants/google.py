"""The steps on Google's side."""

import functools
import json
import pathlib

from . import tools
from .names import Problem
from .plan import Differs, Missing, Step, There

# What the description of a thing begins with that these scripts made, so that --undo knows its own.
MARK = "made by fedboot"
LABEL = ("made-by", "fedboot")

# The role without its session: a subject has at most 127 bytes, which the name of a session may exceed.
# https://cloud.google.com/iam/docs/workload-identity-federation-with-other-clouds#mappings-and-conditions
ROLE_OF_ARN = (
    "assertion.arn.contains('assumed-role') ? assertion.arn.extract('{account_arn}assumed-role/') + 'assumed-role/' + "
    "assertion.arn.extract('assumed-role/{role_name}/') : assertion.arn"
)
MAPPING = {"google.subject": ROLE_OF_ARN, "attribute.aws_role": ROLE_OF_ARN}


def gcloud(project, *words):
    """One call of gcloud for that project, which asks nothing."""
    return ["gcloud", *words, f"--project={project}", "--quiet"]


def check_project(project):
    """That it is there, can be seen, and is not about to be deleted."""
    try:
        found = tools.ask(gcloud(project, "projects", "describe", project))
    except tools.Refused as refused:
        if tools.NOT_SIGNED_IN.search(refused.said) or not tools.NO_PERMISSION.search(refused.said):
            raise
        found = None
    if found is None:
        raise Problem(
            f"the project {project} is not there, or gcloud is signed in as somebody who may not see it\n"
            "  → gcloud projects list shows those that you may see, gcloud auth list as whom you ask"
        )
    state = found.get("lifecycleState", "ACTIVE")
    if state != "ACTIVE":
        raise Problem(f"the project {project} is {state}\n  → gcloud projects undelete {project}, or name another one")
    return found


def services(project, names):
    """APIs that are switched on."""

    def look():
        found = tools.ask(gcloud(project, "services", "list", "--enabled"), [])
        on = {it.get("config", {}).get("name") or it.get("name", "").rsplit("/", 1)[-1] for it in found}
        return There() if on.issuperset(names) else Missing()

    return Step(
        f"APIs of the project {project}",
        look,
        gcloud(project, "services", "enable", *names),
        stays="others may use them",
    )


def needed_by_others(project, script, emails):
    """A function that says who else needs what is there once a project: the other accounts that this script made. It asks
    once, however many things it is asked about."""

    @functools.cache
    def in_use():
        found = tools.ask(gcloud(project, "iam", "service-accounts", "list"), []) or []
        its = {it["email"] for it in found if it.get("description", "") == f"{MARK} {script}"}
        others = ", ".join(sorted(its - set(emails)))
        return f"{others} may need it" if others else ""

    return in_use


def roles_of(project, email):
    """The roles that an account has on the project."""
    policy = tools.ask(gcloud(project, "projects", "get-iam-policy", project), {}) or {}
    member = f"serviceAccount:{email}"
    bindings = policy.get("bindings", [])
    return [it["role"] for it in bindings if member in it.get("members", []) and not it.get("condition")]


def service_account(project, email, script, shown, in_use=None):
    """A service account."""

    def look():
        found = tools.ask(gcloud(project, "iam", "service-accounts", "describe", email))
        if found is None:
            return Missing()
        if found.get("disabled"):
            return Differs("it is disabled", remedy=f"gcloud iam service-accounts enable {email} --project={project}")
        return There(found.get("description", "").startswith(MARK))

    name = email.partition("@")[0]
    return Step(
        f"service account {email}",
        look,
        gcloud(
            project,
            "iam",
            "service-accounts",
            "create",
            name,
            f"--description={MARK} {script}",
            f"--display-name={shown}",
        ),
        unmake=gcloud(project, "iam", "service-accounts", "delete", email),
        in_use=in_use,
    )


def binding(project, words, resource, member, role, owner, where, who="", filled=str):
    """A role on something for a member. It is ours where the account that it is about is.

    `words` are the verbs before add-iam-policy-binding, `resource` what follows it, `owner` the step of that account,
    `filled` puts into the member what only a cloud knows.
    """

    def look():
        # The policy of something that is not there yet.
        policy = tools.ask(gcloud(project, *words, "get-iam-policy", *resource), {}) or {}
        for it in policy.get("bindings", []):
            if it.get("role") == role and filled(member) in it.get("members", []) and not it.get("condition"):
                return There()
        return Missing()

    # Without a condition, so that gcloud does not ask about those of other bindings.
    what = [f"--member={member}", f"--role={role}", "--condition=None"]
    return Step(
        f"{role} on {where} for {who or member.partition(':')[2]}",
        look,
        gcloud(project, *words, "add-iam-policy-binding", *resource, *what),
        unmake=gcloud(project, *words, "remove-iam-policy-binding", *resource, *what),
        owner=owner,
    )


def repository(project, name, location, in_use):
    """A repository for images."""
    place = f"--location={location}"

    def is_needed():
        if who := in_use():
            return who
        images = gcloud(project, "artifacts", "packages", "list", f"--repository={name}", place)
        return "there are images in it" if tools.ask(images, []) else ""

    def look():
        found = tools.ask(gcloud(project, "artifacts", "repositories", "describe", name, place))
        if found is None:
            return Missing()
        if found.get("format", "DOCKER") != "DOCKER":
            return Differs(f"it is one for {found['format']}", remedy="name another one with --repository")
        return There(found.get("labels", {}).get(LABEL[0]) == LABEL[1])

    return Step(
        f"repository {name} in {location}",
        look,
        gcloud(
            project, "artifacts", "repositories", "create", name, place, "--repository-format=docker",
            f"--labels={LABEL[0]}={LABEL[1]}",
        ),
        unmake=gcloud(project, "artifacts", "repositories", "delete", name, place),
        in_use=is_needed,
    )  # fmt: skip


def bucket(project, name, location, is_ours, in_use):
    """A bucket for what Dataflow stages and Cloud Build logs. It cannot be marked as it is made, so its name tells whose it is."""
    url = f"gs://{name}"

    def look():
        # Of somebody else's, gcloud says that it may not exist; that its name is taken then comes out as it is made.
        found = tools.ask(gcloud(project, "storage", "buckets", "describe", url))
        return Missing() if found is None else There(is_ours)

    return Step(
        f"bucket {url}",
        look,
        gcloud(project, "storage", "buckets", "create", url, f"--location={location}", "--uniform-bucket-level-access"),
        unmake=gcloud(project, "storage", "buckets", "delete", url),
        in_use=in_use,
        may_fail=True,
    )


def project_attributes(project, attributes, in_use):
    """Metadata attributes of the project: what fedboot reads on every worker."""

    def items():
        found = tools.ask(gcloud(project, "compute", "project-info", "describe"), {}) or {}
        return {it["key"]: it.get("value", "") for it in found.get("commonInstanceMetadata", {}).get("items", [])}

    def look():
        there = {name: value for name, value in items().items() if name in attributes}
        if there == attributes:
            return There()
        others = [f"{name}={value}" for name, value in there.items() if value != attributes[name]]
        if others:
            remedy = (
                "every fedboot of the project takes it: --change-existing overwrites it, --no-attribute leaves it, and the "
                "image's environment (FEDBOOT_ROLE_ARN) says the role then"
            )
            return Differs(f"there is {', '.join(others)}", remedy=remedy, can_change=True)
        return Missing()

    pairs = ",".join(f"{name}={value}" for name, value in attributes.items())
    return Step(
        f"project attribute {' and '.join(attributes)}",
        look,
        gcloud(project, "compute", "project-info", "add-metadata", f"--metadata={pairs}"),
        unmake=gcloud(project, "compute", "project-info", "remove-metadata", f"--keys={','.join(attributes)}"),
        in_use=in_use,
    )


def pool(project, name, script, in_use):
    """A workload identity pool; it comes back from its thirty days of deletion."""
    what = ("iam", "workload-identity-pools")
    place = "--location=global"

    def look():
        return federated(tools.ask(gcloud(project, *what, "describe", name, place)), "pool")

    return Step(
        f"workload identity pool {name}",
        look,
        gcloud(project, *what, "create", name, place, f"--description={MARK} {script}", f"--display-name={name}"),
        change=lambda: gcloud(project, *what, "undelete", name, place),
        unmake=gcloud(project, *what, "delete", name, place),
        in_use=in_use,
    )


def federated(found, what):
    """Whether a pool or provider is there, and in use."""
    if found is None:
        return Missing()
    is_ours = found.get("description", "").startswith(MARK)
    if found.get("state") == "DELETED":
        how = f"it was deleted less than thirty days ago, and its name is taken until then ({found.get('expireTime', 'state DELETED')})"
        return Differs(
            how,
            is_ours,
            f"--change-existing takes it back, --{what} names another one",
            can_change=True,
            is_deleted=True,
        )
    if found.get("disabled"):
        return Differs("it is disabled", remedy=f"enable it, or name another one with --{what}")
    return There(is_ours)


def aws_provider(project, pool_name, name, account, script, in_use):
    """A provider of that pool that takes the word of an AWS account."""
    what = ("iam", "workload-identity-pools", "providers")
    place = ("--location=global", f"--workload-identity-pool={pool_name}")
    mapping = "--attribute-mapping=" + ",".join(f"{key}={value}" for key, value in MAPPING.items())
    is_deleted = False

    def look():
        nonlocal is_deleted
        found = tools.ask(gcloud(project, *what, "describe", name, *place))
        state = federated(found, "provider")
        is_deleted = isinstance(state, Differs)
        if not isinstance(state, There):
            return state
        its = found.get("aws", {}).get("accountId")
        if its != account:
            how = f"it is for the AWS account {its}" if its else "it is none for AWS"
            return Differs(f"{how}, not for {account}", remedy="name another one with --provider")
        if found.get("attributeMapping") != MAPPING:
            how = f"it has another mapping: {json.dumps(found.get('attributeMapping'))}"
            return Differs(how, state.is_ours, can_change=True)
        if found.get("attributeCondition"):
            how = f"it has a condition: {found['attributeCondition']}"
            remedy = "see that the role meets it, or name another one with --provider; --change-existing removes it"
            return Differs(how, remedy=remedy, can_change=True)
        return state

    def change():
        if is_deleted:
            return gcloud(project, *what, "undelete", name, *place)
        return gcloud(project, *what, "update-aws", name, *place, mapping, "--attribute-condition=")

    return Step(
        f"provider {name} for the AWS account {account}",
        look,
        gcloud(
            project, *what, "create-aws", name, *place, f"--account-id={account}", mapping,
            f"--description={MARK} {script}",
        ),
        change=change,
        unmake=gcloud(project, *what, "delete", name, *place),
        in_use=in_use,
    )  # fmt: skip


def credentials_file(project, provider, email, path, filled):
    """The external-account file that clients and fedboot read. There is no secret in it."""
    path = pathlib.Path(path)

    def look():
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            return Missing()
        except (OSError, ValueError) as error:
            return Differs(f"it cannot be read as JSON: {error}", remedy="name another one with --output")
        if not isinstance(found, dict) or found.get("type") != "external_account":
            return Differs("it is no external account", remedy="name another one with --output")
        right = str(found.get("audience", "")).endswith(f"/{filled(provider)}")
        right = right and f"/{email}:" in str(found.get("service_account_impersonation_url", ""))
        return There() if right else Differs("it is one for another provider or service account", can_change=True)

    return Step(
        f"file {path}",
        look,
        [
            *gcloud(project, "iam", "workload-identity-pools", "create-cred-config", provider),
            f"--service-account={email}", "--aws", "--enable-imdsv2", f"--output-file={path}",
        ],
        unmake=["rm", "--", str(path)],
    )  # fmt: skip
