provider "aws" {
  region = var.aws_region
  # Credentials of another account are refused before anything is made.
  allowed_account_ids = [var.aws_account_id]
}

provider "google" {
  project = var.google_project
}

module "grants" {
  source = "../modules/google_to_aws"

  aws_account_id     = var.aws_account_id
  aws_role_name      = var.aws_role_name
  bucket             = var.bucket
  google_project     = var.google_project
  service_account_id = var.service_account_id
}

# The pods of this Kubernetes service account are the Google service account.
resource "google_service_account_iam_member" "pods" {
  service_account_id = module.grants.service_account_name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.google_project}.svc.id.goog[${var.namespace}/${var.kubernetes_service_account}]"
}

module "manifest" {
  source = "../modules/service_account_manifest"

  namespace       = var.namespace
  service_account = var.kubernetes_service_account
  annotations     = { "iam.gke.io/gcp-service-account" = module.grants.service_account_email }
}
