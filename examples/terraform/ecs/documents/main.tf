# The container. No provider is needed here, so a test can have it evaluated as it is.

variable "command" {
  description = "What fedboot starts."
  type        = list(string)

  validation {
    condition     = length(var.command) > 0
    error_message = "The command is a list of words, as [\"python\", \"app.py\"]."
  }
}

variable "environment" {
  description = "Variables of the container."
  type        = map(string)
}

variable "image" {
  description = "The image with fedboot and the program."
  type        = string

  validation {
    condition     = can(regex("^[^ ]+$", var.image))
    error_message = "The image is REGISTRY/NAME:TAG, without spaces."
  }
}

variable "log_group" {
  description = "The CloudWatch log group of the task."
  type        = string
}

variable "region" {
  description = "The AWS region of the log group."
  type        = string
}

output "container_definitions" {
  description = "For aws_ecs_task_definition."
  value = jsonencode([{
    name        = "app"
    image       = var.image
    essential   = true
    entryPoint  = ["fedboot", "--"]
    command     = var.command
    environment = [for name, value in var.environment : { name = name, value = value }]
    healthCheck = {
      command  = ["CMD", "fedboot", "status"]
      interval = 60
      retries  = 10
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = var.log_group
        awslogs-region        = var.region
        awslogs-stream-prefix = "app"
      }
    }
  }])
}
