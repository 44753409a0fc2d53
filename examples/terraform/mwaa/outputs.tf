output "execution_role_arn" {
  description = "For aws_mwaa_environment: execution_role_arn."
  value       = module.grants.role_arn
}

output "startup_script_s3_path" {
  description = "For aws_mwaa_environment: startup_script_s3_path."
  value       = aws_s3_object.startup.key
}

output "startup_script_s3_object_version" {
  description = "For aws_mwaa_environment: startup_script_s3_object_version."
  value       = aws_s3_object.startup.version_id
}
