#!/usr/bin/env bash
# Runs a command of one service with the add-ons that are its own, such as: service.sh catalog-api tokens list
set -euo pipefail

case "${1:-}" in
    catalog-api) DATABASE_URL=${CATALOG_DATABASE_URL:?} ;;
    offers-sync) DATABASE_URL=${OFFERS_SYNC_DATABASE_URL:?} ;;
    price-history) DATABASE_URL=${PRICE_HISTORY_DATABASE_URL:?} ;;
    *)
        echo "usage: service.sh catalog-api|offers-sync|price-history COMMAND…" >&2
        exit 2
        ;;
esac
RABBITMQ_URL=${RABBITMQ_URL:-${CLOUDAMQP_URL:-}}
PRICE_HISTORY_URL=http://127.0.0.1:${PRICE_HISTORY_PORT:-8001}
# Heroku Postgres takes no connection without TLS, and its URLs do not say so.
PGSSLMODE=${PGSSLMODE:-require}
export DATABASE_URL RABBITMQ_URL PRICE_HISTORY_URL PGSSLMODE
# A service knows no database but its own.
unset CATALOG_DATABASE_URL OFFERS_SYNC_DATABASE_URL PRICE_HISTORY_DATABASE_URL
exec "$@"
