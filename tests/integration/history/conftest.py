"""price-history's database, migrated once and copied for each test."""

from collections.abc import AsyncIterator, Callable
from contextlib import closing
from urllib.parse import urlsplit

import psycopg2
import pytest

from price_history.db.engine import Database, Limits
from price_history.db.migrate import migrate


@pytest.fixture(scope="session")
def migrated_history(make_database: Callable[..., str]) -> str:
    """A migrated database, to be copied; its months must be those of UTC though its server lives with summer time."""
    dsn = make_database()
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"ALTER DATABASE \"{urlsplit(dsn).path[1:]}\" SET timezone = 'Europe/Prague'")
    migrate(dsn)
    return dsn


@pytest.fixture
def history_dsn(make_database: Callable[..., str], migrated_history: str) -> str:
    """A migrated database of the test's own."""
    dsn = make_database(template=migrated_history)
    # A copy does not take over the settings of its template.
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"ALTER DATABASE \"{urlsplit(dsn).path[1:]}\" SET timezone = 'Europe/Prague'")
    return dsn


@pytest.fixture
async def database(history_dsn: str) -> AsyncIterator[Database]:
    """A pool of connections to it."""
    database = Database(history_dsn, "test", Limits(8, 10, 60))
    yield database
    await database.close()
