"""Brings the database's tables up to this version; several copies may do so at once, one of them does the work."""

import time
from importlib.resources import files
from typing import Final

import psycopg2
import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config

WAIT_SECONDS: Final = 60.0
FIRST_BACKOFF_SECONDS: Final = 0.2
LAST_BACKOFF_SECONDS: Final = 5.0
LOCK_KEY: Final = 0x70726963_6573
"""The advisory lock of the one copy that migrates; the letters of `prices`."""

_log = structlog.get_logger()


def migrate(dsn: str, wait_seconds: float = WAIT_SECONDS) -> None:
    """Apply every migration that is missing, all of them or none, once the database accepts connections.

    Raises:
        psycopg2.OperationalError: it did not within `wait_seconds`.
    """
    _wait_for(dsn, wait_seconds)
    engine = sa.create_engine(
        "postgresql+psycopg2://",
        creator=lambda: psycopg2.connect(dsn, application_name="price-history-migrate"),
        poolclass=sa.pool.NullPool,
    )
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def alembic_config() -> Config:
    """Alembic's settings: the migrations of this package."""
    config = Config()
    config.set_main_option("script_location", str(files("price_history.db").joinpath("migrations")))
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
