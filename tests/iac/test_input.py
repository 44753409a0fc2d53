"""What can be wrong with a setting is said in one sentence, by each way, before anything is made."""

import pathlib
import re
import shutil
import tempfile
import unittest

from setting import PULUMI, TERRAFORM, Programs, pulumi, tofu

# Each setting, with what cannot be right.
WRONG = {
    "aws_account_id": ["1234-5678-9012", "12345678901", "the account", "12345678901\u0662", ""],
    "aws_role_name": ["beam worker", "r" * 65, "path/role", "quoted'name", ""],
    "bucket": ["s3://words", "My Words", "words/", "ab", "Words"],
    "google_project": ["My project", "739419398126", "demo project", "a", "-demo-project"],
    "service_account_id": ["beam worker", "a" * 31, "short", "1beam-worker", "beam-worker@demo", "beam-"],
    "dataset_id": ["demo-project.words", "my words", ""],
    "pool_id": ["gcp-pool", "Pool", "abc", "my pool", "p" * 33],
    "provider_id": ["gcp-aws", "AWS", "abc", "my provider"],
    "namespace": ["my jobs", "Jobs", "jobs]", "a" * 64],
    "kubernetes_service_account": ["my app", "App", "app/x"],
    "oidc_provider_arn": ["oidc.eks.eu-west-1.amazonaws.com/id/X", "arn:aws:iam::1234-5678-9012:oidc-provider/x"],
    "image": ["registry/my app", ""],
    "environment_name": ["my airflow", "1airflow"],
    "source_bucket": ["s3://dags"],
}
# Which program of Pulumi's is asked, where it is not Dataflow's.
PLACES = {
    "bucket": "gke",
    "namespace": "gke",
    "kubernetes_service_account": "gke",
    "dataset_id": "ec2",
    "pool_id": "ec2",
    "provider_id": "ec2",
    "oidc_provider_arn": "eks-irsa",
    "image": "ecs",
    "environment_name": "mwaa",
    "source_bucket": "mwaa",
}
# Which module of Terraform's looks at which, with the name that it has there where that is another.
MODULES = {
    "modules/google_to_aws/documents": {"aws_account_id": None, "aws_role_name": None, "bucket": None},
    "modules/google_to_aws": {"google_project": None, "service_account_id": None},
    "modules/aws_to_google/documents": {"aws_account_id": None, "aws_role_name": None, "provider_id": None},
    "modules/aws_to_google": {"google_project": None, "service_account_id": None, "dataset_id": None, "pool_id": None},
    "modules/service_account_manifest": {"namespace": None, "kubernetes_service_account": "service_account"},
    "ecs/documents": {"image": None},
    "mwaa/documents": {"environment_name": None, "source_bucket": "bucket"},
    "alert": {"google_project": None},
}
# What the modules ask for, as it may be.
RIGHT = {
    "account_id": "123456789012",
    "aws_account_id": "123456789012",
    "aws_region": "eu-west-1",
    "aws_role_name": "role",
    "bucket": "words",
    "command": ["true"],
    "dataset_id": "words",
    "environment": {},
    "environment_name": "airflow",
    "google_project": "demo-project",
    "image": "registry/app:1",
    "log_group": "logs",
    "namespace": "jobs",
    "notification_channels": ["projects/demo-project/notificationChannels/1"],
    "place": "ec2",
    "pool_name": "projects/1/locations/global/workloadIdentityPools/pool",
    "provider_id": "provider",
    "region": "eu-west-1",
    "service_account": "app",
    "source_bucket": "dags",
    "service_account_email": "a@b",
    "service_account_id": "beam-worker",
    "service_account_unique_id": "1",
}


