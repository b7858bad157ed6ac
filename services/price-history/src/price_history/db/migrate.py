"""Brings the database to the schema of this version."""

from typing import Final

import schema_migration

MIGRATIONS: Final = "price_history.db.migrations"


def migrate(dsn: str, wait_seconds: float = schema_migration.WAIT_SECONDS) -> None:
    """Apply every migration that is missing; see `schema_migration.migrate`."""
    schema_migration.migrate(dsn, MIGRATIONS, wait_seconds=wait_seconds)
