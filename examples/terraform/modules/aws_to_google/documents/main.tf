# What is written into the role, the provider and the file. No provider is needed here, so a test can have it evaluated as
# it is.

locals {
  # A session's name is not part of it: it may be long, and Google takes a subject of at most 127 bytes.
  role_expression = join("", [
    "assertion.arn.contains('assumed-role') ? ",
    "assertion.arn.extract('{account_arn}assumed-role/') + 'assumed-role/' + assertion.arn.extract('assumed-role/{role_name}/') : ",
    "assertion.arn",
  ])
  # The role as Google sees it.
  assumed_role = "arn:aws:sts::${var.aws_account_id}:assumed-role/${var.aws_role_name}"
  provider     = "${var.pool_name}/providers/${var.provider_id}"
  issuer       = var.kubernetes == null ? "" : split(":oidc-provider/", var.kubernetes.oidc_provider_arn)[1]
  impersonate  = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${var.service_account_email}"

  # Who hands the role out, by place.
  statements = {
    "ec2" = {
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }
    "ecs" = {
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.aws_account_id } }
    }
    "eks-irsa" = {
      Effect    = "Allow"
      Principal = { Federated = try(var.kubernetes.oidc_provider_arn, "") }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local.issuer}:aud" = "sts.amazonaws.com"
          "${local.issuer}:sub" = try("system:serviceaccount:${var.kubernetes.namespace}:${var.kubernetes.service_account}", "")
        }
      }
    }
    "eks-pod-identity" = {
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
    }
    "mwaa" = {
      Effect    = "Allow"
      Principal = { Service = ["airflow.amazonaws.com", "airflow-env.amazonaws.com"] }
      Action    = "sts:AssumeRole"
    }
  }
}

output "trust_policy" {
  description = "Who may assume the AWS role."
  value = jsonencode({
    Version   = "2012-10-17"
    Statement = [local.statements[var.place]]
  })

  precondition {
    condition     = (var.place == "eks-irsa") == (var.kubernetes != null)
    error_message = "The place eks-irsa needs `kubernetes`, and no other place has it."
  }
}

output "attribute_mapping" {
  description = "What Google makes of the role."
  value = {
    "google.subject"     = local.role_expression
    "attribute.aws_role" = local.role_expression
  }
}

output "attribute_condition" {
  description = "No other role of the account gets in."
  value       = "attribute.aws_role == '${local.assumed_role}'"
}

output "member" {
  description = "The role as Google's bindings name it."
  value       = "principalSet://iam.googleapis.com/${var.pool_name}/attribute.aws_role/${local.assumed_role}"
}

output "environment" {
  description = "The variables that stand for the file, where a container gets variables more easily."
  value = {
    FEDBOOT_IMPERSONATE_SERVICE_ACCOUNT = var.service_account_email
    FEDBOOT_WORKLOAD_IDENTITY_PROVIDER  = local.provider
  }
}

output "google_json" {
  description = "The file that gcloud iam workload-identity-pools create-cred-config --aws --enable-imdsv2 writes. It holds no secret."
  value = jsonencode({
    type                              = "external_account"
    universe_domain                   = "googleapis.com"
    audience                          = "//iam.googleapis.com/${local.provider}"
    subject_token_type                = "urn:ietf:params:aws:token-type:aws4_request"
    token_url                         = "https://sts.googleapis.com/v1/token"
    service_account_impersonation_url = "${local.impersonate}:generateAccessToken"
    credential_source = {
      environment_id                 = "aws1"
      region_url                     = "http://169.254.169.254/latest/meta-data/placement/availability-zone"
      url                            = "http://169.254.169.254/latest/meta-data/iam/security-credentials"
      regional_cred_verification_url = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
      imdsv2_session_token_url       = "http://169.254.169.254/latest/api/token"
    }
  })
}
