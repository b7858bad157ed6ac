#!/bin/sh
# Installs into an image what requirements.lock has, and nothing that it does not have.
#
#   locked.sh get-uv FOLDER       uv itself, into a virtual environment of its own
#   locked.sh install ARGUMENT…   `uv pip install`, at the lock's versions and with its hashes, builders included
#   locked.sh check               fail if something is installed that the lock does not name
set -eu

case $1 in
    get-uv)
        awk '/^[^ ]/ { here = /^uv==/ } here' requirements.lock >/tmp/uv.lock
        python3 -m venv "$2"
        "$2/bin/python" -m pip install --quiet --no-cache-dir --require-hashes --no-deps --requirement /tmp/uv.lock
        ;;
    install)
        shift
        # uv does not read pip's variables.
        [ -z "${PIP_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
        uv pip install --quiet --constraints requirements.lock --build-constraints requirements.lock "$@"
        ;;
    check)
        # Hashes are checked where the lock has some, so a package that it lacks would come without a check.
        uv pip freeze | grep == >/tmp/installed
        sed 's/[ ;].*//' requirements.lock >/tmp/locked
        if grep -vxFf /tmp/locked /tmp/installed; then
            echo "not in requirements.lock: run make lock" >&2
            exit 1
        fi
        ;;
esac
