provider "aws" {
  region = var.aws_region
  # Credentials of another account are refused before anything is made.
  allowed_account_ids = [var.aws_account_id]
}

provider "google" {
  project = var.google_project
}

module "grants" {
  source = "../modules/aws_to_google"

  place              = "ecs"
  aws_account_id     = var.aws_account_id
  aws_role_name      = var.aws_role_name
  google_project     = var.google_project
  service_account_id = var.service_account_id
  dataset_id         = var.dataset_id
}

# The agent of ECS pulls the image and writes the log; the container never sees this role.
resource "aws_iam_role" "execution" {
  name = "${var.aws_role_name}-execution"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

module "documents" {
  source = "./documents"

  command     = var.command
  environment = module.grants.environment
  image       = var.image
  log_group   = var.log_group
  region      = var.aws_region
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.aws_role_name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "512"
  memory                   = "1024"
  task_role_arn            = module.grants.role_arn
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions    = module.documents.container_definitions
}
