"""An AWS role for the Google service account of Dataflow's workers or of pods on GKE; see README.md."""

import pathlib
import sys

# What both ways share stands beside this folder.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import pulumi
import pulumi_aws as aws
import pulumi_gcp as gcp
from fedboot_grants.checks import check
from fedboot_grants.google_to_aws import GoogleToAws, for_dataflow, for_gke

PLACES = {
    "dataflow": (for_dataflow, ("temp_bucket", "repository", "repository_location", "aws_region")),
    "gke": (for_gke, ("namespace", "kubernetes_service_account", "aws_region")),
}
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
grants = GoogleToAws(
    "grants",
    google_project=project,
    service_account_id=config.require("service_account_id"),
    aws_account_id=account,
    aws_role_name=config.require("aws_role_name"),
    bucket=config.require("bucket"),
    opts=pulumi.ResourceOptions(providers=providers),
)
pulumi.export("service_account_email", grants.account.email)
pulumi.export("role_arn", grants.role_arn)
for name, value in make(grants, **{need: config.require(need) for need in needs}).items():
    pulumi.export(name, value)
