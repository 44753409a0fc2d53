# An AWS role, and a Google service account that it may be.

resource "aws_iam_role" "this" {
  name               = var.aws_role_name
  description        = "Is ${var.service_account_id} of the Google project ${var.google_project}"
  assume_role_policy = module.documents.trust_policy
}

resource "google_service_account" "this" {
  project      = var.google_project
  account_id   = var.service_account_id
  display_name = "For the AWS role ${var.aws_role_name}"
}

resource "google_iam_workload_identity_pool" "this" {
  project                   = var.google_project
  workload_identity_pool_id = var.pool_id
}

module "documents" {
  source = "./documents"

  aws_account_id        = var.aws_account_id
  aws_role_name         = var.aws_role_name
  place                 = var.place
  kubernetes            = var.kubernetes
  pool_name             = google_iam_workload_identity_pool.this.name
  provider_id           = var.provider_id
  service_account_email = google_service_account.this.email
}

resource "google_iam_workload_identity_pool_provider" "this" {
  project                            = var.google_project
  workload_identity_pool_id          = google_iam_workload_identity_pool.this.workload_identity_pool_id
  workload_identity_pool_provider_id = var.provider_id
  attribute_mapping                  = module.documents.attribute_mapping
  attribute_condition                = module.documents.attribute_condition

  aws {
    account_id = var.aws_account_id
  }
}

resource "google_service_account_iam_member" "role" {
  service_account_id = google_service_account.this.name
  role               = "roles/iam.workloadIdentityUser"
  member             = module.documents.member
}

resource "google_project_iam_member" "jobs" {
  project = var.google_project
  role    = "roles/bigquery.jobUser"
  member  = google_service_account.this.member
}

resource "google_bigquery_dataset_iam_member" "reader" {
  project    = var.google_project
  dataset_id = var.dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = google_service_account.this.member
}
