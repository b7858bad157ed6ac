"""price-history's database, migrated once and copied for each test."""

from collections.abc import AsyncIterator, Callable
from contextlib import closing
from urllib.parse import urlsplit

import psycopg2
import pytest

from event_bus import EventPublisher
from price_history.db.engine import Database, Limits
from price_history.db.migrate import migrate


@pytest.fixture(scope="session")
def migrated_history(
    service_database: Callable[[Callable[[str], None]], str], as_administrator: Callable[[str], str]
) -> str:
    """A migrated database, to be copied; its months must be those of UTC though its server lives with summer time."""

    def live_in_prague_and_migrate(dsn: str) -> None:
        set_zone(as_administrator(dsn))
        migrate(dsn)

    return service_database(live_in_prague_and_migrate)


def set_zone(dsn: str) -> None:
    """Have a server live with summer time in one of its databases."""
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"ALTER DATABASE \"{urlsplit(dsn).path[1:]}\" SET timezone = 'Europe/Prague'")


@pytest.fixture
def history_dsn(
    make_database: Callable[..., str], migrated_history: str, as_administrator: Callable[[str], str]
) -> str:
    """A migrated database of the test's own."""
    dsn = make_database(template=migrated_history)
    set_zone(as_administrator(dsn))  # a copy does not take over the settings of its template
    return dsn


@pytest.fixture
async def database(history_dsn: str) -> AsyncIterator[Database]:
    """A pool of connections to it."""
    database = Database(history_dsn, "test", Limits(8, 10, 60))
    yield database
    await database.close()


@pytest.fixture
def broker_url(broker_accounts: Callable[[str], str]) -> str:
    """For the service's own account."""
    return broker_accounts("price-history")


@pytest.fixture
async def publisher(rabbitmq_url: str) -> AsyncIterator[EventPublisher]:
    """Stands for both other services."""
    publisher = EventPublisher(rabbitmq_url, timeout=30)
    yield publisher
    await publisher.stop()
