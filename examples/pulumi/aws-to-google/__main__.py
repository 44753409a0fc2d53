"""A Google service account for the AWS role of a workload on ECS, EKS, EC2 or MWAA; see README.md."""

import pathlib
import sys

# What both ways share stands beside this folder.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import pulumi
import pulumi_aws as aws
import pulumi_gcp as gcp
from fedboot_grants.checks import check
from fedboot_grants.places import PLACES

config = pulumi.Config()
place = config.require("place")
if place not in PLACES:
    raise pulumi.RunError(f"place is one of {', '.join(PLACES)}; this is {place!r}.")
make, needs = PLACES[place]
account, project, region = (
    config.require("aws_account_id"),
    config.require("google_project"),
    config.require("aws_region"),
)
check(aws_account_id=account, google_project=project)
providers = [
    # Credentials of another account are refused before anything is made.
    aws.Provider("aws", region=region, allowed_account_ids=[account]),
    gcp.Provider("google", project=project),
]
core = {
    "google_project": project,
    "service_account_id": config.require("service_account_id"),
    "dataset_id": config.require("dataset_id"),
    "aws_account_id": account,
    "aws_role_name": config.require("aws_role_name"),
    "opts": pulumi.ResourceOptions(providers=providers),
}
for name in ("pool_id", "provider_id"):
    if (given := config.get(name)) is not None:
        core[name] = given
grants, told = make(core, **{need: config.require(need) for need in needs})
pulumi.export("google_json", grants.google_json)
for name, value in told.items():
    pulumi.export(name, value)
