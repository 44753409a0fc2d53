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

  place              = "eks-irsa"
  aws_account_id     = var.aws_account_id
  aws_role_name      = var.aws_role_name
  google_project     = var.google_project
  service_account_id = var.service_account_id
  dataset_id         = var.dataset_id
  kubernetes = {
    oidc_provider_arn = var.oidc_provider_arn
    namespace         = var.namespace
    service_account   = var.kubernetes_service_account
  }
}

module "manifest" {
  source = "../modules/service_account_manifest"

  namespace       = var.namespace
  service_account = var.kubernetes_service_account
  annotations     = { "eks.amazonaws.com/role-arn" = module.grants.role_arn }
}
