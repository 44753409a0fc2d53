output "google_json" {
  description = "The file for GOOGLE_APPLICATION_CREDENTIALS. It holds no secret."
  value       = module.grants.google_json
}

output "task_definition" {
  description = "For aws ecs run-task --task-definition"
  value       = aws_ecs_task_definition.this.arn
}
