"""A stand-in for gcloud with a small Google Cloud behind it. It takes only verbs and flags that gcloud has (gcloud.json), notes
each call, and keeps what it is told; its refusals are gcloud's own words where they are known."""

import copy
import json
import pathlib
import re

TREE = json.loads(pathlib.Path(__file__).with_name("gcloud.json").read_text())
PROJECT = "demo-project"
NUMBER = "739419398126"
READS = ("describe", "list", "get-iam-policy")


class Refusal(Exception):
    """What gcloud says to stderr, and its exit code."""

    def __init__(self, text, code=1):
        super().__init__(text)
        self.code = code


def parsed(argv):
    """Verb, what follows it, and flags; a usage error as gcloud's own where it is none of its tree."""
    words = argv[1:]
    verb = next((verb for n in range(len(words), 0, -1) if (verb := " ".join(words[:n])) in TREE["commands"]), None)
    if verb is None:
        raise Refusal(f"ERROR: (gcloud) Invalid choice: {' '.join(words[:3])!r}.", 2)
    rest, known = words[len(verb.split()) :], {**TREE["everywhere"], **TREE["commands"][verb]}
    positional, flags = [], {}
    rest = iter(rest)
    for word in rest:
        if not word.startswith("--"):
            positional.append(word)
            continue
        name, equals, value = word.partition("=")
        if name not in known:
            raise Refusal(f"ERROR: (gcloud.{verb.replace(' ', '.')}) unrecognized arguments: {word}", 2)
        if known[name] and not equals:
            value = next(rest)
        flags[name] = value if known[name] else True
    return verb, positional, flags


