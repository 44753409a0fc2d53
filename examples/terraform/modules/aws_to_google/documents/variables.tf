variable "aws_account_id" {
  description = "The AWS account that holds the role."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.aws_account_id))
    error_message = "The aws_account_id is 12 digits without dashes, as `aws sts get-caller-identity` says."
  }
}

variable "aws_role_name" {
  description = "The role of the task, the pod, the instance or the environment."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{1,64}$", var.aws_role_name))
    error_message = "The aws_role_name has 1 to 64 letters, digits and +=,.@_- and no spaces."
  }
}

variable "place" {
  description = "Where the workload runs."
  type        = string

  validation {
    condition     = contains(["ec2", "ecs", "eks-irsa", "eks-pod-identity", "mwaa"], var.place)
    error_message = "The place is one of ec2, ecs, eks-irsa, eks-pod-identity and mwaa."
  }
}

variable "kubernetes" {
  description = "For eks-irsa: the cluster's OIDC provider in IAM, and the Kubernetes service account that gets the role."
  type = object({
    oidc_provider_arn = string
    namespace         = string
    service_account   = string
  })
  default = null

  validation {
    condition     = var.kubernetes == null || can(regex("^arn:aws:iam::[0-9]{12}:oidc-provider/[^ ]+$", var.kubernetes.oidc_provider_arn))
    error_message = "The oidc_provider_arn is arn:aws:iam::ACCOUNT:oidc-provider/ISSUER, as `aws iam list-open-id-connect-providers` says."
  }

  validation {
    condition = var.kubernetes == null || alltrue([
      for name in try([var.kubernetes.namespace, var.kubernetes.service_account], []) : can(regex("^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$", name))
    ])
    error_message = "The namespace and the service_account are names of Kubernetes: lower-case letters, digits and dashes."
  }
}

variable "pool_name" {
  description = "The workload identity pool: projects/NUMBER/locations/global/workloadIdentityPools/POOL."
  type        = string
}

variable "provider_id" {
  description = "The pool's provider for the AWS account."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]{4,32}$", var.provider_id)) && !startswith(var.provider_id, "gcp-")
    error_message = "The provider_id has 4 to 32 lower-case letters, digits and dashes, and does not begin with gcp-."
  }
}

variable "service_account_email" {
  description = "The address of the Google service account."
  type        = string
}
