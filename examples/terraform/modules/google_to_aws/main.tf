# A Google service account, and an AWS role that it may assume.

resource "google_service_account" "this" {
  project      = var.google_project
  account_id   = var.service_account_id
  display_name = "Assumes the AWS role ${var.aws_role_name}"
}

module "documents" {
  source = "./documents"

  aws_account_id            = var.aws_account_id
  aws_role_name             = var.aws_role_name
  bucket                    = var.bucket
  service_account_unique_id = google_service_account.this.unique_id
}

resource "aws_iam_role" "this" {
  name               = var.aws_role_name
  description        = "For ${var.service_account_id} of the Google project ${var.google_project}"
  assume_role_policy = module.documents.trust_policy
}

resource "aws_iam_role_policy" "bucket" {
  name   = "bucket"
  role   = aws_iam_role.this.name
  policy = module.documents.permissions
}
