# Which log entries are meant. No provider is needed here, so a test can have it evaluated as it is.

locals {
  # A line of fedboot that reports an error has a reason of the form FB123, and nobody else's has.
  line = "\"severity\":\"(ERROR|CRITICAL)\".*\"reason\":\"FB[0-9]+\""
}

output "filter" {
  description = "A filter of Cloud Logging: errors of fedboot on Dataflow's workers, whether the line was taken apart or not."
  value = join("\n", [
    "resource.type=\"dataflow_step\"",
    "(",
    "  (severity>=ERROR AND jsonPayload.reason=~${jsonencode("^FB[0-9]+$")})",
    "  OR jsonPayload.message=~${jsonencode(local.line)}",
    "  OR textPayload=~${jsonencode(local.line)}",
    ")",
  ])
}
