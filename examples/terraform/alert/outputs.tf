output "filter" {
  description = "The same for a query in Logs Explorer, or for gcloud logging read."
  value       = module.documents.filter
}
