"""An AWS role, and a Google service account that it may be."""

import pulumi
import pulumi_aws as aws
import pulumi_gcp as gcp

from fedboot_grants import documents
from fedboot_grants.checks import check


class AwsToGoogle(pulumi.ComponentResource):
    """Has `role`, `google_json`, `environment`; `inside`, the options for what belongs to it."""

    def __init__(
        self,
        name,
        *,
        trust_policy,
        google_project,
        service_account_id,
        dataset_id,
        aws_account_id,
        aws_role_name,
        pool_id="fedboot-aws",
        provider_id="fedboot-aws",
        opts=None,
    ):
        check(
            google_project=google_project,
            service_account_id=service_account_id,
            dataset_id=dataset_id,
            aws_account_id=aws_account_id,
            aws_role_name=aws_role_name,
            pool_id=pool_id,
            provider_id=provider_id,
        )
        super().__init__("fedboot:grants:AwsToGoogle", name, None, opts)
        self.inside = pulumi.ResourceOptions(parent=self)
        self.role = aws.iam.Role(
            name,
            name=aws_role_name,
            description=f"Is {service_account_id} of the Google project {google_project}",
            assume_role_policy=trust_policy,
            opts=self.inside,
        )
        self.account = gcp.serviceaccount.Account(
            name,
            project=google_project,
            account_id=service_account_id,
            display_name=f"For the AWS role {aws_role_name}",
            opts=self.inside,
        )
        # The pool's name has the project's number in it.
        pool = gcp.iam.WorkloadIdentityPool(
            name, project=google_project, workload_identity_pool_id=pool_id, opts=self.inside
        )
        assumed = documents.assumed_role(aws_account_id, aws_role_name)
        gcp.iam.WorkloadIdentityPoolProvider(
            name,
            project=google_project,
            workload_identity_pool_id=pool.workload_identity_pool_id,
            workload_identity_pool_provider_id=provider_id,
            attribute_mapping=documents.ATTRIBUTE_MAPPING,
            # No other role of the account gets in.
            attribute_condition=f"attribute.aws_role == '{assumed}'",
            aws={"account_id": aws_account_id},
            opts=self.inside,
        )
        gcp.serviceaccount.IAMMember(
            name,
            service_account_id=self.account.name,
            role="roles/iam.workloadIdentityUser",
            member=pool.name.apply(
                lambda pool_name: f"principalSet://iam.googleapis.com/{pool_name}/attribute.aws_role/{assumed}"
            ),
            opts=self.inside,
        )
        member = self.account.email.apply(lambda email: f"serviceAccount:{email}")
        gcp.projects.IAMMember(
            name, project=google_project, role="roles/bigquery.jobUser", member=member, opts=self.inside
        )
        gcp.bigquery.DatasetIamMember(
            name,
            project=google_project,
            dataset_id=dataset_id,
            role="roles/bigquery.dataViewer",
            member=member,
            opts=self.inside,
        )
        provider = pool.name.apply(lambda pool_name: f"{pool_name}/providers/{provider_id}")
        self.google_json = pulumi.Output.all(provider, self.account.email).apply(
            lambda both: documents.external_account(*both)
        )
        # The variables that stand for the file.
        self.environment = {
            "FEDBOOT_IMPERSONATE_SERVICE_ACCOUNT": self.account.email,
            "FEDBOOT_WORKLOAD_IDENTITY_PROVIDER": provider,
        }
        self.register_outputs({"google_json": self.google_json, "role_arn": self.role.arn})
