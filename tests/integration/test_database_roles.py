"""What the two roles of each database may do and what they may not, on a real server."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.errors import InsufficientPrivilege

from catalog_api.db.migrate import migrate as migrate_catalog
from devstack.conditions import wait_until
from devstack.databases import ADMINISTRATOR, make_roles, owner_of, prepare_databases
from devstack.postgresql import PostgresServer
from devstack.throwaway import throwaway_postgres
from offers_sync.db.migrate import migrate as migrate_sync
from price_history.db.migrate import migrate as migrate_history

MIGRATIONS: Mapping[str, Callable[[str], None]] = {
    "catalog": migrate_catalog,
    "offers_sync": migrate_sync,
    "price_history": migrate_history,
}
DATABASES = tuple(MIGRATIONS)
PASSWORD = "between these tests"


def rows(dsn: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server of three databases with their roles, whose owners have migrated them."""
    server = throwaway_postgres(tmp_path_factory.mktemp("postgresql"))
    server.start()
    try:
        server.wait_until_ready()
        for database, migrate in MIGRATIONS.items():
            prepare(server, database)
            migrate(server.dsn(database, f"{database}_owner", PASSWORD))
        yield server
    finally:
        server.stop()


def prepare(server: PostgresServer, database: str, password: str = PASSWORD) -> None:
    make_roles(server.dsn(), database, owner=(f"{database}_owner", password), role=(database, password))


