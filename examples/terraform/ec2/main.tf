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

  place              = "ec2"
  aws_account_id     = var.aws_account_id
  aws_role_name      = var.aws_role_name
  google_project     = var.google_project
  service_account_id = var.service_account_id
  dataset_id         = var.dataset_id
}

resource "aws_iam_instance_profile" "this" {
  name = var.aws_role_name
  role = module.grants.role_name
}
