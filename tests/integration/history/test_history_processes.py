"""The processes of price-history: they follow the broker, keep the order, and stop when asked to."""

from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx2
import psycopg2
from tests.integration.processes import ended, eventually, process

from aggregator_contracts import Offer, OffersUpdate, OffersUpdated, ProductCreated, ProductDeleted, ProductState
from devstack.ports import free_port
from devstack.postgresql import PostgresServer
from event_bus import EventPublisher
from price_history.db.engine import Database, Limits
from price_history.db.migrate import migrate
from price_history.domain.errors import UnknownProductError
from price_history.use_cases.read_history import Position, ReadHistory

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=1)


def updated(product: UUID, revision: int, price: int) -> OffersUpdated:
    update = OffersUpdate(
        product_id=product,
        revision=revision,
        observed_at=NOON + timedelta(seconds=revision),
        offers=[Offer(id="a", price=price, items_in_stock=1)],
    )
    return OffersUpdated.of([update])


async def prices(database: Database, product: UUID) -> list[int | None]:
    try:
        page = await ReadHistory(database).page(product, Position(NOON, 0), LATER, 1000)
    except UnknownProductError:
        return []
    return [item.price for item in page.items]


async def test_events_become_history(
    history_dsn: str, database: Database, broker_url: str, publisher: EventPublisher
) -> None:
    followed, deleted, known = uuid4(), uuid4(), uuid4()
    port = free_port()
    async with (
        process("price-history", "work", DATABASE_URL=history_dsn, RABBITMQ_URL=broker_url, HEALTH_PORT=str(port)),
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as health,
    ):
        await publisher.publish([updated(deleted, 1, 1)])
        await eventually(lambda: _is([1], prices(database, deleted)))
        state = ProductState(product_id=known, version=1, name="A", description="")
        await publisher.publish([ProductDeleted.of(deleted, 2), ProductCreated.of(state)])
        await publisher.publish([updated(followed, revision, 10 * revision) for revision in (1, 2, 2, 3, 1)])
        await eventually(lambda: _is([10, 20, 30], prices(database, followed)))
        await eventually(lambda: _is([], prices(database, deleted)))
        await publisher.publish([updated(deleted, 2, 2), updated(followed, 4, 40)])
        await eventually(lambda: _is([10, 20, 30, 40], prices(database, followed)))
        assert await prices(database, deleted) == []
        assert (await health.get("/readyz")).json() == {"status": "ready"}
        # What is stored can be seen a moment before whoever stored it is told so, and counts it.
        await eventually(lambda: _contains("aggregator_price_history_stored_after_seconds_count 5.0", health))
        metrics = (await health.get("/metrics")).text
        assert "aggregator_price_history_changes_total 5.0" in metrics
        assert 'aggregator_price_history_lists_total{outcome="applied"} 5.0' in metrics
        assert 'aggregator_price_history_lists_total{outcome="stale"} 3.0' in metrics
        await eventually(
            lambda: _contains("aggregator_price_history_oldest_partition_seconds 0.0", health, absent=True)
        )


async def test_every_change_is_in_history_once_after_the_database_was_away(
    private_postgres: PostgresServer, broker_url: str, publisher: EventPublisher
) -> None:
    migrate(private_postgres.dsn())
    product = uuid4()
    database = Database(private_postgres.dsn(), "test", Limits(1, 10, 60))
    async with process("price-history", "work", DATABASE_URL=private_postgres.dsn(), RABBITMQ_URL=broker_url):
        await publisher.publish([updated(product, 1, 1)])
        await eventually(lambda: _is([1], prices(database, product)))
        await database.close()
        private_postgres.stop()
        for revision in range(2, 42):
            await publisher.publish([updated(product, revision, revision)])
        private_postgres.start()
        private_postgres.wait_until_ready()
        await eventually(lambda: _is(list(range(1, 42)), prices(database, product)))
    await database.close()


async def test_it_stops_in_time_while_the_database_is_away(broker_url: str, publisher: EventPublisher) -> None:
    port = free_port()
    await publisher.publish([updated(uuid4(), 1, 1)])
    away = "postgresql://nobody@127.0.0.1:1/none"
    async with (
        process("price-history", "work", DATABASE_URL=away, RABBITMQ_URL=broker_url, HEALTH_PORT=str(port)),
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as health,
    ):
        # The broker answers and the message is in hand; the process is then asked to stop.
        await eventually(lambda: _fails(health, {"database"}))


async def test_it_serves(history_dsn: str) -> None:
    port = free_port()
    settings = {"DATABASE_URL": history_dsn, "RABBITMQ_URL": "amqp://localhost/", "API_AUTH": "off"}
    async with (
        process("price-history", "serve", PORT=str(port), **settings),
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        await eventually(lambda: _answers(client))
        answer = await client.get(f"/api/v1/products/{uuid4()}/offers/a%2Fb/trend?period=1h")
        assert answer.status_code == 404
        assert answer.json()["detail"] == "There is no such product."


async def test_a_missing_setting_stops_it_with_one_line() -> None:
    refused = await ended("price-history", "work")
    assert refused.code == 2
    assert [("DATABASE_URL" in line, "RABBITMQ_URL" in line) for line in refused.errors.splitlines()] == [(True, True)]


async def test_a_database_from_before_chunks_is_refused_with_a_line_that_says_so(
    make_database: Callable[..., str],
) -> None:
    dsn = make_database()
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE alembic_version (version_num varchar(32)); INSERT INTO alembic_version VALUES ('0001')"
        )
    refused = await ended("price-history", "migrate", DATABASE_URL=dsn)
    assert (refused.code, refused.told["event"]) == (1, "database_refused")


async def test_migrating_makes_the_present_partitions(make_database: Callable[..., str]) -> None:
    dsn = make_database()
    migrated = await ended("price-history", "migrate", DATABASE_URL=dsn.replace("postgresql:", "postgres:"))
    assert migrated.code == 0
    now = datetime.now(UTC)
    database = Database(dsn, "test", Limits(1, 1, 5))
    async with database.reading() as connection:
        assert await connection.run_sync(lambda sync: sync.dialect.has_table(sync, f"chunks_{now:%Y_%m}"))
    await database.close()


async def _is(expected: list[int | None] | list[int], found: Awaitable[list[int | None]]) -> bool:
    return await found == expected


async def _contains(text: str, health: httpx2.AsyncClient, *, absent: bool = False) -> bool:
    return (text in (await health.get("/metrics")).text) != absent


async def _fails(health: httpx2.AsyncClient, expected: set[str]) -> bool:
    try:
        return set((await health.get("/readyz")).json().get("failing", {})) == expected
    except httpx2.TransportError:
        return False


async def _answers(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx2.TransportError:
        return False
