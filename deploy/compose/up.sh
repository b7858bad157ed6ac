#!/bin/sh
# `make up`: passwords into .env, where it has none; the stack in the background; a line with its address when it is ready.
set -eu
cd "$(dirname "$0")/../.."

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
has() { grep -Eqs "^[[:space:]]*(export[[:space:]]+)?$1[[:space:]]*[=:]" .env; }

docker compose version >/dev/null || { echo "Docker with Compose v2 is needed; make run needs neither" >&2; exit 1; }

missing=$(
    for name in \
        CATALOG_DB_PASSWORD OFFERS_SYNC_DB_PASSWORD PRICE_HISTORY_DB_PASSWORD \
        OWNER_OF_CATALOG_DB_PASSWORD OWNER_OF_OFFERS_SYNC_DB_PASSWORD OWNER_OF_PRICE_HISTORY_DB_PASSWORD \
        CATALOG_API_RABBITMQ_PASSWORD OFFERS_SYNC_RABBITMQ_PASSWORD PRICE_HISTORY_RABBITMQ_PASSWORD \
        SUBSCRIBER_RABBITMQ_PASSWORD ADMINISTRATOR_RABBITMQ_PASSWORD PRICE_HISTORY_TOKEN GRAFANA_PASSWORD
    do has "$name" || echo "$name=$(random)"; done
)
if [ -n "$missing" ]; then
    rm -f .env.new
    (
        umask 077
        {
            if [ -e .env ]; then awk 1 .env; fi # its last line may lack an end
            echo "# Passwords of the Compose stack, made by make up. Changed here, they hold after: make down up"
            echo "$missing"
        } >.env.new
    )
    # A stack that docker compose up started made others, which are known to what runs.
    docker compose --profile '*' down
    mv .env.new .env
fi

docker compose up --build --detach --wait
# As make run does. A real Offers MS gets no products that nobody asked for.
if [ "${DEMO:-1}" = 1 ] && docker compose config --services | grep -qx offers-simulator &&
    docker compose config | grep -q 'API_AUTH: "off"'; then
    docker compose --profile sample run --rm sample-products
fi
echo "READY http://$(docker compose port catalog-api 8000)"
