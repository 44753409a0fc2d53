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

variable "environment_name" {
  description = "The MWAA environment."
  type        = string
}

variable "source_bucket" {
  description = "The environment's bucket, with versions. It is there already."
  type        = string
}

variable "fedboot" {
  description = "The path of fedboot's binary on this machine."
  type        = string

  validation {
    condition     = fileexists(var.fedboot)
    error_message = "The fedboot is the path of its binary on this machine, and there is no such file."
  }
}
