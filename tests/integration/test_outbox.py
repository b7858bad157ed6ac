"""The outbox and its relay on a real database and a real broker."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from aggregator_contracts import Event, ProductDeleted, ProductState, ProductUpdated
from aggregator_contracts.topology import SYNC_PRODUCTS
from event_bus import EventConsumer, EventPublisher, OutgoingEvent, PublishError
from outbox import OutboxRelay, enqueue, outbox_table
from outbox import relay as relay_module


@pytest.fixture
def dsn(make_database: Callable[[], str]) -> str:
    return make_database()


@pytest.fixture
async def engine(dsn: str) -> AsyncIterator[AsyncEngine]:
    metadata = sa.MetaData()
    outbox_table(metadata)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn))
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield engine
    await engine.dispose()


class Broker:
    """Stands for the publisher: can refuse, hang, and tell what it was sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.batches: list[int] = []
        self.refusing = False
        self.refused = 0
        self._changed = asyncio.Condition()

    async def send(self, events: Iterable[OutgoingEvent]) -> None:
        async with self._changed:
            self._changed.notify_all()
            if self.refusing:
                self.refused += 1
                raise PublishError("refused")
            before = len(self.sent)
            self.sent += [event.id for event in events]
            self.batches.append(len(self.sent) - before)

    async def has(self, count: int) -> list[str]:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: len(self.sent) >= count)
        return self.sent

    async def has_refused(self, count: int) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: self.refused >= count)


@asynccontextmanager
async def relaying(dsn: str, publisher: object) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    running = asyncio.create_task(OutboxRelay(dsn, publisher).run(stopping))  # type: ignore[arg-type]
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait_for(running, 30)


async def store(engine: AsyncEngine, count: int) -> list[Event]:
    events: list[Event] = [ProductDeleted.of(uuid4(), number) for number in range(1, count + 1)]
    async with engine.begin() as connection:
        await enqueue(connection, events)
    return events


async def rows_left(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        count: int = (await connection.execute(sa.text("SELECT count(*) FROM outbox"))).scalar_one()
        return count


async def test_an_event_is_stored_only_if_its_transaction_commits(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await enqueue(connection, [ProductDeleted.of(uuid4(), 1)])
        await connection.rollback()
    assert await rows_left(engine) == 0


async def test_events_travel_to_subscribers_in_order_and_leave_the_outbox(
    engine: AsyncEngine, dsn: str, rabbitmq_url: str
) -> None:
    stored = await store(engine, 1200)
    arrived: list[Event] = []
    complete = asyncio.Event()

    async def collect(event: Event) -> None:
        arrived.append(event)
        if len(arrived) == len(stored):
            complete.set()

    consumer = EventConsumer(rabbitmq_url, prefetch=1)
    consumer.subscribe(SYNC_PRODUCTS, collect)
    stopping = asyncio.Event()
    consuming = asyncio.create_task(consumer.run(stopping))
    publisher = EventPublisher(rabbitmq_url, timeout=30)
    async with relaying(dsn, publisher):
        await asyncio.wait_for(complete.wait(), 60)
        await all_published(engine)
    stopping.set()
    await consuming
    await publisher.stop()
    assert arrived == stored


async def test_an_event_stored_while_the_relay_waits_is_published_at_once(
    engine: AsyncEngine, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "POLL_SECONDS", 60.0)
    broker = Broker()
    async with relaying(dsn, broker):
        first = await store(engine, 1)
        assert await broker.has(1) == [first[0].id]
        second = await store(engine, 1)
        assert await broker.has(2) == [first[0].id, second[0].id]


async def test_large_events_go_in_smaller_batches(
    engine: AsyncEngine, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "BATCH_BYTES", 25_000)
    large = ProductState(product_id=uuid4(), version=1, name="Large", description="x" * 10_000)
    async with engine.begin() as connection:
        await enqueue(connection, [ProductUpdated.of(large) for _ in range(8)])
    broker = Broker()
    async with relaying(dsn, broker):
        await broker.has(8)
    assert broker.batches == [3, 3, 2]


async def test_nothing_is_deleted_before_the_broker_confirms(engine: AsyncEngine, dsn: str) -> None:
    stored = await store(engine, 3)
    broker = Broker()
    broker.refusing = True
    async with relaying(dsn, broker):
        await broker.has_refused(3)
        assert await rows_left(engine) == 3
        broker.refusing = False
        assert await broker.has(3) == [event.id for event in stored]


async def test_a_row_that_commits_late_with_a_lower_id_is_not_skipped(engine: AsyncEngine, dsn: str) -> None:
    broker = Broker()
    async with relaying(dsn, broker):
        async with engine.begin() as slow:
            late = ProductDeleted.of(UUID(int=1), 1)
            await enqueue(slow, [late])
            [early] = await store(engine, 1)
            assert await broker.has(1) == [early.id]
        assert await broker.has(2) == [early.id, late.id]


async def test_of_several_relays_one_publishes_and_another_takes_over(
    engine: AsyncEngine, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "STANDBY_SECONDS", 0.05)
    brokers = [Broker() for _ in range(3)]
    async with AsyncExitStack() as stack:
        relays = [await stack.enter_async_context(relaying_until_closed(dsn, broker)) for broker in brokers]
        for _ in range(20):
            await store(engine, 5)
        await all_published(engine)
        assert sorted(len(broker.sent) for broker in brokers) == [0, 0, 100]
        active = next(index for index, broker in enumerate(brokers) if broker.sent)
        await relays[active].aclose()
        await store(engine, 1)
        await all_published(engine)
        assert sum(len(broker.sent) for index, broker in enumerate(brokers) if index != active) == 1


@asynccontextmanager
async def relaying_until_closed(dsn: str, broker: Broker) -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(relaying(dsn, broker))
        yield stack


async def all_published(engine: AsyncEngine) -> None:
    async with asyncio.timeout(30):
        while await rows_left(engine):  # noqa: ASYNC110 - the condition is in the database
            await asyncio.sleep(0.02)


async def test_a_relay_that_lost_its_session_stops_publishing(engine: AsyncEngine, dsn: str) -> None:
    broker = Broker()
    running = asyncio.create_task(OutboxRelay(dsn, broker).run(asyncio.Event()))  # type: ignore[arg-type]
    await store(engine, 1)
    await broker.has(1)
    await all_published(engine)
    async with engine.begin() as connection:
        await connection.execute(
            sa.text("SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"
                    " WHERE application_name = 'outbox-relay' AND datname = current_database()")
        )  # fmt: skip
    await store(engine, 1)
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)):
        await asyncio.wait_for(running, 30)
    assert len(broker.sent) == 1
    assert await rows_left(engine) == 1
