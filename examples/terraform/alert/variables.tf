variable "google_project" {
  description = "The id of the Google project whose jobs are watched."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.google_project))
    error_message = "The google_project is the project's id, 6 to 30 lower-case letters, digits and dashes, not its name or number."
  }
}

variable "notification_channels" {
  description = "Who is told: projects/PROJECT/notificationChannels/NUMBER, each."
  type        = list(string)

  validation {
    condition = length(var.notification_channels) > 0 && alltrue([
      for name in var.notification_channels : can(regex("^projects/[^/ ]+/notificationChannels/[^/ ]+$", name))
    ])
    error_message = "Each of the notification_channels is projects/PROJECT/notificationChannels/NUMBER, as `gcloud beta monitoring channels list` says, and there is one at least."
  }
}
