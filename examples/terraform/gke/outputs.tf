output "manifest" {
  description = "The Kubernetes service account with its annotation, for kubectl apply -f -"
  value       = module.manifest.manifest
}

output "environment" {
  description = "What the pods' containers get in their environment."
  value = {
    FEDBOOT_REGION   = var.aws_region
    FEDBOOT_ROLE_ARN = module.grants.role_arn
  }
}
