#!/bin/sh
# `make up`: passwords into .env, once; the stack in the background; a line with its address when it is ready.
set -eu
cd "$(dirname "$0")/../.."

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

docker compose version >/dev/null || { echo "Docker with Compose v2 is needed; make run needs neither" >&2; exit 1; }

if ! grep -qs '^CATALOG_DB_PASSWORD=' .env; then
    touch .env
    chmod 600 .env
    {
        echo "# Passwords of the Compose stack, made by make up. Changed here, they hold after: make down up"
        for database in CATALOG OFFERS_SYNC PRICE_HISTORY; do
            for role in "" OWNER_OF_; do echo "${role}${database}_DB_PASSWORD=$(random)"; done
        done
        for account in CATALOG_API OFFERS_SYNC PRICE_HISTORY SUBSCRIBER ADMINISTRATOR; do
            echo "${account}_RABBITMQ_PASSWORD=$(random)"
        done
        for name in PRICE_HISTORY_TOKEN GRAFANA_PASSWORD; do echo "$name=$(random)"; done
    } >>.env
    # A stack that docker compose up started made others, which are known to what runs.
    docker compose down
fi

docker compose up --build --detach --wait
# As make run does. A real Offers MS gets no products that nobody asked for.
if [ "${DEMO:-1}" = 1 ] && docker compose config --services | grep -qx offers-simulator &&
    docker compose config | grep -q 'API_AUTH: "off"'; then
    docker compose --profile sample run --rm sample-products
fi
echo "READY http://$(docker compose port catalog-api 8000)"
