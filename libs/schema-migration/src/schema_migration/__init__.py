"""Brings a service's database to the schema of this version; several copies may do so at once, one does the work."""

from contextlib import closing
from importlib.resources import files
from typing import Final

import psycopg2
import sqlalchemy as sa
import stamina
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

LOCK_KEY: Final = 0x6D696772617465
"""The advisory lock, within its database, of the one copy that migrates; the letters of `migrate`."""
WAIT_SECONDS: Final = 60.0

_OWNER: Final = "SELECT obj_description(to_regclass('alembic_version'), 'pg_class')"
_IS_MIGRATED: Final = "SELECT to_regclass('alembic_version') IS NOT NULL"


class DatabaseRefusedError(Exception):
    """The database is another service's, was made by a version from which no way leads here, or never migrated.

    Nothing was done.
    """


def migrate(dsn: str, package: str, *, wait_seconds: float = WAIT_SECONDS) -> None:
    """Apply every migration of `package` that is missing, all of them or none, once the database accepts connections.

    Whose database it is stands in a comment on its table of versions: revisions have the same numbers in all services.

    Raises:
        psycopg2.OperationalError: it did not within `wait_seconds`.
        DatabaseRefusedError: see there.
    """
    service = package.partition(".")[0]
    for attempt in stamina.retry_context(psycopg2.OperationalError, attempts=None, timeout=wait_seconds):
        with attempt:
            psycopg2.connect(dsn, connect_timeout=5).close()
    engine = sa.create_engine(
        "postgresql+psycopg2://",
        creator=lambda: psycopg2.connect(dsn, fallback_application_name="migrate"),
        poolclass=sa.NullPool,
    )
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        _require(service, connection.scalar(sa.text(_OWNER)))
        config = alembic_config(package)
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise DatabaseRefusedError(str(error)) from error
        connection.execute(sa.text(f"COMMENT ON TABLE alembic_version IS '{service}'"))


def require_own_database(dsn: str, package: str) -> None:
    """For commands that use the tables of `package`: refuse at once a database that has none, or another service's.

    One that does not answer passes: the command is about to find that out, and has words for it.

    Raises:
        DatabaseRefusedError: it is another service's, or was never migrated.
    """
    service = package.partition(".")[0]
    try:
        connection = psycopg2.connect(dsn, connect_timeout=5)
    except psycopg2.OperationalError:
        return
    with closing(connection), connection.cursor() as cursor:
        cursor.execute(_OWNER)
        (owner,) = cursor.fetchone() or (None,)
        _require(service, owner)
        cursor.execute(_IS_MIGRATED)
        if cursor.fetchone() != (True,):
            script = service.replace("_", "-")
            raise DatabaseRefusedError(f"the database is not migrated: run `{script} migrate` first")


def _require(service: str, owner: str | None) -> None:
    if owner not in (None, service):
        raise DatabaseRefusedError(f"the database is that of {owner}, not of {service}")


def alembic_config(package: str) -> Config:
    """Alembic's settings: the migrations of this package."""
    config = Config()
    config.set_main_option("script_location", str(files(package)))
    return config
