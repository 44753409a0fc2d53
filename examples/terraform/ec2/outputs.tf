output "google_json" {
  description = "The file for GOOGLE_APPLICATION_CREDENTIALS. It holds no secret."
  value       = module.grants.google_json
}

output "instance_profile" {
  description = "What the instance is started with: iam_instance_profile."
  value       = aws_iam_instance_profile.this.name
}
