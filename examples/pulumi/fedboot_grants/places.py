"""AWS → Google at each place. A function makes what the place needs, and returns what is to be told."""

import json
import pathlib

import pulumi
import pulumi_aws as aws

from fedboot_grants import documents
from fedboot_grants.aws_to_google import AwsToGoogle
from fedboot_grants.checks import check

STARTUP = pathlib.Path(__file__).resolve().parent.parent.parent / "mwaa" / "startup.sh"


def ec2(core):
    grants = AwsToGoogle("grants", trust_policy=documents.service_trust("ec2.amazonaws.com"), **core)
    name = core["aws_role_name"]
    profile = aws.iam.InstanceProfile("profile", name=name, role=grants.role.name, opts=grants.inside)
    return grants, {"instance_profile": profile.name}


def ecs(core, *, image, command, log_group, aws_region):
    check(image=image)
    try:
        words = json.loads(command)
    except ValueError:
        words = None
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise pulumi.RunError(f'command is a list of words in JSON, as ["python", "app.py"]; this is {command}.')
    account = {"Condition": {"StringEquals": {"aws:SourceAccount": core["aws_account_id"]}}}
    grants = AwsToGoogle("grants", trust_policy=documents.service_trust("ecs-tasks.amazonaws.com", **account), **core)
    # The agent of ECS pulls the image and writes the log; the container never sees this role.
    execution = aws.iam.Role(
        "execution",
        name=f"{core['aws_role_name']}-execution",
        assume_role_policy=documents.service_trust("ecs-tasks.amazonaws.com"),
        opts=grants.inside,
    )
    aws.iam.RolePolicyAttachment(
        "execution",
        role=execution.name,
        policy_arn="arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy",
        opts=grants.inside,
    )
    task = aws.ecs.TaskDefinition(
        "task",
        family=core["aws_role_name"],
        requires_compatibilities=["FARGATE"],
        network_mode="awsvpc",
        cpu="512",
        memory="1024",
        task_role_arn=grants.role.arn,
        execution_role_arn=execution.arn,
        container_definitions=pulumi.Output.from_input(grants.environment).apply(
            lambda environment: documents.container(image, words, environment, log_group, aws_region)
        ),
        opts=grants.inside,
    )
    return grants, {"task_definition": task.arn}


def eks_pod_identity(core, *, cluster_name, namespace, kubernetes_service_account):
    check(namespace=namespace, kubernetes_service_account=kubernetes_service_account)
    grants = AwsToGoogle("grants", trust_policy=documents.pod_identity_trust(), **core)
    aws.eks.PodIdentityAssociation(
        "association",
        cluster_name=cluster_name,
        namespace=namespace,
        service_account=kubernetes_service_account,
        role_arn=grants.role.arn,
        opts=grants.inside,
    )
    return grants, {"manifest": documents.service_account_manifest(namespace, kubernetes_service_account, {})}


def eks_irsa(core, *, oidc_provider_arn, namespace, kubernetes_service_account):
    check(
        oidc_provider_arn=oidc_provider_arn,
        namespace=namespace,
        kubernetes_service_account=kubernetes_service_account,
    )
    trust = documents.irsa_trust(oidc_provider_arn, namespace, kubernetes_service_account)
    grants = AwsToGoogle("grants", trust_policy=trust, **core)
    manifest = grants.role.arn.apply(
        lambda arn: documents.service_account_manifest(
            namespace, kubernetes_service_account, {"eks.amazonaws.com/role-arn": arn}
        )
    )
    return grants, {"manifest": manifest}


def mwaa(core, *, environment_name, source_bucket, fedboot, aws_region):
    check(environment_name=environment_name, source_bucket=source_bucket)
    if not pathlib.Path(fedboot).is_file():
        raise pulumi.RunError(f"fedboot is the path of its binary on this machine; there is no file {fedboot!r}.")
    trust = documents.service_trust("airflow.amazonaws.com", "airflow-env.amazonaws.com")
    grants = AwsToGoogle("grants", trust_policy=trust, **core)
    permissions = documents.mwaa_permissions(core["aws_account_id"], aws_region, environment_name, source_bucket)
    aws.iam.RolePolicy("execution", name="execution", role=grants.role.name, policy=permissions, opts=grants.inside)

    def put(name, key, **what):
        return aws.s3.BucketObjectv2(name, bucket=source_bucket, key=key, opts=grants.inside, **what)

    # Where the startup script looks for them.
    put("fedboot", "dags/fedboot/fedboot", source=pulumi.FileAsset(fedboot))
    put("google-json", "dags/fedboot/google.json", content=grants.google_json)
    startup = put("startup", "startup.sh", source=pulumi.FileAsset(str(STARTUP)))
    return grants, {
        "execution_role_arn": grants.role.arn,
        "startup_script_s3_path": startup.key,
        "startup_script_s3_object_version": startup.version_id,
    }


# Each place: its function, and what it needs to know besides the core.
PLACES = {
    "ec2": (ec2, ()),
    "ecs": (ecs, ("image", "command", "log_group", "aws_region")),
    "eks-irsa": (eks_irsa, ("oidc_provider_arn", "namespace", "kubernetes_service_account")),
    "eks-pod-identity": (eks_pod_identity, ("cluster_name", "namespace", "kubernetes_service_account")),
    "mwaa": (mwaa, ("environment_name", "source_bucket", "fedboot", "aws_region")),
}
