output "google_json" {
  description = "The file for GOOGLE_APPLICATION_CREDENTIALS. It holds no secret."
  value       = module.grants.google_json
}

output "manifest" {
  description = "The Kubernetes service account, for kubectl apply -f -"
  value       = module.manifest.manifest
}
