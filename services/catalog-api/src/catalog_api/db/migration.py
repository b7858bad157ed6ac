"""Brings the database to the newest schema; any number of copies may try at once."""

import time
from importlib.resources import files
from typing import Final

import psycopg2
import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config

LOCK_KEY: Final = 0x636174616C6F67
"""The advisory lock of the one copy that migrates; the letters of `catalog`."""
WAIT_SECONDS: Final = 60.0
FIRST_BACKOFF_SECONDS: Final = 0.2
LAST_BACKOFF_SECONDS: Final = 5.0

_log = structlog.get_logger()


def migrate(dsn: str, wait_seconds: float = WAIT_SECONDS) -> None:
    """Apply every migration that is missing, once the database accepts connections.

    Raises:
        psycopg2.OperationalError: it did not within `wait_seconds`.
    """
    _wait_for(dsn, wait_seconds)
    engine = sa.create_engine(
        "postgresql+psycopg2://", creator=lambda: psycopg2.connect(dsn), poolclass=sa.pool.NullPool
    )
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
        connection.commit()
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
        connection.commit()


def alembic_config() -> Config:
    """Alembic's settings: the migrations of this package."""
    config = Config()
    config.set_main_option("script_location", str(files("catalog_api.db").joinpath("migrations")))
    return config


def _wait_for(dsn: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    backoff = FIRST_BACKOFF_SECONDS
    while True:
        try:
            psycopg2.connect(dsn, connect_timeout=5).close()
        except psycopg2.OperationalError:
            if time.monotonic() + backoff > deadline:
                raise
            _log.info("waiting_for_database", seconds=backoff)
            time.sleep(backoff)
            backoff = min(backoff * 2, LAST_BACKOFF_SECONDS)
        else:
            return
