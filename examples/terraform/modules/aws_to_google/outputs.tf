output "environment" {
  description = "The variables that stand for the file."
  value       = module.documents.environment
}

output "google_json" {
  description = "The file for GOOGLE_APPLICATION_CREDENTIALS. It holds no secret."
  value       = module.documents.google_json
}

output "role_arn" {
  description = "The ARN of the role."
  value       = aws_iam_role.this.arn
}

output "role_name" {
  description = "The name of the role, for policies of its own."
  value       = aws_iam_role.this.name
}

output "service_account_email" {
  description = "The address of the service account."
  value       = google_service_account.this.email
}
