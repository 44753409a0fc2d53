variable "aws_account_id" {
  description = "The AWS account that holds the role: 12 digits."
  type        = string
}

variable "aws_role_name" {
  description = "The role of the task, the pod, the instance or the environment."
  type        = string
}

variable "place" {
  description = "Where the workload runs: ec2, ecs, eks-irsa, eks-pod-identity or mwaa."
  type        = string
}

variable "kubernetes" {
  description = "For eks-irsa: the cluster's OIDC provider in IAM, and the Kubernetes service account that gets the role."
  type = object({
    oidc_provider_arn = string
    namespace         = string
    service_account   = string
  })
  default = null
}

variable "google_project" {
  description = "The Google project that holds the pool and the service account."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.google_project))
    error_message = "The google_project is the project's id, 6 to 30 lower-case letters, digits and dashes, not its name or number."
  }
}

variable "service_account_id" {
  description = "The part of the service account's address before the @."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.service_account_id))
    error_message = "The service_account_id has 6 to 30 lower-case letters, digits and dashes, and begins with a letter."
  }
}

variable "dataset_id" {
  description = "The BigQuery dataset that the service account may read. It is there already."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_]+$", var.dataset_id))
    error_message = "The dataset_id has letters, digits and underscores only, without the project."
  }
}

variable "pool_id" {
  description = "The workload identity pool. A deleted one keeps its name for 30 days."
  type        = string
  default     = "fedboot-aws"

  validation {
    condition     = can(regex("^[a-z0-9-]{4,32}$", var.pool_id)) && !startswith(var.pool_id, "gcp-")
    error_message = "The pool_id has 4 to 32 lower-case letters, digits and dashes, and does not begin with gcp-."
  }
}

variable "provider_id" {
  description = "The pool's provider for the AWS account."
  type        = string
  default     = "fedboot-aws"
}