class Google:
    """What stands in the project."""

    def __init__(self, unique_ids=()):
        self.projects = {PROJECT: {"projectNumber": NUMBER, "projectId": PROJECT, "lifecycleState": "ACTIVE"}}
        self.apis = {"iam.googleapis.com"}
        self.policies = {("project", PROJECT): []}
        self.accounts, self.repositories, self.buckets, self.pools, self.providers = {}, {}, {}, {}, {}
        self.attributes = {"enable-oslogin": "TRUE"}
        self.unique_ids = list(unique_ids)
        # Permissions that whoever asks lacks, and buckets that somebody else has.
        self.lacks, self.taken = set(), set()
        # How often an account that was just made is not known yet.
        self.late = 0

    def state(self):
        """Everything that a run may change, to compare."""
        kept = ("apis", "policies", "accounts", "repositories", "buckets", "pools", "providers", "attributes")
        return {name: copy.deepcopy(getattr(self, name)) for name in kept}

    def call(self, argv, where):
        """What one call prints."""
        verb, positional, flags = parsed(argv)
        name = verb.replace(" ", "_").replace("-", "_")
        if flags.get("--project") not in self.projects:
            raise Refusal(
                f"ERROR: (gcloud.{verb.replace(' ', '.')}) PERMISSION_DENIED: The caller does not have permission"
            )
        if not flags.get("--quiet"):
            raise Refusal("it would ask", 2)
        answer = getattr(self, name)(positional, flags, where)
        if answer is None:
            return ""
        form = flags.get("--format", "")
        if found := re.fullmatch(r"value\((\w+)\)", form):
            return f"{answer[found[1]]}\n"
        return json.dumps(answer, indent=2) + "\n" if form == "json" else "(for people)\n"

    def must(self, permission, resource):
        """Refuses who lacks it."""
        if permission in self.lacks:
            raise Refusal(
                f"ERROR: (gcloud) PERMISSION_DENIED: Permission '{permission}' denied on resource '{resource}'."
            )

    # Projects and APIs.

    def projects_describe(self, words, _flags, _where):
        if words[0] not in self.projects:
            raise Refusal(
                f"ERROR: (gcloud.projects.describe) User [me@example.com] does not have permission to access projects instance "
                f"[{words[0]}] (or it may not exist): The caller does not have permission."
            )
        return self.projects[words[0]]

    def services_list(self, _words, flags, _where):
        assert flags["--enabled"]
        return [
            {"config": {"name": it}, "name": f"projects/{NUMBER}/services/{it}", "state": "ENABLED"} for it in self.apis
        ]

    def services_enable(self, words, _flags, _where):
        self.must("serviceusage.services.enable", PROJECT)
        self.apis.update(words)

    # Service accounts.

    def account(self, email):
        if email not in self.accounts:
            raise Refusal(f"ERROR: (gcloud.iam.service-accounts) NOT_FOUND: Unknown service account: {email}")
        return self.accounts[email]

    def iam_service_accounts_describe(self, words, _flags, _where):
        return self.account(words[0])

    def iam_service_accounts_list(self, _words, _flags, _where):
        return list(self.accounts.values())

    def iam_service_accounts_create(self, words, flags, _where):
        self.must("iam.serviceAccounts.create", PROJECT)
        email = f"{words[0]}@{PROJECT}.iam.gserviceaccount.com"
        if email in self.accounts:
            raise Refusal(f"ERROR: (gcloud.iam.service-accounts.create) Service account {words[0]} already exists.")
        unique_id = self.unique_ids.pop(0) if self.unique_ids else str(10**20 + len(self.accounts))
        self.accounts[email] = {"email": email, "uniqueId": unique_id, "description": flags.get("--description", "")}
        self.policies["service-account", email] = []

    def iam_service_accounts_delete(self, words, _flags, _where):
        self.account(words[0])
        del self.accounts[words[0]], self.policies["service-account", words[0]]

    # Policies.

    def policy(self, kind, name):
        if (kind, name) not in self.policies:
            raise Refusal(f"ERROR: (gcloud) NOT_FOUND: {kind} {name} was not found")
        return self.policies[kind, name]

    def bind(self, kind, name, flags, add):
        self.must(f"{kind}.setIamPolicy", name)
        assert flags["--condition"] == "None"
        policy, member, role = self.policy(kind, name), flags["--member"], flags["--role"]
        email = member.removeprefix("serviceAccount:")
        if email.endswith(".iam.gserviceaccount.com") and add:
            if self.late:
                self.late -= 1
                raise Refusal(f"ERROR: (gcloud) INVALID_ARGUMENT: Service account {email} does not exist.")
            if email not in self.accounts:
                raise Refusal(f"ERROR: (gcloud) INVALID_ARGUMENT: Service account {email} does not exist!")
        entry = next((it for it in policy if it["role"] == role), None)
        if add:
            if entry is None:
                policy.append(entry := {"role": role, "members": []})
            if member not in entry["members"]:
                entry["members"].append(member)
            return
        if entry is None or member not in entry["members"]:
            raise Refusal("ERROR: (gcloud) Policy binding with the specified principal, role, and condition not found!")
        entry["members"].remove(member)
        if not entry["members"]:
            policy.remove(entry)

    def __getattr__(self, name):
        kinds = {
            "projects": "project",
            "iam_service_accounts": "service-account",
            "artifacts_repositories": "repository",
            "storage_buckets": "bucket",
        }
        for verb, kind in kinds.items():
            if name == f"{verb}_get_iam_policy":
                return lambda words, flags, where: {"bindings": self.policy(kind, words[0])}
            if name == f"{verb}_add_iam_policy_binding":
                return lambda words, flags, where: self.bind(kind, words[0], flags, True)
            if name == f"{verb}_remove_iam_policy_binding":
                return lambda words, flags, where: self.bind(kind, words[0], flags, False)
        raise AttributeError(name)

    # Repositories, buckets, attributes.

    def artifacts_repositories_describe(self, words, _flags, _where):
        if words[0] not in self.repositories:
            raise Refusal("ERROR: (gcloud.artifacts.repositories.describe) NOT_FOUND: Requested entity was not found.")
        return self.repositories[words[0]]

    def artifacts_repositories_create(self, words, flags, _where):
        if words[0] in self.repositories:
            raise Refusal(
                "ERROR: (gcloud.artifacts.repositories.create) ALREADY_EXISTS: the repository already exists."
            )
        labels = dict(it.split("=") for it in flags["--labels"].split(","))
        place = f"projects/{PROJECT}/locations/{flags['--location']}/repositories/{words[0]}"
        self.repositories[words[0]] = {"name": place, "format": flags["--repository-format"].upper(), "labels": labels}
        self.policies["repository", words[0]] = []

    def artifacts_packages_list(self, _words, flags, _where):
        return self.repositories.get(flags["--repository"], {}).get("images", [])

    def artifacts_repositories_delete(self, words, _flags, _where):
        del self.repositories[words[0]], self.policies["repository", words[0]]

    def storage_buckets_describe(self, words, _flags, _where):
        if words[0] in self.taken:
            raise Refusal(
                f"ERROR: (gcloud.storage.buckets.describe) [me@example.com] does not have permission to access b instance "
                f"[{words[0]}] (or it may not exist): HTTPError 403: me@example.com does not have storage.buckets.get access."
            )
        if words[0] not in self.buckets:
            raise Refusal(f"ERROR: (gcloud.storage.buckets.describe) {words[0]} not found: 404.")
        return self.buckets[words[0]]

    def storage_buckets_create(self, words, flags, _where):
        if words[0] in self.buckets or words[0] in self.taken:
            raise Refusal(
                "ERROR: (gcloud.storage.buckets.create) HTTPError 409: The requested bucket name is not available. The bucket "
                "namespace is shared by all users of the system. Please select a different name and try again."
            )
        self.buckets[words[0]] = {"name": words[0].removeprefix("gs://"), "location": flags["--location"].upper()}
        self.policies["bucket", words[0]] = []

    def storage_buckets_delete(self, words, _flags, _where):
        if self.buckets[words[0]].get("objects"):
            raise Refusal(
                "ERROR: (gcloud.storage.buckets.delete) HTTPError 409: The bucket you tried to delete is not empty."
            )
        del self.buckets[words[0]], self.policies["bucket", words[0]]

    def compute_project_info_describe(self, _words, _flags, _where):
        items = [{"key": name, "value": value} for name, value in self.attributes.items()]
        return {"commonInstanceMetadata": {"items": items}, "name": PROJECT}

    def compute_project_info_add_metadata(self, _words, flags, _where):
        self.must("compute.projects.setCommonInstanceMetadata", PROJECT)
        self.attributes.update(it.split("=", 1) for it in flags["--metadata"].split(","))

    def compute_project_info_remove_metadata(self, _words, flags, _where):
        for name in flags["--keys"].split(","):
            self.attributes.pop(name, None)

    # Pools and providers. What is deleted stays for thirty days.

    def federated(self, those, name):
        if name not in those:
            raise Refusal("ERROR: (gcloud.iam.workload-identity-pools) NOT_FOUND: Requested entity was not found.")
        return those[name]

    def federate(self, those, name, flags, more):
        if name in those:
            raise Refusal("ERROR: (gcloud.iam.workload-identity-pools) ALREADY_EXISTS: Requested entity already exists")
        assert flags["--location"] == "global"
        those[name] = {"name": name, "state": "ACTIVE", "description": flags.get("--description", ""), **more}

    def iam_workload_identity_pools_describe(self, words, _flags, _where):
        return self.federated(self.pools, words[0])

    def iam_workload_identity_pools_create(self, words, flags, _where):
        self.must("iam.workloadIdentityPools.create", PROJECT)
        self.federate(self.pools, words[0], flags, {})

    def iam_workload_identity_pools_delete(self, words, _flags, _where):
        self.federated(self.pools, words[0]).update(state="DELETED", expireTime="2026-12-27T00:00:00Z")

    def iam_workload_identity_pools_undelete(self, words, _flags, _where):
        self.federated(self.pools, words[0])["state"] = "ACTIVE"

    def iam_workload_identity_pools_providers_describe(self, words, _flags, _where):
        return self.federated(self.providers, words[0])

    def iam_workload_identity_pools_providers_create_aws(self, words, flags, _where):
        if self.pools.get(flags["--workload-identity-pool"], {}).get("state") != "ACTIVE":
            raise Refusal("ERROR: (gcloud) FAILED_PRECONDITION: the pool is not active")
        more = {"aws": {"accountId": flags["--account-id"]}, "attributeMapping": mapping(flags)}
        self.federate(self.providers, words[0], flags, more)

    def iam_workload_identity_pools_providers_update_aws(self, words, flags, _where):
        provider = self.federated(self.providers, words[0])
        provider["attributeMapping"] = mapping(flags)
        if not flags.get("--attribute-condition", "?"):
            provider.pop("attributeCondition", None)

    def iam_workload_identity_pools_providers_delete(self, words, _flags, _where):
        self.federated(self.providers, words[0])["state"] = "DELETED"

    def iam_workload_identity_pools_providers_undelete(self, words, _flags, _where):
        self.federated(self.providers, words[0])["state"] = "ACTIVE"

    def iam_workload_identity_pools_create_cred_config(self, words, flags, where):
        """As gcloud 528 writes it; run.py compares."""
        source = {"environment_id": "aws1"}
        imds = "http://169.254.169.254/latest"
        source["region_url"] = f"{imds}/meta-data/placement/availability-zone"
        source["url"] = f"{imds}/meta-data/iam/security-credentials"
        source["regional_cred_verification_url"] = (
            "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
        )
        if flags.get("--enable-imdsv2"):
            source["imdsv2_session_token_url"] = f"{imds}/api/token"
        config = {
            "universe_domain": "googleapis.com",
            "type": "external_account",
            "audience": f"//iam.googleapis.com/{words[0]}",
            "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
            "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": source,
            "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
            f"{flags['--service-account']}:generateAccessToken",
        }
        pathlib.Path(where, flags["--output-file"]).write_text(json.dumps(config, indent=2))


def mapping(flags):
    """gcloud's form of a dictionary."""
    return dict(it.split("=", 1) for it in flags["--attribute-mapping"].split(","))
