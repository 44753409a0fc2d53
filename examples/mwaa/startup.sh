#!/usr/bin/env bash
# Startup script of an Amazon MWAA environment: every Airflow component finds Google's credentials by itself, with the
# connection google_cloud_default as it is. The environment's execution role may be the service account (README).
#
# Beside this script the bucket holds, in the folder of the DAGs, fedboot and the file that gcloud wrote:
#
#   dags/fedboot/fedboot
#   dags/fedboot/google.json
set -euo pipefail

folder=${FEDBOOT_FOLDER:-/usr/local/airflow/dags/fedboot}
# S3 keeps no permissions, and the folder is synced while the agent runs.
program=$(mktemp -d)/fedboot
install -m 0755 "$folder/fedboot" "$program"

environment=$("$program" agent --external-account "$folder/google.json" --log-file /tmp/fedboot.log)
# Exports the metadata server's address, which Airflow's processes inherit; "false" where there are no credentials.
eval "$environment"
