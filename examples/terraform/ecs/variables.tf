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

variable "image" {
  description = "The image with fedboot and the program."
  type        = string
}

variable "command" {
  description = "What fedboot starts."
  type        = list(string)
  default     = ["python", "app.py"]
}

variable "log_group" {
  description = "The CloudWatch log group of the task. It is there already."
  type        = string
}
