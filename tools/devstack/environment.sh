#!/bin/sh
# Makes .venv what requirements.lock and the packages of this workspace say. `make` runs it when one of them changed.
# pip does it, and not uv, because pip reads the machine's own configuration of indexes and certificates.
set -eu
cd "$(dirname "$0")/../.."

say() { printf 'environment: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }

find_python() {
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$python" >/dev/null && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            command -v "$python"
            return
        fi
    done
    fail "Python 3.11 or later is needed, and none was found on PATH"
}

# Debian's Python comes without ensurepip, which python3.X-venv carries.
require_venv() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null && return
    package="$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    if [ "$(id -u)" = 0 ]; then sudo=; else sudo="sudo -n"; fi
    if command -v apt-get >/dev/null && { [ -z "$sudo" ] || $sudo true 2>/dev/null; }; then
        say "installing $package"
        $sudo apt-get update -q >/dev/null &&
            $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$package" >/dev/null ||
            fail "$package could not be installed"
    else
        fail "$1 can't make virtual environments; install $package"
    fi
}

began=$(date +%s)
if ! .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$(find_python)
    require_venv "$python"
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi
pip() { .venv/bin/python -m pip --disable-pip-version-check -qq "$@"; }
say "installing the locked packages into .venv"
pip install --require-hashes --no-deps --no-compile -r requirements.lock
say "installing the packages of this workspace"
editable=
for manifest in contracts/pyproject.toml libs/*/pyproject.toml services/*/pyproject.toml tools/*/pyproject.toml; do
    editable="$editable --editable ${manifest%/pyproject.toml}"
done
# shellcheck disable=SC2086 # a list of words
pip install --no-build-isolation --no-deps $editable
# On all cores here, or every process of the first run would do it for itself. Some packages carry templates that are
# no Python, so its verdict does not count.
.venv/bin/python -m compileall -j 0 -qq .venv/lib 2>/dev/null || true
touch .venv/.complete
say "complete after $(($(date +%s) - began)) s"
