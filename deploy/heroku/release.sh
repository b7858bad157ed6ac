#!/usr/bin/env bash
# The release phase: brings the three databases up to this version. If one can't be, the old version goes on.
set -euo pipefail
cd "$(dirname "$0")"

for service in catalog-api offers-sync price-history; do
    bash service.sh "$service" migrate
done
