-- A service's database with its two roles: the owner, for `migrate`, and the role that everything else runs in, which
-- reads and writes rows and can neither make, change, empty nor drop anything. Nobody else may enter, and neither role
-- any other database.
--
--   DATABASE=catalog OWNER=catalog_owner OWNER_PASSWORD=… ROLE=catalog ROLE_PASSWORD=… psql -X -d postgres -f roles.sql
--
-- For a superuser, on PostgreSQL 15 or later. May be run again at any time, and for several databases at once: it makes
-- what is missing, sets the passwords, and has the owner own what the running role made before there was an owner.
\set ON_ERROR_STOP on
\getenv database DATABASE
\getenv owner OWNER
\getenv owner_password OWNER_PASSWORD
\getenv role ROLE
\getenv role_password ROLE_PASSWORD

-- No statement with a password is logged, not even one that fails.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SET log_min_duration_statement = -1;

SELECT format('CREATE ROLE %I', name) FROM (VALUES (:'owner'), (:'role')) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE :"owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'owner_password';
ALTER ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'role_password';

SELECT format('CREATE DATABASE %I', :'database')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
-- In the two that every server has, anyone could make temporary tables without end. Of two who ran this at once for two
-- databases, one would fail with "tuple concurrently updated".
BEGIN;
DO $$ BEGIN PERFORM pg_advisory_xact_lock(hashtext('roles.sql')); END $$;
SELECT format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', datname) FROM pg_database
WHERE datname IN ('postgres', 'template1') \gexec
COMMIT;

\connect :"database"
REASSIGN OWNED BY :"role" TO :"owner";
ALTER DATABASE :"database" OWNER TO :"owner";
-- CONNECT and TEMPORARY; and in schema public, USAGE.
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

GRANT CONNECT ON DATABASE :"database" TO :"role";
-- To the owner, too, who owns the schema only for as long as the database: not in a copy made of it.
GRANT ALL ON SCHEMA public TO :"owner";
GRANT USAGE ON SCHEMA public TO :"role";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO :"role";
GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA public TO :"role";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"role";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT SELECT, USAGE ON SEQUENCES TO :"role";
