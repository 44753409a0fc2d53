provider "google" {
  project = var.google_project
}

module "documents" {
  source = "./documents"
}

resource "google_monitoring_alert_policy" "fedboot" {
  project               = var.google_project
  display_name          = "fedboot on Dataflow: no fresh AWS credentials"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = var.notification_channels

  conditions {
    display_name = "a line of fedboot with severity>=ERROR"

    condition_matched_log {
      filter = module.documents.filter
      label_extractors = {
        job = "EXTRACT(resource.labels.job_name)"
      }
    }
  }

  # A log-based alert must say how often it may speak.
  alert_strategy {
    auto_close = "3600s"

    notification_rate_limit {
      period = "300s"
    }
  }

  documentation {
    subject = "fedboot has no fresh AWS credentials on Dataflow"
    content = "The line says what is wrong and what to do; its reason, FB and a number, is explained in docs/troubleshooting.md of fedboot."
  }
}
