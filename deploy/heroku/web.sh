#!/usr/bin/env bash
# The web dyno: the public API on PORT, and price-history on the loopback address beside it, because dynos can't call
# one another. Once one of the two ends the other is stopped and the dyno with it; Heroku then starts a new one.
set -euo pipefail
cd "$(dirname "$0")"

trap 'stopping=yes' TERM INT
HOST=127.0.0.1 PORT=${PRICE_HISTORY_PORT:-8001} bash service.sh price-history serve &
HOST=0.0.0.0 bash service.sh catalog-api serve &

code=0
[ -n "${stopping:-}" ] || wait -n || code=$?
# Whoever asks again, as Heroku may, must not cut the draining short.
trap '' TERM INT
kill -TERM $(jobs -pr) 2>/dev/null || true
wait
[ -z "${stopping:-}" ] || exit 0
echo "web.sh: a server ended by itself with code $code" >&2
exit 1
