#!/usr/bin/env bash
# fedboot out of the environment's bucket, as the credential_process of an AWS profile: see README.md.
#
# Nothing in the bucket's folders can be relied on to be executable, so each worker runs a copy of its own. It is made
# anew when there is a newer fedboot in the bucket. What this is called with is handed on.
set -euo pipefail
there=$(dirname "${BASH_SOURCE[0]}")/fedboot
# The user's own directory: in /tmp others could have put something into its place.
umask 077
mkdir -p "$HOME/.cache/fedboot-program"
here=$HOME/.cache/fedboot-program/fedboot
if [[ ! $here -nt $there ]]; then
    # Tasks begin at the same time, and a file that runs cannot be written to: a new one, and then its name.
    copy=$(mktemp "$here.XXXXXX")
    cp "$there" "$copy"
    chmod 0700 "$copy"
    # It may be half of one, while the bucket's folder is brought up to date.
    if "$copy" --version >/dev/null 2>&1; then
        mv -f "$copy" "$here"
    else
        rm -f "$copy"
    fi
fi
if [[ ! -x $here ]]; then
    echo "credentials.sh: $there is no fedboot that runs on this machine" >&2
    exit 1
fi
exec "$here" "$@"
