variable "google_project" {
  description = "The id of the Google project."
  type        = string
}

variable "service_account_id" {
  description = "The Google service account: the part of its address before the @."
  type        = string
}

variable "dataset_id" {
  description = "The BigQuery dataset that the service account may read. It is there already."
  type        = string
}

variable "aws_account_id" {
  description = "The AWS account: 12 digits."
  type        = string
}

variable "aws_region" {
  description = "The AWS region of the workload."
  type        = string
}

variable "aws_role_name" {
  description = "The AWS role that is made for the workload."
  type        = string
}

variable "namespace" {
  description = "The namespace of the Kubernetes service account."
  type        = string
  default     = "default"
}

variable "kubernetes_service_account" {
  description = "The Kubernetes service account of the pods."
  type        = string
}

variable "oidc_provider_arn" {
  description = "The cluster's OIDC provider in IAM: arn:aws:iam::ACCOUNT:oidc-provider/ISSUER. It is there already."
  type        = string
}
