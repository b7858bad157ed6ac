"""The schema."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg2
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from offers_sync.db.models import metadata

CLI = str(Path(sys.executable).parent / "offers-sync")


def test_migrations_make_what_the_models_say(migrated: str) -> None:
    engine = sa.create_engine(
        "postgresql+psycopg2://", creator=lambda: psycopg2.connect(migrated), poolclass=sa.NullPool
    )
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": False})
        assert compare_metadata(context, metadata) == []


def test_copies_may_migrate_at_once_and_again(make_database: Callable[..., str]) -> None:
    settings = {"DATABASE_URL": make_database()}
    for _ in range(2):
        copies = [subprocess.Popen([CLI, "migrate"], env=settings) for _ in range(3)]
        assert [copy.wait(60) for copy in copies] == [0, 0, 0]
