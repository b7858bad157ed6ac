"""A database and two roles for each service, from the statements that anyone would run, and an administrator."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

from devstack.postgresql import PostgresServer, program, tool_environment

ROLES: Final = Path(__file__).parents[4] / "deploy/postgresql/roles.sql"
DATABASES: Final = ("catalog", "offers_sync", "price_history")
ADMINISTRATOR: Final = "administrator"


def owner_of(database: str) -> str:
    """The role that migrates a database; the one that services run in is named as the database."""
    return f"{database}_owner"


def prepare_databases(server: PostgresServer, passwords: Mapping[str, str]) -> None:
    """Create what is not there yet: a database for each service, which only its own roles may enter.

    The administrator, whose account `stack.json` tells, is a superuser. The running role may use what it creates at
    once, and from the next start on it is the owner's, so that a service started by hand with that account does not
    lock out its own.

    Raises:
        OSError: the server refused it.
    """
    connection = psycopg2.connect(server.dsn())
    try:
        connection.autocommit = True
        cursor = connection.cursor()
        _ensure_administrator(cursor, passwords[ADMINISTRATOR])
        for database in DATABASES:
            owner = owner_of(database)
            make_roles(server.dsn(), database, owner=(owner, passwords[owner]), role=(database, passwords[database]))
            for member in (owner, database):  # folders of earlier versions know them as such
                cursor.execute(sql.SQL("REVOKE administrator FROM {}").format(sql.Identifier(member)))
    finally:
        connection.close()
    for database in DATABASES:
        _hand_over_what_the_administrator_makes(server.dsn(database), owner_of(database), database)


def make_roles(dsn: str, database: str, *, owner: tuple[str, str], role: tuple[str, str]) -> None:
    """Make a database with its two roles, each given as its name and its password. Raises OSError."""
    variables = {
        "DATABASE": database,
        **dict(zip(("OWNER", "OWNER_PASSWORD"), owner, strict=True)),
        **dict(zip(("ROLE", "ROLE_PASSWORD"), role, strict=True)),
    }
    made = subprocess.run(
        [str(program("psql")), "-X", "--quiet", "--file", str(ROLES)],
        env={**tool_environment(), **_connection_variables(dsn), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise OSError(f"the roles of the database {database} can't be made: {made.stderr.strip()}")


def _connection_variables(dsn: str) -> dict[str, str]:
    # Not as an argument, which everybody on the machine could read.
    named = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    given = psycopg2.extensions.parse_dsn(dsn)
    return {variable: given[name] for name, variable in named.items() if name in given}


def _hand_over_what_the_administrator_makes(dsn: str, owner: str, role: str) -> None:
    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        connection.cursor().execute(
            sql.SQL(f"REASSIGN OWNED BY {ADMINISTRATOR} TO {{owner}}").format(owner=sql.Identifier(owner))
        )
        for rights in ("SELECT, INSERT, UPDATE, DELETE ON TABLES", "SELECT, USAGE ON SEQUENCES"):
            statement = f"ALTER DEFAULT PRIVILEGES FOR ROLE {ADMINISTRATOR} IN SCHEMA public GRANT {rights} TO {{role}}"
            connection.cursor().execute(sql.SQL(statement).format(role=sql.Identifier(role)))
    finally:
        connection.close()


def _ensure_administrator(cursor: psycopg2.extensions.cursor, password: str) -> None:
    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (ADMINISTRATOR,))
    verb = "CREATE" if cursor.rowcount == 0 else "ALTER"
    statement = sql.SQL(f"{verb} ROLE {{role}} LOGIN SUPERUSER PASSWORD {{password}}")
    cursor.execute(statement.format(role=sql.Identifier(ADMINISTRATOR), password=sql.Literal(password)))
