"""The Terraform configurations, as far as they can be checked without the providers, which no registry of ours has.

OpenTofu itself formats and loads them, says what their modules without providers say, and refuses bad variables.
provider-schemas.json (see schemas.py) says which arguments the providers take.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import setting
from setting import EXAMPLES, PULUMI, TERRAFORM, Programs, Stack, tofu

SCHEMAS = json.loads((setting.HERE / "provider-schemas.json").read_text())
RESOURCES = SCHEMAS["resources"]
MODULES = sorted({str(path.parent.relative_to(TERRAFORM)) for path in TERRAFORM.rglob("*.tf")})
ROOTS = ("alert", "dataflow", "ec2", "ecs", "eks-irsa", "eks-pod-identity", "gke", "mwaa")
# Each resource of Terraform and the one of Pulumi that is made of it, so that both make the same.
TWINS = {
    "aws_ecs_task_definition": "ecs/taskDefinition:TaskDefinition",
    "aws_eks_pod_identity_association": "eks/podIdentityAssociation:PodIdentityAssociation",
    "aws_iam_instance_profile": "iam/instanceProfile:InstanceProfile",
    "aws_iam_role": "iam/role:Role",
    "aws_iam_role_policy": "iam/rolePolicy:RolePolicy",
    "aws_iam_role_policy_attachment": "iam/rolePolicyAttachment:RolePolicyAttachment",
    "aws_s3_object": "s3/bucketObjectv2:BucketObjectv2",
    "google_artifact_registry_repository": "artifactregistry/repository:Repository",
    "google_artifact_registry_repository_iam_member": "artifactregistry/repositoryIamMember:RepositoryIamMember",
    "google_bigquery_dataset_iam_member": "bigquery/datasetIamMember:DatasetIamMember",
    "google_compute_project_metadata_item": "compute/projectMetadataItem:ProjectMetadataItem",
    "google_iam_workload_identity_pool": "iam/workloadIdentityPool:WorkloadIdentityPool",
    "google_iam_workload_identity_pool_provider": "iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider",
    "google_project_iam_member": "projects/iAMMember:IAMMember",
    "google_service_account": "serviceaccount/account:Account",
    "google_service_account_iam_member": "serviceaccount/iAMMember:IAMMember",
    "google_storage_bucket_iam_member": "storage/bucketIAMMember:BucketIAMMember",
}


class Module:
    """What stands in one directory."""

    def __init__(self, blocks):
        self.blocks = blocks

    def named(self, kind):
        return {block["labels"][-1]: block for block in self.blocks if block["type"] == kind}

    def resources(self):
        return {tuple(block["labels"]): block for block in self.blocks if block["type"] == "resource"}

    def locals(self):
        return {name for block in self.blocks if block["type"] == "locals" for name in block["attributes"]}

    def references(self, blocks=None):
        """Each reference with the place of its block."""
        for block in self.blocks if blocks is None else blocks:
            for attribute, references in block["attributes"].items():
                # The type of a variable is written like a reference.
                if (block["type"], attribute) != ("variable", "type"):
                    yield from ((reference, block["where"]) for reference in references)
            yield from self.references(block["blocks"])


def read(*directories, **variables):
    """The modules in these directories, by HashiCorp's own parser."""
    command = [Programs.hcl, json.dumps(variables), *directories]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=TERRAFORM, check=False, timeout=30)
    if ended.returncode != 0:
        raise AssertionError(ended.stderr)
    return {directory: Module(blocks) for directory, blocks in json.loads(ended.stdout).items()}


