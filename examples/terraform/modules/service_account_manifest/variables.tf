variable "namespace" {
  description = "The namespace of the Kubernetes service account."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "The namespace has 1 to 63 lower-case letters, digits and dashes."
  }
}

variable "service_account" {
  description = "The Kubernetes service account."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", var.service_account))
    error_message = "The Kubernetes service account has lower-case letters, digits, dots and dashes."
  }
}

variable "annotations" {
  description = "What the cloud reads from it."
  type        = map(string)
  default     = {}
}
