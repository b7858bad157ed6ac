#!/bin/sh
# A database for each service with its two roles. May be run again at any time: it makes what is missing, and gives each
# role the password of today.
set -eu
PGPASSWORD=$(cat /run/secrets/superuser)
export PGPASSWORD

for database in catalog offers_sync price_history; do
    DATABASE=$database \
        OWNER=${database}_owner OWNER_PASSWORD=$(cat "/run/secrets/${database}_owner") \
        ROLE=$database ROLE_PASSWORD=$(cat "/run/secrets/$database") \
        psql -X --quiet --dbname=postgres --file=/roles.sql
done