class Language(unittest.TestCase):
    def setUp(self):
        if not Programs.tofu:
            self.skipTest("no OpenTofu")

    def test_it_is_formatted(self):
        ended = tofu(TERRAFORM, "fmt", "-check", "-recursive", "-diff", check=False)
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)

    def test_opentofu_loads_each_configuration(self):
        with tempfile.TemporaryDirectory() as place:
            copy = pathlib.Path(shutil.copytree(TERRAFORM, pathlib.Path(place) / "terraform"))
            for root in ROOTS:
                with self.subTest(root):
                    # Loads the modules, but asks for no provider.
                    tofu(copy / root, "get")

    def test_the_roots_are_all(self):
        inner = {name for name in MODULES if name.startswith("modules/") or name.endswith("/documents")}
        self.assertEqual(set(MODULES) - inner, set(ROOTS))


class Arguments(unittest.TestCase):
    """Each block, argument and reference against the providers' schemas."""

    @classmethod
    def setUpClass(cls):
        if not Programs.hcl:
            raise unittest.SkipTest("no parser of HCL")
        cls.modules = read(*MODULES)

    def check_block(self, block, schema, where):
        given = set(block["attributes"]) - {"count", "for_each", "depends_on", "provider"}
        inner = {it["type"] for it in block["blocks"]} - {"lifecycle"}
        known = {*schema["required"], *schema["optional"]}
        self.assertLessEqual(given | inner, known, where)
        self.assertLessEqual(set(schema["required"]), given | inner, where)
        self.assertFalse(given & set(schema["blocks"]), f"{where}: a block, and no argument")
        self.assertLessEqual(inner, set(schema["blocks"]), f"{where}: an argument, and no block")
        for it in block["blocks"]:
            if it["type"] in schema["blocks"]:
                self.check_block(it, schema["blocks"][it["type"]], it["where"])

    def test_the_providers_take_every_argument(self):
        seen = set()
        for directory, module in self.modules.items():
            for (kind, name), block in module.resources().items():
                with self.subTest(directory, resource=f"{kind}.{name}"):
                    seen.add(kind)
                    self.check_block(block, RESOURCES[kind], block["where"])
        self.assertEqual(seen, set(RESOURCES), "run schemas.py with these types")

    def test_every_reference_leads_somewhere(self):
        for directory, module in self.modules.items():
            variables, calls, resources = module.named("variable"), module.named("module"), module.resources()
            used = set()
            for reference, where in module.references():
                root, *rest = reference.split(".")
                with self.subTest(where, reference=reference):
                    if root == "var":
                        self.assertIn(rest[0], variables)
                        used.add(rest[0])
                    elif root == "local":
                        self.assertIn(rest[0], module.locals())
                    elif root == "module":
                        self.assertIn(rest[1], self.called(directory, calls[rest[0]]).named("output"))
                    elif (root, rest[0] if rest else "") in resources:
                        schema = RESOURCES[root]
                        self.assertIn(rest[1], [*schema["required"], *schema["optional"], *schema["computed"]])
                    else:
                        # The name in a `for`, and the module's own path.
                        self.assertIn(reference, ("name", "value", "path.module"))
            with self.subTest(directory, what="variables that nothing reads"):
                validated = {name for name, block in variables.items() if block["blocks"]}
                self.assertEqual(set(variables) - used, set())
                self.assertLessEqual(validated, used)

    def called(self, directory, call):
        return self.modules[os.path.normpath(os.path.join(directory, call["texts"]["source"]))]

    def test_each_module_gets_what_it_asks_for(self):
        for directory, module in self.modules.items():
            for name, call in module.named("module").items():
                with self.subTest(directory, module=name):
                    variables = self.called(directory, call).named("variable")
                    needed = {it for it, block in variables.items() if "default" not in block["attributes"]}
                    given = set(call["attributes"]) - {"source"}
                    self.assertLessEqual(given, set(variables))
                    self.assertLessEqual(needed, given)

    def test_what_comes_out_is_what_was_evaluated(self):
        """The documents, whose texts other tests look at, are the ones that the resources get."""
        wanted = {
            "modules/google_to_aws": {
                ("aws_iam_role", "this"): {"assume_role_policy": "module.documents.trust_policy"},
                ("aws_iam_role_policy", "bucket"): {"policy": "module.documents.permissions"},
            },
            "modules/aws_to_google": {
                ("aws_iam_role", "this"): {"assume_role_policy": "module.documents.trust_policy"},
                ("google_iam_workload_identity_pool_provider", "this"): {
                    "attribute_mapping": "module.documents.attribute_mapping",
                    "attribute_condition": "module.documents.attribute_condition",
                },
                ("google_service_account_iam_member", "role"): {"member": "module.documents.member"},
            },
            "ecs": {
                ("aws_ecs_task_definition", "this"): {
                    "container_definitions": "module.documents.container_definitions",
                    "task_role_arn": "module.grants.role_arn",
                }
            },
            "mwaa": {
                ("aws_iam_role_policy", "execution"): {"policy": "module.documents.permissions"},
                ("aws_s3_object", "google_json"): {"content": "module.grants.google_json"},
            },
            "dataflow": {("google_compute_project_metadata_item", "role"): {"value": "module.grants.role_arn"}},
        }
        for directory, resources in wanted.items():
            for name, attributes in resources.items():
                block = self.modules[directory].resources()[name]
                for attribute, reference in attributes.items():
                    with self.subTest(directory, resource=name, attribute=attribute):
                        self.assertEqual(block["attributes"][attribute], [reference])

    def test_pulumi_makes_the_same_resources(self):
        for root in set(ROOTS) - {"alert"}:
            found = []
            core = "google_to_aws" if root in ("dataflow", "gke") else "aws_to_google"
            for directory in (root, f"modules/{core}"):
                found += [TWINS[kind] for kind, _ in self.modules[directory].resources()]
            made = [it["type"].partition(":")[2] for it in Stack(root).resources]
            with self.subTest(root):
                kinds = [it for it in made if it in TWINS.values()]
                self.assertEqual(sorted(kinds), sorted(found))
                self.assertEqual([it for it in made if "/" in it], kinds)

    def test_pulumi_gives_them_the_same_texts(self):
        """Each text that is made of settings alone."""
        compared = 0
        for root in set(ROOTS) - {"alert"}:
            core = f"modules/{'google_to_aws' if root in ('dataflow', 'gke') else 'aws_to_google'}"
            settings = {"pool_id": "fedboot-aws", "provider_id": "fedboot-aws", **PULUMI[root][1]}
            for directory, module in read(root, core, **settings).items():
                for (kind, name), block in module.resources().items():
                    camel = {re.sub("_(.)", lambda it: it[1].upper(), at): it for at, it in block["texts"].items()}
                    compared += len(camel)
                    with self.subTest(root, resource=f"{directory}: {kind}.{name}"):
                        twins = Stack(root).all(TWINS[kind])
                        self.assertTrue([it for it in twins if camel.items() <= it.items()], (camel, twins))
        self.assertGreater(compared, 100)

    def test_no_provider_for_google_is_made_in_iam(self):
        self.assertNotIn("aws_iam_openid_connect_provider", RESOURCES)

    def test_credentials_of_another_account_are_refused(self):
        for root in set(ROOTS) - {"alert"}:
            providers = self.modules[root].named("provider")
            self.assertEqual(providers["aws"]["attributes"]["allowed_account_ids"], ["var.aws_account_id"])

    def test_the_versions_are_those_whose_schemas_are_kept(self):
        for path in TERRAFORM.rglob("versions.tf"):
            text = path.read_text()
            for name, floor in re.findall(r'source\s+= "hashicorp/(\w+)"\s+version = ">= ([\d.]+), <', text):
                self.assertEqual(SCHEMAS["providers"][f"hashicorp/{name}"]["version"], f"{floor}.0", path)
            self.assertEqual(text.count("source "), text.count(">= ") - 1, path)


class Requirements(unittest.TestCase):
    def test_the_examples_have_the_tested_versions(self):
        tested = (setting.HERE / "requirements.txt").read_text().splitlines()
        for line in (EXAMPLES / "pulumi/requirements.txt").read_text().splitlines():
            self.assertIn(line, tested)
