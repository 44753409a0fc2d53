variable "aws_account_id" {
  description = "The AWS account that holds the role: 12 digits."
  type        = string
}

variable "aws_role_name" {
  description = "The role that the service account assumes."
  type        = string
}

variable "bucket" {
  description = "The S3 bucket that the role may read and write. It is there already."
  type        = string
}

variable "google_project" {
  description = "The Google project that holds the service account."
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
