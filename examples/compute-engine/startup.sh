#!/bin/bash
# A startup script of a Compute Engine instance: brings fedboot and its unit from Cloud Storage, from the directory that the
# metadata attribute fedboot-files names, and starts it. It runs at each boot.
set -euo pipefail

attribute() {
    curl --silent --show-error --fail --retry 5 --retry-connrefused --noproxy '*' --header 'Metadata-Flavor: Google' \
        "http://metadata.google.internal/computeMetadata/v1/instance/attributes/$1"
}

files=$(attribute fedboot-files)
if ! getent passwd fedboot >/dev/null; then
    useradd --system --user-group --no-create-home --shell /usr/sbin/nologin fedboot
fi
gcloud storage cp "$files/fedboot" /usr/local/bin/fedboot.new
chmod 755 /usr/local/bin/fedboot.new
# A program that runs cannot be written over, but replaced.
mv /usr/local/bin/fedboot.new /usr/local/bin/fedboot
gcloud storage cp "$files/fedboot.service" /etc/systemd/system/fedboot.service
systemctl daemon-reload
systemctl enable fedboot.service
systemctl restart fedboot.service
