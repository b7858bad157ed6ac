"""History made from the log is the history that was: all of it anew, the part that is missing, or a refusal."""

import asyncio
import json
import random
import signal
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import asyncpg
import pytest
from tests.integration.processes import Ended, ended, eventually, process, started

from aggregator_contracts import (
    BestPriceChanged,
    Event,
    Offer,
    OffersUpdate,
    OffersUpdated,
    ProductCreated,
    ProductDeleted,
    ProductState,
)
from aggregator_contracts.topology import EXCHANGE, LOG
from devstack.broker_management import BrokerManagement
from event_bus import EventPublisher
from price_history.db.engine import Database, Limits
from price_history.domain.errors import UnknownProductError
from price_history.domain.instants import to_instant
from price_history.domain.resolution import choose_buckets
from price_history.domain.trend import Trend
from price_history.domain.window import Window
from price_history.use_cases.read_history import HistoryItem, Position, ReadHistory
from price_history.use_cases.read_trend import ReadTrend

NOW = datetime.now(UTC).replace(microsecond=0)
BEGIN = NOW - timedelta(days=9)
STEP = timedelta(minutes=15)
STEPS = 600
PERIODS = (timedelta(hours=6), timedelta(days=2), timedelta(days=10))
RESOLUTIONS = ("raw", "auto", "1h", "1d")
REFUSED = (
    "price-history: a `price-history work`, or another rebuild, writes to this database: "
    "stop it first, and do it again\n"
)
HOLD = """
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NEW; END';
CREATE TRIGGER hold BEFORE INSERT ON products FOR EACH ROW EXECUTE FUNCTION hold();
"""
HELD = """
FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'price-history-rebuild'
AND wait_event = 'advisory'
"""


@dataclass(frozen=True)
class Market:
    """Products with what happens to them, in the order of its publishing."""

    events: list[Event]
    alive: list[UUID]
    deleted: list[UUID]
    last: dict[UUID, int]
    """The highest revision of each product's lists."""


def market() -> Market:
    """Created, repriced, sold out, ended, back, deleted; some of it told twice, and some once more when it is old."""
    draw = random.Random(11)  # noqa: S311 - the same every time
    alive, deleted, quiet = [uuid4() for _ in range(4)], [uuid4() for _ in range(2)], uuid4()
    told: list[Event] = [
        ProductCreated.of(ProductState(product_id=product, version=1, name="Mower", description=""))
        for product in (*alive, *deleted, quiet)
    ]
    last: dict[UUID, int] = {}
    for step in range(STEPS):
        if step == STEPS // 3:
            told += [ProductDeleted.of(product, 2) for product in deleted]
        changing = [product for product in (*alive, *deleted) if draw.random() < 0.8]
        if changing:
            told.append(_lists(draw, changing, step, last))
        if draw.random() < 0.1:
            told.append(told[-1])
        if draw.random() < 0.1:
            told.append(draw.choice(told))
    return Market(told, [*alive, quiet], deleted, last)


def _lists(draw: random.Random, products: Sequence[UUID], step: int, last: dict[UUID, int]) -> OffersUpdated:
    updates = []
    for product in products:
        last[product] = last.get(product, 0) + 1
        offers = [
            Offer(id=name, price=draw.randint(0, 900), items_in_stock=draw.randint(0, 2))
            for name in "abc"
            if draw.random() < 0.8
        ]
        listed = [] if draw.random() < 0.02 else offers
        at = BEGIN + step * STEP
        updates.append(OffersUpdate(product_id=product, revision=last[product], observed_at=at, offers=listed))
    return OffersUpdated.of(updates)


def settings(dsn: str, broker_url: str) -> dict[str, str]:
    return {"DATABASE_URL": dsn, "RABBITMQ_URL": broker_url}


async def rebuild(dsn: str, broker_url: str, *options: str) -> Ended:
    return await ended("price-history", "rebuild", "--from-log", *options, **settings(dsn, broker_url))


async def rebuild_told_to_do_it_again(dsn: str, broker_url: str, *options: str) -> Ended:
    """The same, as often as the log drops events just when they are to be read."""
    while "do it again: the log has no offset" in (done := await rebuild(dsn, broker_url, *options)).errors:
        pass
    return done


