# What is written into the role. No provider is needed here, so a test can have it evaluated as it is.

output "role_arn" {
  description = "The ARN of the role."
  value       = "arn:aws:iam::${var.aws_account_id}:role/${var.aws_role_name}"
}

output "trust_policy" {
  description = "Whom the role admits: this one service account, with tokens for AWS STS."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      # AWS knows Google by itself. An aws_iam_openid_connect_provider for accounts.google.com breaks the exchange.
      Principal = { Federated = "accounts.google.com" }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          # The token's own audience. AWS compares `accounts.google.com:aud` with `azp` where there is one, so it says less.
          "accounts.google.com:oaud" = "sts.amazonaws.com"
          "accounts.google.com:sub"  = var.service_account_unique_id
        }
      }
    }]
  })
}

output "permissions" {
  description = "What the role may do: read and write one bucket."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["s3:GetBucketLocation", "s3:ListBucket"]
        Resource = "arn:aws:s3:::${var.bucket}"
      },
      {
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        Resource = "arn:aws:s3:::${var.bucket}/*"
      },
    ]
  })
}
