output "role_arn" {
  description = "What fedboot is given as --role-arn, as FEDBOOT_ROLE_ARN, or as the metadata attribute fedboot-role-arn."
  value       = module.documents.role_arn
}

output "service_account_email" {
  description = "The address of the service account."
  value       = google_service_account.this.email
}

output "service_account_name" {
  description = "The service account as bindings name it."
  value       = google_service_account.this.name
}
