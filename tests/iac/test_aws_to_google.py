"""AWS → Google: the provider, the binding and the file, by what fedboot and gcloud say and by Google's side that verifies."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from clouds import Sandbox, fedboot
from setting import EXAMPLES, MWAA, POOL, READER, TERRAFORM, TO_GOOGLE, Programs, Stack, outputs, to_google_documents

PLACES = ("ec2", "ecs", "eks-irsa", "eks-pod-identity", "mwaa")
PROVIDER = f"{POOL}/providers/fedboot-aws"
NAME = TO_GOOGLE["aws_role_name"]
ROLE = f"arn:aws:iam::123456789012:role/{NAME}"
# Where the sandbox has the role's keys, by place. On MWAA it is as on ECS.
SOURCES = {
    "ec2": "imds",
    "ecs": "ecs",
    "eks-irsa": "web-identity",
    "eks-pod-identity": "pod-identity",
    "mwaa": "ecs",
}


def made(place):
    """What each way makes at the place: provider, binding, file and trust policy."""
    stack = Stack(place)
    provider = stack.one("iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider")
    found = {
        "Pulumi": {
            "attribute_mapping": provider["attributeMapping"],
            "attribute_condition": provider["attributeCondition"],
            "member": stack.one("serviceaccount/iAMMember:IAMMember")["member"],
            "google_json": json.loads(stack.outputs["google_json"]),
            "trust_policy": json.loads(stack.one("iam/role:Role", name=NAME)["assumeRolePolicy"]),
        }
    }
    if Programs.tofu:
        said = to_google_documents(place)
        found["Terraform"] = {
            name: json.loads(said[name]) if name in ("google_json", "trust_policy") else said[name]
            for name in found["Pulumi"]
        }
    return found


class Provider(unittest.TestCase):
    def test_it_is_the_one_that_fedboot_prints(self):
        words = ["--workload-identity-provider", PROVIDER, "--aws-role", ROLE, "--format", "json"]
        ended = fedboot("trust-policy", "--flags-only", *words)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        printed = json.loads(ended.stdout)
        for place in PLACES:
            for way, it in made(place).items():
                for name in ("attribute_mapping", "attribute_condition", "member"):
                    with self.subTest(way, place=place, what=name):
                        self.assertEqual(it[name], printed[name])

    def test_it_is_for_the_account(self):
        for place in PLACES:
            provider = Stack(place).one("iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider")
            self.assertEqual(json.loads(json.dumps(provider["aws"])), {"accountId": "123456789012"})
            binding = Stack(place).one("serviceaccount/iAMMember:IAMMember")
            self.assertEqual(binding["role"], "roles/iam.workloadIdentityUser")
            self.assertEqual(binding["serviceAccountId"], f"projects/demo-project/serviceAccounts/{READER}")

    def test_the_longest_subject_is_short_enough(self):
        # What Google makes of the longest name that IAM takes.
        self.assertEqual(len(NAME), 64)
        self.assertLess(len(f"arn:aws:sts::123456789012:assumed-role/{NAME}".encode()), 127)

    def test_the_account_reads_one_dataset(self):
        stack = Stack("ecs")
        job = stack.one("projects/iAMMember:IAMMember")
        self.assertEqual((job["role"], job["member"]), ("roles/bigquery.jobUser", f"serviceAccount:{READER}"))
        reader = stack.one("bigquery/datasetIamMember:DatasetIamMember")
        self.assertEqual((reader["role"], reader["datasetId"]), ("roles/bigquery.dataViewer", "words"))


class File(unittest.TestCase):
    def test_it_is_the_one_that_gcloud_writes(self):
        if not shutil.which("gcloud"):
            self.skipTest("no gcloud on PATH")
        with tempfile.TemporaryDirectory() as place:
            path = pathlib.Path(place) / "google.json"
            words = ["iam", "workload-identity-pools", "create-cred-config", "--aws", "--enable-imdsv2"]
            more = [PROVIDER, f"--service-account={READER}", f"--output-file={path}"]
            environment = {"PATH": os.environ["PATH"], "HOME": place, "CLOUDSDK_CONFIG": place}
            subprocess.run(["gcloud", *words, *more], env=environment, check=True, capture_output=True, timeout=120)
            written = json.loads(path.read_text())
        for place in PLACES:
            for way, it in made(place).items():
                with self.subTest(way, place=place):
                    self.assertEqual(it["google_json"], written)


class Exchange(unittest.TestCase):
    def test_the_role_is_the_service_account_and_no_other_role_is(self):
        for place in PLACES:
            pods = {"kubernetes_namespace": "jobs", "kubernetes_service_account": "app"}
            with Sandbox("--aws", SOURCES[place], "--role", ROLE) as sandbox:
                for way, it in made(place).items():
                    provider = {
                        "name": PROVIDER,
                        "aws": {"account_id": "123456789012"},
                        "attribute_mapping": it["attribute_mapping"],
                        "attribute_condition": it["attribute_condition"],
                    }
                    other = ROLE[:-1] + "x"
                    sandbox.set(
                        **pods,
                        providers=[provider],
                        workload_identity_users={READER: [it["member"]]},
                        service_account=READER,
                        workload_role=ROLE,
                        instance_role=ROLE if place == "ec2" else other,
                        roles=[{"arn": arn, "trust_policy": it["trust_policy"]} for arn in (ROLE, other)],
                    )
                    sandbox.ask("/pod-tokens", {})
                    file = sandbox.led_here(it["google_json"])
                    with self.subTest(way, place=place):
                        ended = sandbox.fedboot("token", "access", GOOGLE_APPLICATION_CREDENTIALS=file)
                        self.assertEqual(ended.returncode, 0, ended.stderr)
                        self.assertTrue(ended.stdout.strip())
                    with self.subTest(way, place=place, role="another"):
                        sandbox.set(workload_role=other, instance_role=other)
                        more = {"AWS_ROLE_ARN": other} if place == "eks-irsa" else {}
                        ended = sandbox.fedboot("token", "access", GOOGLE_APPLICATION_CREDENTIALS=file, **more)
                        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
                        self.assertIn("condition", ended.stderr)

    def test_pods_of_another_namespace_do_not_get_the_role(self):
        for way, it in made("eks-irsa").items():
            with self.subTest(way), Sandbox("--aws", "web-identity", "--role", ROLE) as sandbox:
                pods = {"kubernetes_namespace": "other", "kubernetes_service_account": "app"}
                sandbox.set(**pods, roles=[{"arn": ROLE, "trust_policy": it["trust_policy"]}])
                sandbox.ask("/pod-tokens", {})
                ended = sandbox.fedboot("token", "access")
                self.assertEqual((ended.returncode, ended.stdout), (1, ""))
                self.assertIn("AccessDenied", ended.stderr)


class Trust(unittest.TestCase):
    def test_each_place_hands_out_its_own_role(self):
        # As AWS's documentation of each place has it.
        services = {
            "ec2": {"ec2.amazonaws.com"},
            "ecs": {"ecs-tasks.amazonaws.com"},
            "eks-pod-identity": {"pods.eks.amazonaws.com"},
            "mwaa": {"airflow.amazonaws.com", "airflow-env.amazonaws.com"},
        }
        for place in PLACES:
            ways = made(place)
            for way, it in ways.items():
                with self.subTest(way, place=place):
                    self.assertEqual(it["trust_policy"], ways["Pulumi"]["trust_policy"])
                    [statement] = it["trust_policy"]["Statement"]
                    if place in services:
                        said = statement["Principal"]["Service"]
                        self.assertEqual({said} if isinstance(said, str) else set(said), services[place])
        [statement] = made("eks-pod-identity")["Pulumi"]["trust_policy"]["Statement"]
        self.assertEqual(statement["Action"], ["sts:AssumeRole", "sts:TagSession"])


class Ecs(unittest.TestCase):
    def test_the_container_needs_no_file(self):
        task = Stack("ecs").one("ecs/taskDefinition:TaskDefinition")
        self.assertEqual(task["taskRoleArn"], ROLE)
        self.assertNotEqual(task["executionRoleArn"], ROLE)
        [container] = json.loads(task["containerDefinitions"])
        if Programs.tofu:
            variables = to_google_documents("ecs")["environment"]
            words = {"command": ["python", "app.py"], "environment": variables, "image": "registry/app:1"}
            said = outputs("ecs/documents", **words, log_group="/ecs/app", region="eu-west-1")
            self.assertEqual(json.loads(said["container_definitions"]), [container])
        it = made("ecs")["Pulumi"]
        provider = {"name": PROVIDER, "aws": {"account_id": "123456789012"}}
        provider |= {name: it[name] for name in ("attribute_mapping", "attribute_condition")}
        with Sandbox("--aws", "ecs", "--role", ROLE) as sandbox:
            sandbox.set(
                providers=[provider],
                workload_identity_users={READER: [it["member"]]},
                service_account=READER,
                workload_role=ROLE,
            )
            urls = sandbox.ask("/")["urls"]
            # Where the sandbox's Google is: a task of one's own has none of these.
            google = {
                "FEDBOOT_GOOGLE_STS_ENDPOINT": urls["google_sts_http"],
                "FEDBOOT_IAM_CREDENTIALS_ENDPOINT": urls["iam_credentials_http"],
            }
            variables = {pair["name"]: pair["value"] for pair in container["environment"]}
            [entry, dashes] = container["entryPoint"]
            self.assertEqual(entry, "fedboot")
            program = ["python3", "-c", "import os; print(os.environ['GCE_METADATA_HOST'])"]
            ended = sandbox.fedboot(
                dashes, *program, without=("GOOGLE_APPLICATION_CREDENTIALS",), **variables, **google
            )
            self.assertEqual(ended.returncode, 0, ended.stderr)
            self.assertIn("127.0.0.1:", ended.stdout)


class Eks(unittest.TestCase):
    def test_the_association_names_the_role(self):
        association = Stack("eks-pod-identity").one("eks/podIdentityAssociation:PodIdentityAssociation")
        wanted = {"clusterName": "cluster", "namespace": "jobs", "serviceAccount": "app", "roleArn": ROLE}
        self.assertEqual(association, wanted)

    def test_the_annotation_names_the_role(self):
        manifest = json.loads(Stack("eks-irsa").outputs["manifest"])
        self.assertEqual(manifest["metadata"]["annotations"], {"eks.amazonaws.com/role-arn": ROLE})


class Ec2(unittest.TestCase):
    def test_the_profile_holds_the_role(self):
        profile = Stack("ec2").one("iam/instanceProfile:InstanceProfile")
        self.assertEqual(profile, {"name": NAME, "role": NAME})


class Mwaa(unittest.TestCase):
    def test_the_startup_script_finds_its_files(self):
        stack = Stack("mwaa")
        objects = {it["key"]: it for it in stack.all("s3/bucketObjectv2:BucketObjectv2")}
        self.assertEqual(set(objects), {"dags/fedboot/fedboot", "dags/fedboot/google.json", "startup.sh"})
        script = (EXAMPLES / "mwaa/startup.sh").read_text()
        for key in ("dags/fedboot/fedboot", "dags/fedboot/google.json"):
            self.assertIn(f"/{key}", script)
        content = json.loads(objects["dags/fedboot/google.json"]["content"])
        self.assertEqual(content, made("mwaa")["Pulumi"]["google_json"])
        uploaded = pathlib.Path(objects["startup.sh"]["source"])
        self.assertTrue(uploaded.samefile(EXAMPLES / "mwaa/startup.sh"))
        [inside] = set(re.findall(r'"\${path.module}/([^"]+)"', (TERRAFORM / "mwaa/main.tf").read_text()))
        self.assertTrue(uploaded.samefile(TERRAFORM / "mwaa" / inside))

    def test_the_permissions_are_the_same_each_way(self):
        policy = json.loads(Stack("mwaa").one("iam/rolePolicy:RolePolicy")["policy"])
        self.assertIn("airflow:PublishMetrics", json.dumps(policy))
        if Programs.tofu:
            names = {"environment_name": MWAA["environment_name"], "bucket": MWAA["source_bucket"]}
            said = outputs("mwaa/documents", **names, account_id="123456789012", region="eu-west-1")
            self.assertEqual(json.loads(said["permissions"]), policy)
