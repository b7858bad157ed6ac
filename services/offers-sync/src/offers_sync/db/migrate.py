"""Brings the database to the current schema; several copies at once are safe."""

import time
from pathlib import Path
from typing import Final

import psycopg2
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

LOCK_KEY: Final = 0x6D696772617465
"""The letters of `migrate`."""
PATIENCE_SECONDS: Final = 60.0
LONGEST_PAUSE_SECONDS: Final = 2.0


def migrate(dsn: str) -> None:
    """Wait up to a minute for the database to accept connections, then upgrade to the latest revision.

    Raises:
        psycopg2.OperationalError: the database did not accept connections in time.
    """
    _wait_for_database(dsn)
    engine = sa.create_engine(
        "postgresql+psycopg2://",
        creator=lambda: psycopg2.connect(dsn, application_name="offers-sync-migrate", connect_timeout=5),
        poolclass=sa.NullPool,
    )
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection:
        # The lock is the session's, so it holds over the migrations' own transactions.
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
        connection.commit()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


def _wait_for_database(dsn: str) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    pause = 0.1
    while True:
        try:
            psycopg2.connect(dsn, connect_timeout=5).close()
        except psycopg2.OperationalError:
            if time.monotonic() + pause > give_up_at:
                raise
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        else:
            return
