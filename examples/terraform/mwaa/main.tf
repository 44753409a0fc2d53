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

  place              = "mwaa"
  aws_account_id     = var.aws_account_id
  aws_role_name      = var.aws_role_name
  google_project     = var.google_project
  service_account_id = var.service_account_id
  dataset_id         = var.dataset_id
}

module "documents" {
  source = "./documents"

  account_id       = var.aws_account_id
  bucket           = var.source_bucket
  environment_name = var.environment_name
  region           = var.aws_region
}

resource "aws_iam_role_policy" "execution" {
  name   = "execution"
  role   = module.grants.role_name
  policy = module.documents.permissions
}

# Where ../../mwaa/startup.sh looks for them.
resource "aws_s3_object" "fedboot" {
  bucket      = var.source_bucket
  key         = "dags/fedboot/fedboot"
  source      = var.fedboot
  source_hash = filemd5(var.fedboot)
}

resource "aws_s3_object" "google_json" {
  bucket  = var.source_bucket
  key     = "dags/fedboot/google.json"
  content = module.grants.google_json
}

resource "aws_s3_object" "startup" {
  bucket      = var.source_bucket
  key         = "startup.sh"
  source      = "${path.module}/../../mwaa/startup.sh"
  source_hash = filemd5("${path.module}/../../mwaa/startup.sh")
}