class PulumiInput(unittest.TestCase):
    def test_each_wrong_setting_has_its_sentence(self):
        said = [(name, it) for name, wrong in WRONG.items() for it in wrong]
        played = pulumi(*((PLACES.get(name, "dataflow"), {name: it}) for name, it in said))
        for (name, it), ended in zip(said, played, strict=True):
            with self.subTest(name, wrong=it):
                wanted = rf"^{name} (is|has|begins) .*; this is {re.escape(repr(it))}\.$"
                self.assertRegex(ended.get("error", ""), wanted)

    def test_each_missing_setting_is_named(self):
        said = [(place, name) for place in ("mwaa", "dataflow") for name in PULUMI[place][1]]
        played = pulumi(*((place, {name: None}) for place, name in said))
        for (_, name), ended in zip(said, played, strict=True):
            self.assertIn(name, ended.get("error", ""))

    def test_places_files_and_commands(self):
        commands = ('"python"', "python app.py", "[]", "[1]", "null")
        missing = ("mwaa", {"fedboot": "/nonexistent/fedboot"})
        place, file, *others = pulumi(
            ("ec2", {"place": "lambda"}), missing, *(("ecs", {"command": it}) for it in commands)
        )
        wanted = "place is one of ec2, ecs, eks-irsa, eks-pod-identity, mwaa; this is 'lambda'."
        self.assertEqual(place["error"], wanted)
        self.assertIn("there is no file '/nonexistent/fedboot'", file["error"])
        for ended in others:
            self.assertIn('command is a list of words in JSON, as ["python", "app.py"]', ended["error"])


class TerraformInput(unittest.TestCase):
    def setUp(self):
        if not Programs.tofu:
            self.skipTest("no OpenTofu")

    def refusals(self, module, changes):
        """What OpenTofu says to these variables; only they are looked at, whatever provider the rest needs."""
        with tempfile.TemporaryDirectory() as place:
            declared = set()
            # A module without a provider is taken whole.
            whole = module.endswith(("documents", "manifest"))
            for path in (TERRAFORM / module).glob("*.tf" if whole else "variables.tf"):
                shutil.copy(path, place)
                declared |= set(re.findall(r'^variable "(\w+)"', path.read_text(), re.MULTILINE))
            variables = {name: it for name, it in {**RIGHT, **changes}.items() if name in declared}
            ended = tofu(pathlib.Path(place), "plan", "-input=false", "-no-color", variables=variables, check=False)
            # A sentence may be wrapped.
            return ended.returncode, " ".join(re.sub(r"[│╷╵]", " ", ended.stderr).split())

    def test_each_wrong_variable_has_its_sentence(self):
        for module, names in MODULES.items():
            with self.subTest(module):
                code, said = self.refusals(module, {})
                self.assertEqual(code, 0, said)
            # Each run has another wrong value for each of the variables.
            for number in range(max(len(WRONG[name]) for name in names)):
                wrong = {other or name: WRONG[name][number % len(WRONG[name])] for name, other in names.items()}
                code, said = self.refusals(module, wrong)
                with self.subTest(module, wrong=wrong):
                    self.assertEqual(code, 1)
                    for name in wrong:
                        self.assertRegex(said, rf'variable "{name}" {{')
                    self.assertEqual(said.count("Error: Invalid value for variable"), len(names), said)
                    # What is wrong stands where the rule does: one sentence each.
                    self.assertEqual(said.count("This was checked by the validation rule"), len(names), said)

    def test_a_cluster_a_file_and_channels(self):
        kubernetes = {"oidc_provider_arn": "x", "namespace": "jobs", "service_account": "app"}
        spaces = {**kubernetes, "oidc_provider_arn": "arn:aws:iam::123456789012:oidc-provider/x", "namespace": "a b"}
        module = "modules/aws_to_google/documents"
        for changes, sentence in (
            ({"place": "eks-irsa", "kubernetes": kubernetes}, "The oidc_provider_arn is arn:aws:iam::ACCOUNT"),
            (
                {"place": "eks-irsa", "kubernetes": spaces},
                "The namespace and the service_account are names of Kubernetes",
            ),
            ({"place": "eks-irsa"}, "The place eks-irsa needs `kubernetes`"),
            ({"place": "lambda"}, "The place is one of ec2"),
        ):
            code, said = self.refusals(module, changes)
            self.assertEqual(code, 1)
            self.assertIn(sentence, said)
        code, said = self.refusals("mwaa", {"fedboot": "/nonexistent/fedboot"})
        self.assertEqual(code, 1)
        self.assertIn("there is no such file", said)
        for channels in ([], ["me@example.com"]):
            code, said = self.refusals("alert", {"notification_channels": channels})
            self.assertEqual(code, 1)
            self.assertIn("Each of the notification_channels is", said)
