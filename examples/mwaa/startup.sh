# Startup script of an Amazon MWAA environment: every Airflow component finds Google's credentials by itself, with the
# connection google_cloud_default as it is. The environment's execution role may be the service account (docs/aws-to-google.md).
#
# The bucket holds, in the folder of the DAGs, fedboot and the file that gcloud wrote:
#
#   dags/fedboot/fedboot
#   dags/fedboot/google.json
#
# MWAA sources this in a shell of its own before Airflow starts, and what it exports becomes Airflow's environment: hence no
# `set -e`, which would be that shell's too.
# shellcheck shell=bash
airflow=${AIRFLOW_HOME:-/usr/local/airflow}
# S3 keeps no permissions, and the folder is synced while the agent runs.
install -m 0755 "$airflow/dags/fedboot/fedboot" "$airflow/fedboot"
# Without credentials it prints "false", and the script fails with the reason in MWAA's log.
eval "$("$airflow/fedboot" agent --external-account "$airflow/dags/fedboot/google.json" --log-file "$airflow/fedboot.log")"
