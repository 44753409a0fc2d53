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

  place              = "eks-pod-identity"
  aws_account_id     = var.aws_account_id
  aws_role_name      = var.aws_role_name
  google_project     = var.google_project
  service_account_id = var.service_account_id
  dataset_id         = var.dataset_id
}

resource "aws_eks_pod_identity_association" "this" {
  cluster_name    = var.cluster_name
  namespace       = var.namespace
  service_account = var.kubernetes_service_account
  role_arn        = module.grants.role_arn
}

module "manifest" {
  source = "../modules/service_account_manifest"

  namespace       = var.namespace
  service_account = var.kubernetes_service_account
}
