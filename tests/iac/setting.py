"""What the tests say to the examples, and what came of it: once for Pulumi, once for Terraform."""

import atexit
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
EXAMPLES = HERE.parent.parent / "examples"
TERRAFORM = EXAMPLES / "terraform"
UNIQUE_ID = "117739419398126000111"
POOL = "projects/739419398126/locations/global/workloadIdentityPools/fedboot-aws"
EMAIL = "beam-worker@demo-project.iam.gserviceaccount.com"
READER = "reads-bigquery@demo-project.iam.gserviceaccount.com"
# The cluster of the sandbox.
ISSUER = "oidc.eks.eu-west-1.amazonaws.com/id/5D0B1F2CA9E84D6F93A7C2E1B8F60D47"

BOTH = {"aws_account_id": "123456789012", "aws_region": "eu-west-1", "google_project": "demo-project"}
TO_AWS = {**BOTH, "service_account_id": "beam-worker", "aws_role_name": "beam-worker", "bucket": "words"}
TO_GOOGLE = {
    **BOTH,
    "service_account_id": "reads-bigquery",
    # As long as IAM takes it.
    "aws_role_name": "reads-bigquery-" + 49 * "r",
    "dataset_id": "words",
}
PODS = {"namespace": "jobs", "kubernetes_service_account": "app"}
# Any file stands for fedboot's.
MWAA = {"environment_name": "airflow", "source_bucket": "dags-of-ours", "fedboot": __file__}
ECS = {"image": "registry/app:1", "command": '["python", "app.py"]', "log_group": "/ecs/app"}
DATAFLOW = {"temp_bucket": "temp", "repository": "beam", "repository_location": "europe-west1"}
# Each program and place of Pulumi's with its settings.
PULUMI = {
    "dataflow": ("google-to-aws", {**TO_AWS, **DATAFLOW}),
    "gke": ("google-to-aws", {**TO_AWS, **PODS}),
    "ec2": ("aws-to-google", TO_GOOGLE),
    "ecs": ("aws-to-google", {**TO_GOOGLE, **ECS}),
    "eks-irsa": (
        "aws-to-google",
        {**TO_GOOGLE, **PODS, "oidc_provider_arn": f"arn:aws:iam::123456789012:oidc-provider/{ISSUER}"},
    ),
    "eks-pod-identity": ("aws-to-google", {**TO_GOOGLE, **PODS, "cluster_name": "cluster"}),
    "mwaa": ("aws-to-google", {**TO_GOOGLE, **MWAA}),
}


class Programs:
    """Where the programs are that the tests call; `run.py` says it. None is one that is not to be had."""

    fedboot = sandbox = ministack = tofu = hcl = None


def pulumi(*runs):
    """What Pulumi would make of each run (place, changed settings): `resources` and `outputs`, or an `error`."""
    said = []
    for place, changes in runs:
        program, config = PULUMI[place]
        config = {name: value for name, value in {**config, "place": place, **changes}.items() if value is not None}
        said.append({"program": str(EXAMPLES / "pulumi" / program), "config": config})
    player = _player()
    player.stdin.write(json.dumps(said) + "\n")
    player.stdin.flush()
    # It ends with what was wrong on stderr.
    if not (answer := player.stdout.readline()):
        raise AssertionError("the program of Pulumi failed, see above")
    return json.loads(answer)


@functools.cache
def _player():
    """One process for all: to import Pulumi's packages takes seconds."""
    player = subprocess.Popen(
        [sys.executable, HERE / "stack.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    # In the opposite order.
    atexit.register(player.wait)
    atexit.register(player.kill)
    return player


@functools.cache
def stacks():
    """What Pulumi makes at each place."""
    return dict(zip(PULUMI, pulumi(*((place, {}) for place in PULUMI)), strict=True))


class Stack:
    """What Pulumi makes at one place, by kind."""

    def __init__(self, place):
        played = stacks()[place]
        self.resources, self.outputs = played["resources"], played["outputs"]

    def all(self, kind):
        return [it["inputs"] for it in self.resources if it["type"].endswith(f":{kind}")]

    def one(self, kind, **having):
        [it] = [it for it in self.all(kind) if having.items() <= it.items()]
        return it


def tofu(directory, *words, variables=None, check=True):
    """Runs tofu there; nothing is read from the home of whoever runs the tests, no provider is ever asked for."""
    given = [f"-var={name}={it if isinstance(it, str) else json.dumps(it)}" for name, it in (variables or {}).items()]
    environment = {"PATH": os.defpath, "HOME": str(directory), "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
    command = [Programs.tofu, *words, *given]
    ended = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    if check and ended.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {ended.stdout}{ended.stderr}")
    return ended


@functools.cache
def _outputs(module, variables):
    with tempfile.TemporaryDirectory() as place:
        copy = pathlib.Path(shutil.copytree(TERRAFORM / module, pathlib.Path(place) / "module"))
        tofu(copy, "plan", "-input=false", "-out=plan", variables=json.loads(variables))
        planned = json.loads(tofu(copy, "show", "-json", "plan").stdout)["planned_values"]["outputs"]
        return {name: it["value"] for name, it in planned.items()}


def outputs(module, **variables):
    """What a module without a provider says, by OpenTofu's own word."""
    return _outputs(module, json.dumps(variables))


def to_aws_documents(**changes):
    settings = {name: TO_AWS[name] for name in ("aws_account_id", "aws_role_name", "bucket")}
    return outputs("modules/google_to_aws/documents", **{**settings, "service_account_unique_id": UNIQUE_ID, **changes})


def to_google_documents(place, **changes):
    settings = {name: TO_GOOGLE[name] for name in ("aws_account_id", "aws_role_name")}
    if place == "eks-irsa":
        settings["kubernetes"] = {
            "oidc_provider_arn": f"arn:aws:iam::123456789012:oidc-provider/{ISSUER}",
            "namespace": PODS["namespace"],
            "service_account": PODS["kubernetes_service_account"],
        }
    more = {"place": place, "pool_name": POOL, "provider_id": "fedboot-aws", "service_account_email": READER}
    return outputs("modules/aws_to_google/documents", **{**settings, **more, **changes})