def tables(server: PostgresServer, database: str) -> list[str]:
    found = rows(server.dsn(database), "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert len(found) > 3
    return [name for (name,) in found]


@pytest.mark.parametrize("database", DATABASES)
def test_a_service_reads_and_writes_every_table_of_its_own(server: PostgresServer, database: str) -> None:
    for table in tables(server, database):
        for statement in (
            "SELECT * FROM {} FOR UPDATE",
            "INSERT INTO {} OVERRIDING SYSTEM VALUE SELECT * FROM {} LIMIT 0",
            "DELETE FROM {} WHERE false",
        ):
            rows(server.dsn(database, database, PASSWORD), statement.format(table, table))


@pytest.mark.parametrize("database", DATABASES)
def test_a_service_makes_changes_empties_and_drops_nothing(server: PostgresServer, database: str) -> None:
    statements = [
        "CREATE TABLE mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE VIEW mine AS SELECT 1",
        "CREATE SEQUENCE mine",
        "CREATE TYPE mine AS ENUM ('a')",
        "CREATE DATABASE mine",
        "CREATE ROLE mine",
        f"SET ROLE {database}_owner",
        f"ALTER DATABASE {database} SET statement_timeout = 1",
        f"DROP DATABASE {database}",
        *(
            statement.format(table)
            for table in tables(server, database)
            for statement in (
                "ALTER TABLE {} ADD COLUMN mine int",
                "CREATE INDEX ON {} ((1))",
                "CREATE TRIGGER mine BEFORE INSERT ON {} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
                "TRUNCATE {}",
                "DROP TABLE {}",
            )
        ),
    ]
    connection = psycopg2.connect(server.dsn(database, database, PASSWORD))
    connection.autocommit = True
    with closing(connection), connection.cursor() as cursor:
        for statement in statements:
            with pytest.raises(InsufficientPrivilege):
                cursor.execute(statement)


@pytest.mark.parametrize(("database", "other"), list(itertools.permutations(DATABASES, 2)))
def test_nobody_enters_the_database_of_another(server: PostgresServer, database: str, other: str) -> None:
    for role in (database, f"{database}_owner"):
        with pytest.raises(psycopg2.OperationalError, match=f'permission denied for database "{other}"'):
            psycopg2.connect(server.dsn(other, role, PASSWORD))


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize("other", ["postgres", "template1"])
def test_nobody_enters_the_databases_that_every_server_has(server: PostgresServer, database: str, other: str) -> None:
    for role in (database, f"{database}_owner"):
        with pytest.raises(psycopg2.OperationalError, match=f'permission denied for database "{other}"'):
            psycopg2.connect(server.dsn(other, role, PASSWORD))


def test_price_history_adds_and_drops_months_and_nothing_else(server: PostgresServer) -> None:
    dsn = server.dsn("price_history", "price_history", PASSWORD)
    month = date(1999, 12, 1)
    rows(dsn, "SELECT add_month(%s)", month)
    assert "chunks_1999_12" in tables(server, "price_history")
    [(owner,)] = rows(dsn, "SELECT tableowner FROM pg_tables WHERE tablename = 'chunks_1999_12'")
    assert owner == "price_history_owner"
    rows(dsn, "INSERT INTO chunks_1999_12 SELECT * FROM chunks LIMIT 0")
    with pytest.raises(InsufficientPrivilege):
        rows(dsn, "DROP TABLE chunks_1999_12")
    rows(dsn, "SELECT drop_month(%s)", month)
    assert "chunks_1999_12" not in tables(server, "price_history")


def test_the_functions_of_the_owner_use_no_table_that_their_caller_names(server: PostgresServer) -> None:
    functions = rows(
        server.dsn("price_history"), "SELECT proname, proconfig FROM pg_proc WHERE prosecdef AND proowner <> 10"
    )
    assert sorted(functions) == [(name, ["search_path=public, pg_temp"]) for name in ("add_month", "drop_month")]


def test_run_again_it_changes_nothing_but_passwords(server: PostgresServer) -> None:
    def described() -> list[list[tuple[Any, ...]]]:
        return [
            rows(server.dsn("catalog"), query)
            for query in (
                "SELECT datname, datdba::regrole::text, datacl::text FROM pg_database ORDER BY 1",
                "SELECT relname, relowner::regrole::text, relacl::text FROM pg_class ORDER BY oid",
                "SELECT defaclrole::regrole::text, defaclobjtype, defaclacl::text FROM pg_default_acl ORDER BY 1, 2",
            )
        ]

    before = described()
    prepare(server, "catalog", "another")
    assert described() == before
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(server.dsn("catalog", "catalog", PASSWORD))
    assert rows(server.dsn("catalog", "catalog", "another"), "SELECT 1") == [(1,)]
    prepare(server, "catalog")


def test_two_may_run_it_at_once(server: PostgresServer) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as threads, closing(psycopg2.connect(server.dsn())) as first:
        # As far as both change the same row, which the second may do when the first has.
        first.cursor().execute("SELECT pg_advisory_xact_lock(hashtext('roles.sql'))")
        first.cursor().execute("REVOKE CONNECT ON DATABASE template1 FROM PUBLIC")
        second = threads.submit(prepare, server, "catalog")
        assert wait_until(lambda: rows(server.dsn(), waiting) == [(1,)], seconds=60)
        first.commit()
        second.result(60)


def test_what_the_administrator_of_devstack_made_is_the_owners_who_is_no_administrator(tmp_path: Path) -> None:
    passwords = dict.fromkeys((ADMINISTRATOR, *DATABASES, *map(owner_of, DATABASES)), PASSWORD)
    server = throwaway_postgres(tmp_path)
    server.start()
    try:
        server.wait_until_ready()
        prepare_databases(server, passwords)
        for database, migrate in MIGRATIONS.items():
            migrate(server.dsn(database, ADMINISTRATOR, PASSWORD))
            rows(server.dsn(database, database, PASSWORD), f"TABLE {tables(server, database)[0]}")
        rows(server.dsn(), "GRANT administrator TO catalog_owner, price_history")  # as earlier versions did
        prepare_databases(server, passwords)
        for database, migrate in MIGRATIONS.items():
            owners = rows(server.dsn(database), "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
            assert owners == [(owner_of(database),)]
            migrate(server.dsn(database, owner_of(database), PASSWORD))
            rows(server.dsn(database, owner_of(database), PASSWORD), "CREATE TABLE a_later_version (id int)")
            rows(server.dsn(database, database, PASSWORD), "SELECT * FROM a_later_version")
        assert (
            rows(
                server.dsn(),
                "SELECT member::regrole::text FROM pg_auth_members WHERE roleid = 'administrator'::regrole",
            )
            == []
        )
    finally:
        server.stop()


def test_a_database_of_one_role_is_handed_over_to_its_new_owner(server: PostgresServer) -> None:
    name = f"before_{uuid4().hex}"
    rows(server.dsn(), f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    connection = psycopg2.connect(server.dsn())
    connection.autocommit = True
    with closing(connection):
        connection.cursor().execute(f"CREATE DATABASE {name} OWNER {name}")
    migrate_history(server.dsn(name, name, PASSWORD))
    prepare(server, name)
    rows(server.dsn(name, name, PASSWORD), "SELECT add_month('1999-12-01'); SELECT * FROM products")
    with pytest.raises(InsufficientPrivilege):
        rows(server.dsn(name, name, PASSWORD), "DROP TABLE products")
    migrate_history(server.dsn(name, f"{name}_owner", PASSWORD))
    owners = rows(server.dsn(name), "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert owners == [(f"{name}_owner",)]
