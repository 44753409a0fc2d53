# What an execution role needs, after https://docs.aws.amazon.com/mwaa/latest/userguide/mwaa-create-role.html. No provider is
# needed here, so a test can have it evaluated as it is.

variable "account_id" {
  description = "The AWS account."
  type        = string
}

variable "bucket" {
  description = "The environment's bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "The source_bucket is a name of 3 to 63 lower-case letters, digits, dots and dashes, without s3://."
  }
}

variable "environment_name" {
  description = "The MWAA environment."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9_-]{0,79}$", var.environment_name))
    error_message = "The environment_name begins with a letter and has letters, digits, dashes and underscores, at most 80."
  }
}

variable "region" {
  description = "The AWS region of the environment."
  type        = string
}

output "permissions" {
  description = "The policy of the execution role."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = "airflow:PublishMetrics"
        Resource = "arn:aws:airflow:${var.region}:${var.account_id}:environment/${var.environment_name}"
      },
      {
        Effect   = "Allow"
        Action   = ["s3:GetBucket*", "s3:GetObject*", "s3:List*"]
        Resource = ["arn:aws:s3:::${var.bucket}", "arn:aws:s3:::${var.bucket}/*"]
      },
      {
        Effect = "Allow"
        Action = [
          "logs:CreateLogGroup", "logs:CreateLogStream", "logs:GetLogEvents", "logs:GetLogGroupFields", "logs:GetLogRecord",
          "logs:GetQueryResults", "logs:PutLogEvents",
        ]
        Resource = "arn:aws:logs:${var.region}:${var.account_id}:log-group:airflow-${var.environment_name}-*"
      },
      {
        Effect   = "Allow"
        Action   = ["cloudwatch:PutMetricData", "logs:DescribeLogGroups", "s3:GetAccountPublicAccessBlock"]
        Resource = "*"
      },
      {
        Effect = "Allow"
        Action = [
          "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl",
          "sqs:ReceiveMessage", "sqs:SendMessage",
        ]
        Resource = "arn:aws:sqs:${var.region}:*:airflow-celery-*"
      },
      {
        # The queue is in an account of AWS's own, and so is its key.
        Effect      = "Allow"
        Action      = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*"]
        NotResource = "arn:aws:kms:*:${var.account_id}:key/*"
        Condition   = { StringLike = { "kms:ViaService" = ["sqs.${var.region}.amazonaws.com"] } }
      },
    ]
  })
}
