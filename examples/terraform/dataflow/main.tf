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

# What a worker needs: its work, its temporary files, its image.
resource "google_project_iam_member" "worker" {
  project = var.google_project
  role    = "roles/dataflow.worker"
  member  = "serviceAccount:${module.grants.service_account_email}"
}

resource "google_storage_bucket_iam_member" "temp" {
  bucket = var.temp_bucket
  role   = "roles/storage.objectAdmin"
  member = "serviceAccount:${module.grants.service_account_email}"
}

resource "google_artifact_registry_repository" "images" {
  project       = var.google_project
  location      = var.repository_location
  repository_id = var.repository
  format        = "DOCKER"
}

resource "google_artifact_registry_repository_iam_member" "reader" {
  project    = var.google_project
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.repository_id
  role       = "roles/artifactregistry.reader"
  member     = "serviceAccount:${module.grants.service_account_email}"
}

# Nobody can set the environment of a Dataflow worker; fedboot reads these instead. They count for the whole project.
resource "google_compute_project_metadata_item" "role" {
  project = var.google_project
  key     = "fedboot-role-arn"
  value   = module.grants.role_arn
}

resource "google_compute_project_metadata_item" "region" {
  project = var.google_project
  key     = "fedboot-region"
  value   = var.aws_region
}
