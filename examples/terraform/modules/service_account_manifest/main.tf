# A Kubernetes service account as text, so that nothing here needs access to the cluster.

output "manifest" {
  description = "For kubectl apply -f -"
  value = yamlencode({
    apiVersion = "v1"
    kind       = "ServiceAccount"
    metadata = {
      name        = var.service_account
      namespace   = var.namespace
      annotations = var.annotations
    }
  })
}
