"""Google → AWS: the trust policy admits the one account, by fedboot's own evaluator and by an STS that verifies."""

import json
import subprocess
import unittest

import yaml
from clouds import Sandbox, admits, fedboot
from setting import EMAIL, HERE, TO_AWS, UNIQUE_ID, Programs, Stack, outputs, stacks, to_aws_documents

ROLE = "arn:aws:iam::123456789012:role/beam-worker"
# As the metadata server signs it for the account, and what is another's.
CLAIMS = {"iss": "https://accounts.google.com", "sub": UNIQUE_ID, "azp": UNIQUE_ID, "aud": "sts.amazonaws.com"}
OTHERS = {
    "another account": {"sub": "100000000000000000001", "azp": "100000000000000000001"},
    "another account for this one": {"sub": "100000000000000000001"},
    "another audience": {"aud": "https://example.com"},
    "azp as the audience": {"aud": UNIQUE_ID, "azp": "sts.amazonaws.com"},
    "the audience in azp only": {"aud": "https://example.com", "azp": "sts.amazonaws.com"},
}


def policies():
    """The trust policy, by each way that makes it."""
    found = {place: Stack(place).one("iam/role:Role")["assumeRolePolicy"] for place in ("dataflow", "gke")}
    found = {f"Pulumi, {place}": policy for place, policy in found.items()}
    if Programs.tofu:
        found["Terraform"] = to_aws_documents()["trust_policy"]
    return {way: json.loads(policy) for way, policy in found.items()}


class TrustPolicy(unittest.TestCase):
    def test_it_is_the_one_that_fedboot_prints(self):
        printed = fedboot("trust-policy", "--flags-only", "--service-account-unique-id", UNIQUE_ID)
        self.assertEqual(printed.returncode, 0, printed.stderr)
        for way, policy in policies().items():
            with self.subTest(way):
                self.assertEqual(policy, json.loads(printed.stdout))

    def test_it_admits_the_account_and_nobody_else(self):
        for way, policy in policies().items():
            with self.subTest(way):
                self.assertTrue(admits(policy, CLAIMS))
            for what, claims in OTHERS.items():
                with self.subTest(way, token=what):
                    self.assertFalse(admits(policy, {**CLAIMS, **claims}))

    def test_an_sts_that_verifies_admits_the_real_token_and_no_other(self):
        with Sandbox() as sandbox:
            for way, policy in policies().items():
                roles = [{"arn": ROLE, "trust_policy": policy}]
                account = {"email": EMAIL, "unique_id": UNIQUE_ID}
                sandbox.set(roles=roles, service_account=account)
                ask = ("credential-process", "--role-arn", ROLE)
                with self.subTest(way):
                    ended = sandbox.fedboot(*ask)
                    self.assertEqual(ended.returncode, 0, ended.stderr)
                    self.assertIn("SessionToken", json.loads(ended.stdout))
                with self.subTest(way, token="another audience"):
                    ended = sandbox.fedboot(*ask, "--audience", "https://example.com")
                    self.assertEqual((ended.returncode, ended.stdout), (1, ""))
                    self.assertIn("accounts.google.com:oaud", ended.stderr)
                with self.subTest(way, token="another account"):
                    sandbox.set(service_account={"email": EMAIL, "unique_id": "100000000000000000001"})
                    ended = sandbox.fedboot(*ask)
                    self.assertEqual((ended.returncode, ended.stdout), (1, ""))
                    self.assertIn("[FB", ended.stderr)

    def test_no_provider_for_google_is_made_in_iam(self):
        for place in stacks():
            self.assertFalse(Stack(place).all("iam/openIdConnectProvider:OpenIdConnectProvider"))


class Permissions(unittest.TestCase):
    def test_one_bucket(self):
        found = {"Pulumi": Stack("dataflow").one("iam/rolePolicy:RolePolicy")["policy"]}
        if Programs.tofu:
            found["Terraform"] = to_aws_documents()["permissions"]
        said = [json.loads(policy) for policy in found.values()]
        self.assertTrue(all(it == said[0] for it in said))
        asked = json.dumps({"bucket": TO_AWS["bucket"], "permissions": found["Pulumi"]})
        command = [Programs.ministack, HERE / "bucket.py"]
        ended = subprocess.run(command, input=asked, capture_output=True, text=True, check=False, timeout=120)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        actions = ("list", "read", "write", "delete")
        wanted = {
            "words": dict.fromkeys(actions, "done"),
            "another": dict.fromkeys(actions, "AccessDenied"),
            "delete the bucket": "AccessDenied",
        }
        self.assertEqual(json.loads(ended.stdout), wanted)
        resources = {it["Resource"] for it in said[0]["Statement"]}
        self.assertEqual(resources, {"arn:aws:s3:::words", "arn:aws:s3:::words/*"})
        self.assertFalse([it for it in said[0]["Statement"] if "*" in "".join(it["Action"])])


