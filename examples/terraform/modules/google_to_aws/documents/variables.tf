variable "aws_account_id" {
  description = "The AWS account that holds the role."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.aws_account_id))
    error_message = "The aws_account_id is 12 digits without dashes, as `aws sts get-caller-identity` says."
  }
}

variable "aws_role_name" {
  description = "The role that the Google service account assumes."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{1,64}$", var.aws_role_name))
    error_message = "The aws_role_name has 1 to 64 letters, digits and +=,.@_- and no spaces."
  }
}

variable "bucket" {
  description = "The S3 bucket that the role may read and write."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "The bucket is a name of 3 to 63 lower-case letters, digits, dots and dashes, without s3://."
  }
}

variable "service_account_unique_id" {
  description = "The number of the Google service account, which its tokens bear as `sub`."
  type        = string

  validation {
    condition     = can(regex("^[0-9]+$", var.service_account_unique_id))
    error_message = "The service_account_unique_id is the account's number, and not its address."
  }
}
