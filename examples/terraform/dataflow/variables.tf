variable "google_project" {
  description = "The id of the Google project."
  type        = string
}

variable "service_account_id" {
  description = "The Google service account: the part of its address before the @."
  type        = string
}

variable "aws_account_id" {
  description = "The AWS account: 12 digits."
  type        = string
}

variable "aws_region" {
  description = "The region of the bucket, whose STS is asked."
  type        = string
}

variable "aws_role_name" {
  description = "The AWS role that the service account assumes."
  type        = string
}

variable "bucket" {
  description = "The S3 bucket that the role may read and write. It is there already."
  type        = string
}

variable "temp_bucket" {
  description = "The Cloud Storage bucket of the jobs' --temp_location, without gs://. It is there already."
  type        = string
}

variable "repository" {
  description = "The Artifact Registry repository that is made for the images."
  type        = string
  default     = "beam"
}

variable "repository_location" {
  description = "Where the repository is, as europe-west1."
  type        = string
}