class Dataflow(unittest.TestCase):
    def test_the_worker_may_do_what_a_worker_does(self):
        stack, member = Stack("dataflow"), f"serviceAccount:{EMAIL}"
        self.assertEqual(stack.one("projects/iAMMember:IAMMember")["role"], "roles/dataflow.worker")
        temp = stack.one("storage/bucketIAMMember:BucketIAMMember")
        self.assertEqual((temp["bucket"], temp["role"]), ("temp", "roles/storage.objectAdmin"))
        images = stack.one("artifactregistry/repositoryIamMember:RepositoryIamMember")
        self.assertEqual((images["repository"], images["role"]), ("beam", "roles/artifactregistry.reader"))
        for granted in (stack.one("projects/iAMMember:IAMMember"), temp, images):
            self.assertEqual(granted["member"], member)

    def test_fedboot_finds_the_role_in_the_metadata(self):
        stack = Stack("dataflow")
        items = stack.all("compute/projectMetadataItem:ProjectMetadataItem")
        attributes = {it["key"]: it["value"] for it in items}
        self.assertEqual(attributes, {"fedboot-role-arn": ROLE, "fedboot-region": TO_AWS["aws_region"]})
        policy = json.loads(stack.one("iam/role:Role")["assumeRolePolicy"])
        with Sandbox(
            roles=[{"arn": ROLE, "trust_policy": policy}],
            service_account={"email": EMAIL, "unique_id": UNIQUE_ID},
            project_attributes=attributes,
        ) as sandbox:
            # Nothing else says which role.
            told = ("FEDBOOT_ROLE_ARN", "AWS_REGION")
            ended = sandbox.fedboot("--", "sh", "-c", 'echo "$AWS_REGION"; exit 7', without=told)
            self.assertEqual((ended.returncode, ended.stdout), (7, "eu-west-1\n"), ended.stderr)
            [issued] = sandbox.ask("/issued")
            self.assertIn(ROLE, json.dumps(issued))


class Gke(unittest.TestCase):
    def test_the_pods_are_the_service_account(self):
        stack = Stack("gke")
        binding = stack.one("serviceaccount/iAMMember:IAMMember")
        self.assertEqual(binding["role"], "roles/iam.workloadIdentityUser")
        self.assertEqual(binding["member"], "serviceAccount:demo-project.svc.id.goog[jobs/app]")
        self.assertEqual(binding["serviceAccountId"], f"projects/demo-project/serviceAccounts/{EMAIL}")
        manifest = json.loads(stack.outputs["manifest"])
        self.assertEqual(manifest["metadata"]["annotations"], {"iam.gke.io/gcp-service-account": EMAIL})
        self.assertEqual((manifest["metadata"]["namespace"], manifest["metadata"]["name"]), ("jobs", "app"))
        if Programs.tofu:
            names = {"namespace": "jobs", "service_account": "app"}
            annotations = {"iam.gke.io/gcp-service-account": EMAIL}
            said = outputs("modules/service_account_manifest", **names, annotations=annotations)
            self.assertEqual(yaml.safe_load(said["manifest"]), manifest)

    def test_the_variables_of_the_pod_are_enough(self):
        stack = Stack("gke")
        policy = json.loads(stack.one("iam/role:Role")["assumeRolePolicy"])
        with Sandbox(
            roles=[{"arn": ROLE, "trust_policy": policy}],
            service_account={"email": EMAIL, "unique_id": UNIQUE_ID},
        ) as sandbox:
            told = ("FEDBOOT_ROLE_ARN", "AWS_REGION")
            ended = sandbox.fedboot("--", "true", without=told, **stack.outputs["environment"])
            self.assertEqual(ended.returncode, 0, ended.stderr)


class Providers(unittest.TestCase):
    def test_credentials_of_another_account_are_refused(self):
        for place in stacks():
            with self.subTest(place):
                stack = Stack(place)
                [aws] = stack.all("aws")
                self.assertEqual(json.loads(aws["allowedAccountIds"]), ["123456789012"])
                for it in stack.resources:
                    if it["type"].startswith(("aws:", "gcp:")):
                        self.assertIn("::aws::" if it["type"].startswith("aws:") else "::google::", it["provider"])