async def rows(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def follow(dsn: str, broker_url: str, publisher: EventPublisher, events: Sequence[Event], market: Market) -> None:
    """Publish these, and have a worker follow until it has recorded and rolled up all of them."""
    last = {
        update.product_id: update.revision
        for event in events
        if isinstance(event, OffersUpdated)
        for update in sorted(event.data.updates, key=lambda update: update.revision)
        if update.product_id not in market.deleted
    }
    deleted = any(isinstance(event, ProductDeleted) for event in events)

    async def followed() -> bool:
        found = {row[0]: row[1:] for row in await rows(dsn, "SELECT product_id, revision, deleted_at FROM products")}
        waiting = await rows(dsn, "SELECT 1 FROM rollup_queue")
        known = all(product in found and found[product][0] >= last.get(product, 0) for product in market.alive)
        buried = all(product in found and found[product][1] is not None for product in market.deleted)
        return known and (buried or not deleted) and not waiting

    async with process("price-history", "work", **settings(dsn, broker_url)):
        await publisher.publish(events)
        await eventually(followed, seconds=60)


async def answers(dsn: str, market: Market) -> list[tuple[UUID, str, Trend | list[HistoryItem]]]:
    """Every answer that anyone could get of these products, more or less."""
    database = Database(dsn, "test", Limits(2, 10, 60))
    trends, histories = ReadTrend(database), ReadHistory(database)
    found: list[tuple[UUID, str, Trend | list[HistoryItem]]] = []
    for product in market.alive:
        page = await histories.page(product, Position(BEGIN - timedelta(days=1), 0), NOW, 100_000)
        found.append((product, "history", page.items))
        for period in PERIODS:
            window = Window(to_instant(NOW - period), to_instant(NOW))
            for resolution in RESOLUTIONS:
                cut = choose_buckets(window, resolution)
                for basis in ("best_in_stock", "best"):
                    what = f"{basis} {period} {resolution}"
                    found.append((product, what, await trends.of_product(product, basis, window, cut)))
                for offer in "abc":
                    what = f"{offer} {period} {resolution}"
                    try:
                        found.append((product, what, await trends.of_offer(product, offer, window, cut)))
                    except LookupError:
                        found.append((product, f"{what} unknown", []))
    for product in market.deleted:
        with pytest.raises(UnknownProductError):
            await histories.page(product, Position(BEGIN, 0), NOW, 10)
    await database.close()
    return found


async def stored(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of living products, without the numbers that products have in this database."""
    of_products = "SELECT product_id, to_jsonb(row) - 'product_no' FROM {} AS row {} ORDER BY 1, 2"
    alive = "WHERE deleted_at IS NULL"
    return {
        "products": await rows(dsn, of_products.format("products", alive)),
        "deleted": await rows(
            dsn, "SELECT product_id, deleted_at FROM products WHERE deleted_at IS NOT NULL ORDER BY 1"
        ),
        **{
            table: await rows(dsn, of_products.format(table, f"JOIN products USING (product_no) {alive}"))
            for table in ("offers", "chunks", "rollups", "rollup_queue")
        },
    }


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


@pytest.fixture
def wiped(make_database: Callable[..., str], migrated_history: str) -> str:
    """A migrated database of the test's own."""
    return make_database(template=migrated_history)


@pytest.fixture
async def broker_of_a_short_log(
    broker_url: str, rabbitmq_url: str, rabbitmq_management: BrokerManagement, publisher: EventPublisher
) -> str:
    """The same, where the log keeps two hundred kilobytes."""
    await publisher.start()  # which declares the log as it should be
    await _make_log_anew(rabbitmq_url, segment_bytes=100_000)
    vhost = rabbitmq_url.rpartition("/")[2]
    policy = {"pattern": "^aggregator.log$", "apply-to": "queues", "definition": {"max-length-bytes": 200_000}}
    rabbitmq_management.call("PUT", f"/policies/{vhost}/log", policy)
    return broker_url


async def test_a_wiped_database_gets_all_of_it_back(
    history_dsn: str,
    wiped: str,
    broker_url: str,
    publisher: EventPublisher,
) -> None:
    told = market()
    await follow(history_dsn, broker_url, publisher, told.events, told)
    done = await rebuild(wiped, broker_url, "--afresh")
    assert (done.code, done.told["event"], done.told["unreadable"]) == (0, "history_rebuilt", 0)
    assert done.told["events"] == len(told.events)
    assert done.told["lists_known_already"] > 0
    assert (done.told["products_created"], done.told["products_deleted"]) == (7, 2)
    expected = await stored(history_dsn)
    assert all(expected[table] for table in ("products", "deleted", "offers", "chunks", "rollups"))
    assert await stored(wiped) == expected
    assert await rows(wiped, "SELECT 1 FROM outbox") == [], "what it means for best prices was told already"
    expected_answers = await answers(history_dsn, told)
    assert await answers(wiped, told) == expected_answers
    # Once more, and by forgetting first: the same.
    done = await rebuild(wiped, broker_url)
    assert (done.code, done.told["lists"], done.told["changes"]) == (0, 0, 0)
    assert (done.told["products_created"], done.told["products_deleted"]) == (0, 0)
    assert (await rebuild(wiped, broker_url, "--afresh")).code == 0
    assert await stored(wiped) == expected
    assert await answers(wiped, told) == expected_answers


async def test_a_database_restored_from_a_backup_catches_up(
    history_dsn: str,
    make_database: Callable[..., str],
    broker_url: str,
    publisher: EventPublisher,
) -> None:
    told = market()
    half = len(told.events) // 2
    await follow(history_dsn, broker_url, publisher, told.events[:half], told)
    backup = make_database(template=history_dsn)
    await follow(history_dsn, broker_url, publisher, told.events[half:], told)
    assert await stored(backup) != await stored(history_dsn)
    done = await rebuild(backup, broker_url)
    assert (done.code, done.told["event"]) == (0, "history_rebuilt")
    assert await stored(backup) == await stored(history_dsn)
    assert await answers(backup, told) == await answers(history_dsn, told)


async def test_catching_up_tells_of_lists_that_still_wait_in_the_queue_and_making_it_afresh_tells_nothing(
    history_dsn: str, broker_url: str, publisher: EventPublisher
) -> None:
    product = uuid4()

    def listed(revision: int, price: int) -> OffersUpdated:
        at = BEGIN + revision * STEP
        offers = [Offer(id="a", price=price, items_in_stock=1)]
        return OffersUpdated.of([OffersUpdate(product_id=product, revision=revision, observed_at=at, offers=offers)])

    async def told() -> list[tuple[str, list[int]]]:
        bodies = [json.loads(body) for (body,) in await rows(history_dsn, "SELECT body FROM outbox ORDER BY id")]
        return [
            (body["type"], [change["revision"] for change in body["data"]["changes"]])
            for body in bodies
            if body["type"] == BestPriceChanged.TYPE
        ]

    await publisher.publish([listed(1, 300), listed(2, 200)])
    assert (await rebuild(history_dsn, broker_url, "--afresh")).code == 0
    assert await told() == []
    await publisher.publish([listed(3, 100)])
    assert (await rebuild(history_dsn, broker_url)).code == 0
    assert await told() == [(BestPriceChanged.TYPE, [3])]
    assert (await rebuild(history_dsn, broker_url)).told["lists"] == 0
    assert await told() == [(BestPriceChanged.TYPE, [3])]


async def test_what_no_consumer_would_take_is_left_out(
    history_dsn: str, broker_url: str, rabbitmq_url: str, publisher: EventPublisher
) -> None:
    told = market()
    await publisher.publish(told.events[:8])
    async with await aio_pika.connect(rabbitmq_url) as connection:
        exchange = await (await connection.channel()).get_exchange(EXCHANGE)
        smuggled = ProductDeleted.of(told.alive[0], 9).to_json()
        for body, key in ((b"{}", OffersUpdated.TYPE), (smuggled, ProductCreated.TYPE)):
            await exchange.publish(aio_pika.Message(body), key)
    done = await rebuild(history_dsn, broker_url)
    assert (done.code, done.told["events"], done.told["unreadable"]) == (0, 8, 2)
    assert await rows(history_dsn, "SELECT 1 FROM products WHERE deleted_at IS NOT NULL") == []


async def test_it_is_refused_while_a_worker_is_connected_and_keeps_workers_out(
    history_dsn: str, broker_url: str, publisher: EventPublisher
) -> None:
    told = market()
    async with process("price-history", "work", **settings(history_dsn, broker_url)):
        await publisher.publish(told.events[:8])
        all_of_it = "SELECT 1 FROM products HAVING count(*) = 7 AND max(revision) > 0"
        await eventually(lambda: _has(history_dsn, all_of_it))
        before = await stored(history_dsn)
        done = await rebuild(history_dsn, broker_url, "--afresh", "--force")
        assert done.code == 1
        assert done.errors == REFUSED
        assert await stored(history_dsn) == before
    # The right that a rebuild has, held by somebody: a worker that comes waits for it, and then does its work.
    other = await asyncpg.connect(history_dsn)
    assert await other.fetchval("SELECT pg_try_advisory_lock($1)", 0x7772_6974)
    async with process("price-history", "work", **settings(history_dsn, broker_url)):
        await publisher.publish(told.events[8:10])
        with pytest.raises(TimeoutError):
            await eventually(lambda: _changed(history_dsn, before), seconds=3)
        assert (await rebuild(history_dsn, broker_url)).code == 1
        await other.close()
        await eventually(lambda: _changed(history_dsn, before))


async def test_forgetting_what_the_log_can_not_bring_back_is_refused_unless_it_is_forced(
    history_dsn: str, broker_url: str, rabbitmq_url: str, publisher: EventPublisher
) -> None:
    told = market()
    lists = [event for event in told.events if isinstance(event, OffersUpdated)]
    await publisher.publish(lists[:5])
    assert (await rebuild(history_dsn, broker_url)).code == 0
    before = await stored(history_dsn)
    # A log that began later than history, as that of a broker that was upgraded.
    await _make_log_anew(rabbitmq_url)
    done = await rebuild(history_dsn, broker_url, "--afresh")
    assert (done.code, done.errors.count("\n")) == (1, 1)
    assert "the log is empty" in done.errors
    done = await rebuild(history_dsn, broker_url)
    assert (done.code, done.errors.count("\n")) == (1, 1)
    assert "what is there ends at" in done.errors
    assert "the log has no offers" in done.errors
    await publisher.publish(lists[5:8])
    done = await rebuild(history_dsn, broker_url, "--afresh")
    assert (done.code, done.errors.count("\n")) == (1, 1)
    assert f"what is there begins at {BEGIN.isoformat()}, and the log begins at" in done.errors
    assert await stored(history_dsn) == before
    done = await rebuild(history_dsn, broker_url, "--afresh", "--force")
    assert done.code == 0
    assert len(await rows(history_dsn, "SELECT 1 FROM products WHERE revision > 0")) >= 1
    assert await stored(history_dsn) != before


async def test_a_log_that_lost_its_first_events_neither_brings_back_nor_joins_what_ended_before(
    history_dsn: str,
    wiped: str,
    make_database: Callable[..., str],
    broker_of_a_short_log: str,
    publisher: EventPublisher,
) -> None:
    broker_url = broker_of_a_short_log
    told = market()
    lists = [event for event in told.events if isinstance(event, OffersUpdated)]
    await publisher.publish(lists[:5])
    assert (await rebuild_told_to_do_it_again(history_dsn, broker_url)).code == 0
    backup = make_database(template=history_dsn)
    await publisher.publish(lists[5:])

    # Between its last list and the log's first one there were others.
    before = await stored(backup)
    done = await rebuild_told_to_do_it_again(backup, broker_url)
    assert (done.code, done.errors.count("\n")) == (1, 1)
    assert "what is there ends at" in done.errors
    assert await stored(backup) == before
    for options in ([], ["--afresh"]):
        done = await rebuild_told_to_do_it_again(wiped, broker_url, *options)
        assert (done.code, done.errors.count("\n")) == (1, 1)
        assert "there are no offers yet, and the log no longer has its first events" in done.errors
    # Products that never had a price would be lost as well.
    await rows(wiped, f"INSERT INTO products (product_id) VALUES ('{uuid4()}')")  # noqa: S608
    done = await rebuild_told_to_do_it_again(wiped, broker_url, "--afresh")
    assert (done.code, done.errors.count("\n")) == (1, 1)
    assert len(await rows(wiped, "SELECT 1 FROM products")) == 1

    # It may be what is wanted; and what reaches into the log needs no force.
    assert (await rebuild_told_to_do_it_again(backup, broker_url, "--force")).code == 0
    after = await stored(backup)
    assert after != before
    assert (await rebuild_told_to_do_it_again(backup, broker_url)).code == 0
    done = await rebuild_told_to_do_it_again(backup, broker_url, "--afresh")
    assert (done.code, done.errors.count("\n")) == (1, 1)
    assert "no longer has its first events" in done.errors
    assert await stored(backup) == after


async def test_what_ends_a_rebuild_half_way_says_how_to_go_on(
    history_dsn: str, as_administrator: Callable[[str], str], broker_url: str, publisher: EventPublisher
) -> None:
    told = market()
    await publisher.publish(told.events)
    assert (await rebuild(history_dsn, broker_url)).code == 0
    expected = await stored(history_dsn)
    administrator = await asyncpg.connect(as_administrator(history_dsn))
    await administrator.execute(HOLD)
    for end, code, words in (
        ("SIGTERM", 128 + signal.SIGTERM, "stopped before it was done, do it again, without --afresh\n"),
        ("the loss of its connection", 1, "not done, do it again, without --afresh: "),
    ):
        await administrator.execute("SELECT pg_advisory_lock(42)")
        rebuilding = ("price-history", "rebuild", "--from-log", "--afresh")
        async with started(*rebuilding, settings=settings(history_dsn, broker_url), stderr=PIPE) as running:
            await eventually(lambda: _has(history_dsn, f"SELECT 1 {HELD}"))
            assert await rows(history_dsn, "SELECT 1 FROM products") == [], "forgotten"
            if end == "SIGTERM":
                running.send_signal(signal.SIGTERM)
            else:
                await administrator.execute(f"SELECT pg_terminate_backend(pid) {HELD}")
            _, errors = await asyncio.wait_for(running.communicate(), 60)
        assert (running.returncode, errors.decode().count("\n")) == (code, 1), errors
        assert errors.decode().startswith(f"price-history: {words}")
        await administrator.execute("SELECT pg_advisory_unlock(42)")
        assert (await rebuild(history_dsn, broker_url)).code == 0
        assert await stored(history_dsn) == expected
    await administrator.close()


async def test_an_absent_broker_or_database_is_an_error_of_one_line(history_dsn: str, broker_url: str) -> None:
    for dsn, url in ((history_dsn, "amqp://127.0.0.1:1/"), ("postgresql://nobody@127.0.0.1:1/none", broker_url)):
        done = await rebuild(dsn, url, "--afresh")
        assert (done.code, done.errors.count("\n")) == (1, 1), done
        assert done.errors.startswith("price-history: not done, do it again: "), (
            "with --afresh, as nothing was forgotten"
        )


async def test_options_that_make_no_sense_are_refused(history_dsn: str) -> None:
    for options in (["--afresh"], ["--force"]):
        done = await ended("price-history", "rebuild", *options, **settings(history_dsn, "amqp://127.0.0.1:1/"))
        assert done.code == 2


async def _make_log_anew(url: str, segment_bytes: int = 2**24) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(LOG)
        arguments: Any = {"x-queue-type": "stream", "x-stream-max-segment-size-bytes": segment_bytes}
        await (await channel.declare_queue(LOG, durable=True, arguments=arguments)).bind(EXCHANGE, "#")


async def _has(dsn: str, statement: str) -> bool:
    return bool(await rows(dsn, statement))


async def _changed(dsn: str, before: Mapping[str, Any]) -> bool:
    return await stored(dsn) != before
