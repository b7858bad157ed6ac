#!/bin/sh
# A database for each service, which only its own role may enter. May be run again at any time: it makes what is
# missing, and gives each role the password of today.
set -eu
PGPASSWORD=$(cat /run/secrets/superuser)
# No statement with a password is logged, not even one that fails.
PGOPTIONS='-c log_statement=none -c log_min_error_statement=panic -c log_min_duration_statement=-1'
export PGPASSWORD PGOPTIONS SERVICE

for SERVICE in catalog offers_sync price_history; do
    psql --dbname=postgres --set=ON_ERROR_STOP=1 --quiet --set=service="$SERVICE" <<'SQL'
\set password `cat "/run/secrets/$SERVICE"`
SELECT format('CREATE ROLE %I', :'service') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'service') \gexec
ALTER ROLE :"service" LOGIN PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'service', :'service')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'service') \gexec
REVOKE CONNECT ON DATABASE :"service", postgres FROM PUBLIC;
SQL
done
