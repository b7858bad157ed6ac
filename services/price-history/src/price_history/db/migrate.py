"""Brings the database to the schema of this version."""

from typing import Final

from alembic.util import CommandError

import schema_migration

MIGRATIONS: Final = "price_history.db.migrations"


class OtherVersionError(Exception):
    """The database was made by a version from which there is no way to this one."""


def migrate(dsn: str, wait_seconds: float = schema_migration.WAIT_SECONDS) -> None:
    """Apply every migration that is missing; see `schema_migration.migrate`.

    Raises:
        OtherVersionError: see there; nothing was done.
    """
    try:
        schema_migration.migrate(dsn, MIGRATIONS, wait_seconds=wait_seconds)
    except CommandError as error:
        raise OtherVersionError(str(error)) from error
