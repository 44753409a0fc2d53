"""What is written into roles, providers and files: texts, which no cloud is asked for."""

import json

# The role without its session, whose name may be long: Google takes a subject of at most 127 bytes.
ROLE_EXPRESSION = (
    "assertion.arn.contains('assumed-role') ? "
    "assertion.arn.extract('{account_arn}assumed-role/') + 'assumed-role/' + "
    "assertion.arn.extract('assumed-role/{role_name}/') : assertion.arn"
)
ATTRIBUTE_MAPPING = {"google.subject": ROLE_EXPRESSION, "attribute.aws_role": ROLE_EXPRESSION}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **it} for it in statements]})


def google_trust(unique_id):
    """The role admits this one Google service account, with tokens for AWS STS."""
    return policy(
        {
            # AWS knows Google by itself. An OIDC provider for accounts.google.com in IAM breaks the exchange.
            "Principal": {"Federated": "accounts.google.com"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {
                    # The token's own audience. AWS compares accounts.google.com:aud with `azp` where there is one.
                    "accounts.google.com:oaud": "sts.amazonaws.com",
                    "accounts.google.com:sub": unique_id,
                }
            },
        }
    )


def bucket_permissions(bucket):
    """The role reads and writes one bucket."""
    return policy(
        {"Action": ["s3:GetBucketLocation", "s3:ListBucket"], "Resource": f"arn:aws:s3:::{bucket}"},
        {
            "Action": ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
            "Resource": f"arn:aws:s3:::{bucket}/*",
        },
    )


def service_trust(*services, **more):
    """A service of AWS hands the role out."""
    principal = services[0] if len(services) == 1 else list(services)
    return policy({"Principal": {"Service": principal}, "Action": "sts:AssumeRole", **more})


def pod_identity_trust():
    return service_trust("pods.eks.amazonaws.com", Action=["sts:AssumeRole", "sts:TagSession"])


def irsa_trust(oidc_provider_arn, namespace, service_account):
    """The role admits the pods of one Kubernetes service account."""
    issuer = oidc_provider_arn.partition(":oidc-provider/")[2]
    return policy(
        {
            "Principal": {"Federated": oidc_provider_arn},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {
                    f"{issuer}:aud": "sts.amazonaws.com",
                    f"{issuer}:sub": f"system:serviceaccount:{namespace}:{service_account}",
                }
            },
        }
    )


def mwaa_permissions(account_id, region, environment_name, bucket):
    """After https://docs.aws.amazon.com/mwaa/latest/userguide/mwaa-create-role.html."""
    logs = "CreateLogGroup CreateLogStream GetLogEvents GetLogGroupFields GetLogRecord GetQueryResults PutLogEvents"
    sqs = "ChangeMessageVisibility DeleteMessage GetQueueAttributes GetQueueUrl ReceiveMessage SendMessage"
    return policy(
        {
            "Action": "airflow:PublishMetrics",
            "Resource": f"arn:aws:airflow:{region}:{account_id}:environment/{environment_name}",
        },
        {
            "Action": ["s3:GetBucket*", "s3:GetObject*", "s3:List*"],
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        },
        {
            "Action": [f"logs:{action}" for action in logs.split()],
            "Resource": f"arn:aws:logs:{region}:{account_id}:log-group:airflow-{environment_name}-*",
        },
        {
            "Action": ["cloudwatch:PutMetricData", "logs:DescribeLogGroups", "s3:GetAccountPublicAccessBlock"],
            "Resource": "*",
        },
        {
            "Action": [f"sqs:{action}" for action in sqs.split()],
            "Resource": f"arn:aws:sqs:{region}:*:airflow-celery-*",
        },
        {
            # The queue is in an account of AWS's own, and so is its key.
            "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*"],
            "NotResource": f"arn:aws:kms:*:{account_id}:key/*",
            "Condition": {"StringLike": {"kms:ViaService": [f"sqs.{region}.amazonaws.com"]}},
        },
    )


def assumed_role(account_id, role_name):
    """The role as Google sees it."""
    return f"arn:aws:sts::{account_id}:assumed-role/{role_name}"


def external_account(provider, email):
    """What gcloud iam workload-identity-pools create-cred-config --aws --enable-imdsv2 writes. It holds no secret."""
    metadata = "http://169.254.169.254/latest"
    verify = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
    impersonate = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{email}"
    return json.dumps(
        {
            "type": "external_account",
            "universe_domain": "googleapis.com",
            "audience": f"//iam.googleapis.com/{provider}",
            "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
            "token_url": "https://sts.googleapis.com/v1/token",
            "service_account_impersonation_url": f"{impersonate}:generateAccessToken",
            "credential_source": {
                "environment_id": "aws1",
                "region_url": f"{metadata}/meta-data/placement/availability-zone",
                "url": f"{metadata}/meta-data/iam/security-credentials",
                "regional_cred_verification_url": verify,
                "imdsv2_session_token_url": f"{metadata}/api/token",
            },
        },
        indent=2,
    )


def container(image, command, environment, log_group, region):
    """An ECS task's container."""
    return json.dumps(
        [
            {
                "name": "app",
                "image": image,
                "essential": True,
                "entryPoint": ["fedboot", "--"],
                "command": command,
                "environment": [{"name": name, "value": value} for name, value in sorted(environment.items())],
                "healthCheck": {"command": ["CMD", "fedboot", "status"], "interval": 60, "retries": 10},
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": log_group,
                        "awslogs-region": region,
                        "awslogs-stream-prefix": "app",
                    },
                },
            }
        ]
    )


def service_account_manifest(namespace, service_account, annotations):
    """A Kubernetes service account for kubectl apply -f -, which reads JSON as well as YAML."""
    metadata = {"name": service_account, "namespace": namespace, "annotations": annotations}
    return json.dumps({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}, indent=2)
