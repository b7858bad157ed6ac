"""One database and one role for each service, and an administrator beside them."""

from collections.abc import Mapping
from typing import Final

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

from devstack.postgresql import PostgresServer

DATABASES: Final = ("catalog", "offers_sync", "price_history")
ADMINISTRATOR: Final = "administrator"


def prepare_databases(server: PostgresServer, passwords: Mapping[str, str]) -> None:
    """Create what is not there yet: a database for each service, which only its own role may enter.

    The administrator, whose account `stack.json` tells, is a superuser. What it creates belongs to the services'
    roles too, so that a service started by hand with that account does not lock out its own.
    """
    connection = psycopg2.connect(server.dsn())
    try:
        connection.autocommit = True
        cursor = connection.cursor()
        _ensure_role(cursor, ADMINISTRATOR, passwords[ADMINISTRATOR], "SUPERUSER")
        for database in DATABASES:
            _ensure_role(cursor, database, passwords[database], "NOSUPERUSER")
            names = {"database": sql.Identifier(database), "administrator": sql.Identifier(ADMINISTRATOR)}
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", (database,))
            if cursor.rowcount == 0:
                cursor.execute(sql.SQL("CREATE DATABASE {database} OWNER {database}").format(**names))
            cursor.execute(sql.SQL("REVOKE CONNECT ON DATABASE {database} FROM PUBLIC").format(**names))
            cursor.execute(sql.SQL("GRANT {administrator} TO {database} WITH INHERIT TRUE, SET FALSE").format(**names))
    finally:
        connection.close()


def _ensure_role(cursor: psycopg2.extensions.cursor, role: str, password: str, power: str) -> None:
    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,))
    verb = "CREATE" if cursor.rowcount == 0 else "ALTER"
    statement = sql.SQL(f"{verb} ROLE {{role}} LOGIN {power} PASSWORD {{password}}")
    cursor.execute(statement.format(role=sql.Identifier(role), password=sql.Literal(password)))
