"""A Google service account, and an AWS role that it may assume; and what Dataflow and GKE need besides."""

import pulumi
import pulumi_aws as aws
import pulumi_gcp as gcp

from fedboot_grants import documents
from fedboot_grants.checks import check


class GoogleToAws(pulumi.ComponentResource):
    """Has `account`, the service account; `role_arn`; `inside`, the options for what belongs to it."""

    def __init__(self, name, *, google_project, service_account_id, aws_account_id, aws_role_name, bucket, opts=None):
        check(
            google_project=google_project,
            service_account_id=service_account_id,
            aws_account_id=aws_account_id,
            aws_role_name=aws_role_name,
            bucket=bucket,
        )
        super().__init__("fedboot:grants:GoogleToAws", name, None, opts)
        self.google_project = google_project
        self.inside = pulumi.ResourceOptions(parent=self)
        self.account = gcp.serviceaccount.Account(
            name,
            project=google_project,
            account_id=service_account_id,
            display_name=f"Assumes the AWS role {aws_role_name}",
            opts=self.inside,
        )
        role = aws.iam.Role(
            name,
            name=aws_role_name,
            description=f"For {service_account_id} of the Google project {google_project}",
            assume_role_policy=self.account.unique_id.apply(documents.google_trust),
            opts=self.inside,
        )
        aws.iam.RolePolicy(
            name,
            name="bucket",
            role=role.name,
            policy=documents.bucket_permissions(bucket),
            opts=self.inside,
        )
        self.role_arn = role.arn
        self.register_outputs({"role_arn": self.role_arn, "service_account_email": self.account.email})


def for_dataflow(grants, *, temp_bucket, repository, repository_location, aws_region):
    """What a worker needs: its work, its temporary files, its image; and where fedboot finds the role."""
    check(temp_bucket=temp_bucket)
    project, inside = grants.google_project, grants.inside
    member = grants.account.email.apply(lambda email: f"serviceAccount:{email}")
    gcp.projects.IAMMember("worker", project=project, role="roles/dataflow.worker", member=member, opts=inside)
    gcp.storage.BucketIAMMember(
        "temp", bucket=temp_bucket, role="roles/storage.objectAdmin", member=member, opts=inside
    )
    images = gcp.artifactregistry.Repository(
        "images",
        project=project,
        location=repository_location,
        repository_id=repository,
        format="DOCKER",
        opts=inside,
    )
    gcp.artifactregistry.RepositoryIamMember(
        "images",
        project=project,
        location=images.location,
        repository=images.repository_id,
        role="roles/artifactregistry.reader",
        member=member,
        opts=inside,
    )
    # Nobody can set the environment of a Dataflow worker. These count for the whole project.
    for attribute, value in (("fedboot-role-arn", grants.role_arn), ("fedboot-region", aws_region)):
        gcp.compute.ProjectMetadataItem(attribute, project=project, key=attribute, value=value, opts=inside)
    return {"repository": f"{repository_location}-docker.pkg.dev/{project}/{repository}"}


def for_gke(grants, *, namespace, kubernetes_service_account, aws_region):
    """The pods of this Kubernetes service account are the Google service account."""
    check(namespace=namespace, kubernetes_service_account=kubernetes_service_account)
    gcp.serviceaccount.IAMMember(
        "pods",
        service_account_id=grants.account.name,
        role="roles/iam.workloadIdentityUser",
        member=f"serviceAccount:{grants.google_project}.svc.id.goog[{namespace}/{kubernetes_service_account}]",
        opts=grants.inside,
    )
    manifest = grants.account.email.apply(
        lambda email: documents.service_account_manifest(
            namespace, kubernetes_service_account, {"iam.gke.io/gcp-service-account": email}
        )
    )
    return {
        "manifest": manifest,
        "environment": {"FEDBOOT_REGION": aws_region, "FEDBOOT_ROLE_ARN": grants.role_arn},
    }
