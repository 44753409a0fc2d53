output "service_account_email" {
  description = "For the launch: --service_account_email"
  value       = module.grants.service_account_email
}

output "repository" {
  description = "Where the image goes, for --sdk_container_image: add /NAME:TAG."
  value       = "${google_artifact_registry_repository.images.location}-docker.pkg.dev/${var.google_project}/${google_artifact_registry_repository.images.repository_id}"
}

output "role_arn" {
  description = "The AWS role, which fedboot reads from the project's metadata."
  value       = module.grants.role_arn
}
