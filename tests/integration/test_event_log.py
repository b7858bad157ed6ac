"""Reading the log on a real broker: from where, to where, and what is said when that is not there."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import aio_pika
import pytest

from aggregator_contracts import Event, ProductCreated, ProductState, parse_event
from aggregator_contracts.topology import EXCHANGE, LOG
from devstack.conditions import wait_until
from devstack.rabbitmq import RabbitNode
from event_bus import EventLog, EventPublisher, Extent, LogEntry, OffsetError, OpenLog, PublishError, Start
from event_bus.topology import TopologyMissingError

SMALL_SEGMENTS: Any = {
    "x-queue-type": "stream",
    "x-stream-max-segment-size-bytes": 100_000,
    "x-max-length-bytes": 300_000,
}


@pytest.fixture
async def publisher(rabbitmq_url: str) -> AsyncIterator[EventPublisher]:
    publisher = EventPublisher(rabbitmq_url, timeout=30)
    await publisher.start()
    yield publisher
    await publisher.stop()


@pytest.fixture
async def log(rabbitmq_url: str, publisher: EventPublisher) -> AsyncIterator[OpenLog]:  # noqa: ARG001 - declares it
    async with EventLog(rabbitmq_url).open() as log:
        yield log


@asynccontextmanager
async def channel_of(url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    async with await aio_pika.connect(url) as connection:
        yield await connection.channel()


def created() -> ProductCreated:
    return ProductCreated.of(ProductState(product_id=uuid4(), version=1, name="Sekačka", description=""))


def events_of(entries: Sequence[LogEntry]) -> list[Event]:
    return [parse_event(entry.body) for entry in entries]


async def take(log: OpenLog, start: Start, count: int) -> list[LogEntry]:
    """The first so many from there on."""
    taken: list[LogEntry] = []
    async with asyncio.timeout(20), aclosing(log.read(start)) as entries:
        async for entry in entries:
            taken.append(entry)
            if len(taken) == count:
                break
    return taken


async def fill(url: str, count: int, *, first: int = 0) -> None:
    """Put messages of some kilobyte into the log, each with its number."""
    async with channel_of(url) as channel:
        for number in range(first, first + count):
            body = f"{number}:{'x' * 1000}".encode()
            await channel.default_exchange.publish(aio_pika.Message(body), LOG)


@pytest.fixture
async def small_log(rabbitmq_url: str) -> str:
    """The URL of a broker whose log keeps some two hundred messages of `fill`, in files of eighty."""
    async with channel_of(rabbitmq_url) as channel:
        await channel.declare_queue(LOG, durable=True, arguments=SMALL_SEGMENTS)
    return rabbitmq_url


async def extent_after_truncation(url: str) -> Extent:
    """Fill a small log until it has dropped something; returns what is left."""
    async with EventLog(url).open() as log:
        filled = 0
        while True:
            await fill(url, 100, first=filled)
            filled += 100
            extent = await log.extent()
            assert extent is not None
            if extent.first:
                return extent


async def test_every_event_is_read_in_the_order_of_its_publishing(publisher: EventPublisher, log: OpenLog) -> None:
    published = [created() for _ in range(250)]
    await publisher.publish(published)
    entries = await take(log, "first", 250)
    assert events_of(entries) == published
    assert {entry.type for entry in entries} == {ProductCreated.TYPE}
    # Again, as reading takes nothing away.
    assert await take(log, "first", 250) == entries


async def test_a_subscriber_goes_on_after_the_offset_that_it_stored(publisher: EventPublisher, log: OpenLog) -> None:
    published = [created() for _ in range(20)]
    await publisher.publish(published)
    [*_, last_seen] = await take(log, "first", 12)
    assert events_of(await take(log, last_seen.offset + 1, 8)) == published[12:]


async def test_an_endless_reader_gets_what_is_published_later(publisher: EventPublisher, log: OpenLog) -> None:
    await publisher.publish([created()])
    async with asyncio.timeout(20), aclosing(log.read("first")) as entries:
        await anext(entries)
        for _ in range(3):
            event = created()
            waiting = asyncio.ensure_future(anext(entries))
            await publisher.publish([event])
            assert events_of([await waiting]) == [event]


async def test_a_reader_from_now_on_gets_nothing_of_before(publisher: EventPublisher, log: OpenLog) -> None:
    await publisher.publish([created() for _ in range(5)])
    async with asyncio.timeout(20), aclosing(log.read("next")) as entries:
        waiting = asyncio.ensure_future(anext(entries))
        later: list[Event] = []
        while not waiting.done():  # nothing tells when it is attached
            later.append(created())
            await publisher.publish(later[-1:])
        assert events_of([await waiting])[0] in later


async def test_a_reader_from_a_time_gets_all_that_was_published_since(publisher: EventPublisher, log: OpenLog) -> None:
    before = [created() for _ in range(5)]
    await publisher.publish(before)
    published_by = datetime.now(UTC)
    assert wait_until(lambda: datetime.now(UTC) - published_by > timedelta(seconds=2), seconds=5)  # it goes by seconds
    since = datetime.now(UTC)
    after = [created() for _ in range(5)]
    await publisher.publish(after)
    assert events_of(await take(log, since, 5)) == after
    assert events_of(await take(log, since - timedelta(hours=1), 10)) == before + after


async def test_the_extent_is_exact_as_soon_as_an_event_is_confirmed(publisher: EventPublisher, log: OpenLog) -> None:
    assert await log.extent() is None
    await publisher.publish([created()])
    assert await log.extent() == Extent(0, 0)
    for count in (1, 3, 400, 1500):
        extent = await log.extent()
        assert extent is not None
        await publisher.publish([created() for _ in range(count)])
        assert await log.extent() == Extent(0, extent.last + count)


async def test_a_finite_read_ends_with_the_offset_asked_for(publisher: EventPublisher, log: OpenLog) -> None:
    published = [created() for _ in range(30)]
    await publisher.publish(published)
    extent = await log.extent()
    assert extent is not None
    await publisher.publish([created()])
    async with asyncio.timeout(20):
        assert events_of([entry async for entry in log.read("first", until=extent.last)]) == published


async def test_an_offset_that_was_dropped_is_not_passed_over(small_log: str) -> None:
    await extent_after_truncation(small_log)
    async with EventLog(small_log).open() as log:
        while True:  # until the broker, who drops by the file and in its own time, drops nothing meanwhile
            extent = await log.extent()
            assert extent is not None
            with pytest.raises(OffsetError) as refused:
                await take(log, 5, 1)
            # From the first one there is: whoever wants to know which compares its offset.
            [first_there_is] = await take(log, "first", 1)
            with suppress(OffsetError):
                [first, *_] = await take(log, extent.first, 10)
                if await log.extent() == extent:
                    break
        assert str(refused.value).endswith(f"no offset 5: it has {extent.first} to {extent.last}")
        assert refused.value.extent == extent
        assert first.offset == first_there_is.offset == extent.first


async def test_a_reader_that_the_dropping_of_events_overtakes_is_told(small_log: str) -> None:
    await fill(small_log, 150)
    async with EventLog(small_log, prefetch=5).open() as log, aclosing(log.read(0)) as entries:
        assert (await anext(entries)).offset == 0
        await fill(small_log, 1000, first=150)
        async with asyncio.timeout(20):
            while (extent := await log.extent()) is None or extent.first < 500:
                pass

        async def read_on() -> None:
            previous = 0
            async for entry in entries:
                assert entry.offset - previous <= 2
                previous = entry.offset

        with pytest.raises(OffsetError):
            await asyncio.wait_for(read_on(), 20)


async def test_gaps_that_are_the_brokers_own_lose_nothing(small_log: str) -> None:
    await fill(small_log, 150)
    async with EventLog(small_log).open() as log:
        entries = await take(log, "first", 150)
    assert [int(entry.body.partition(b":")[0]) for entry in entries] == list(range(150))
    offsets = [entry.offset for entry in entries]
    assert offsets != list(range(150)), "there were no gaps to stand"


async def test_an_offset_of_a_log_that_was_made_anew_is_refused(publisher: EventPublisher, log: OpenLog) -> None:
    with pytest.raises(OffsetError, match="no offset 17: it is empty"):
        await take(log, 17, 1)
    await publisher.publish([created(), created()])
    with pytest.raises(OffsetError, match="no offset 17: it has 0 to 1"):
        await take(log, 17, 1)


async def test_a_broker_without_the_log_is_named(rabbitmq_url: str) -> None:
    with pytest.raises(TopologyMissingError, match=f"no {LOG}"):
        async with EventLog(rabbitmq_url).open():
            pass


async def test_a_broker_that_does_not_answer_is_an_error() -> None:
    with pytest.raises(ConnectionError):
        async with EventLog("amqp://127.0.0.1:1/").open():
            pass


async def test_a_log_that_is_deleted_ends_the_reading(
    publisher: EventPublisher, log: OpenLog, rabbitmq_url: str
) -> None:
    await publisher.publish([created()])
    async with asyncio.timeout(20), aclosing(log.read("first")) as entries, channel_of(rabbitmq_url) as channel:
        await anext(entries)
        await channel.queue_delete(LOG)
        with pytest.raises(ConnectionError):
            await anext(entries)


async def test_a_broker_that_goes_ends_the_reading_and_a_new_one_goes_on(private_broker: RabbitNode) -> None:
    url = private_broker.url()
    publisher = EventPublisher(url)
    first, second = created(), created()
    await publisher.publish([first])
    log = EventLog(url)
    async with asyncio.timeout(120):
        async with log.open() as opened, aclosing(opened.read("first")) as entries:
            entry = await anext(entries)
            await asyncio.to_thread(private_broker.stop)
            with pytest.raises(ConnectionError):
                await anext(entries)
            with pytest.raises(ConnectionError):
                await opened.extent()
        private_broker.start()
        await asyncio.to_thread(private_broker.wait_until_ready)
        while True:
            with suppress(PublishError):  # the log takes a moment longer than the broker
                await publisher.publish([second])
                break
        async with log.open() as opened:
            assert events_of(await take(opened, entry.offset + 1, 1)) == [second]
        await publisher.stop()


async def test_what_waits_for_a_slow_reader_waits_at_the_broker(rabbitmq_url: str, publisher: EventPublisher) -> None:
    def held() -> int:
        gc.collect()  # what was let go of, here and in tests before, is not held
        return sum(type(item).__name__ == "IncomingMessage" for item in gc.get_objects())

    for _ in range(200):
        await publisher.publish([created()])
    already = held()
    async with EventLog(rabbitmq_url, prefetch=10).open() as log, aclosing(log.read("first")) as entries:
        for _ in range(40):
            await anext(entries)
            await log.extent()  # as many round trips as it takes to be sent more
            # What is fetched ahead, what is being acked, and what the look for the extent was sent; never all 200.
            assert held() - already <= 40
        remaining = [await anext(entries) for _ in range(160)]
    assert remaining[-1].offset == 199


async def test_an_event_of_a_type_that_nobody_consumes_is_in_the_log(rabbitmq_url: str, log: OpenLog) -> None:
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel(on_return_raises=True)
        exchange = await channel.get_exchange(EXCHANGE)
        await exchange.publish(aio_pika.Message(b"{}", type="another.v1"), "prices.unheard-of.v1")
    [entry] = await take(log, "first", 1)
    assert (entry.type, entry.body) == ("prices.unheard-of.v1", b"{}")
