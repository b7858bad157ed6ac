"""What lists mean for best prices is told to other systems: exactly, and once, whatever breaks."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import asyncpg
import pytest
from tests.integration.processes import eventually, process, started

from aggregator_contracts import Offer, OffersUpdate, OffersUpdated, parse_event
from aggregator_contracts.topology import EXCHANGE
from event_bus import EventPublisher
from outbox.relay import LOCK_KEY
from price_history.db.engine import Database
from price_history.db.snapshots import Snapshots
from price_history.domain.recording import ObservedList
from price_history.use_cases.derived_events import derived_events, no_events
from price_history.use_cases.record_offers import EventsOf, RecordOffers

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

Listed = list[tuple[str, int, int]]
Json = dict[str, Any]


@dataclass
class Subscriber:
    """Another system, which keeps what it was sent about prices, event by event, valid by the contract."""

    queue: aio_pika.abc.AbstractQueue
    events: list[Json] = field(default_factory=list)

    async def read(self) -> None:
        """Take what has arrived."""
        while (message := await self.queue.get(fail=False)) is not None:
            parse_event(message.body)
            self.events.append(json.loads(message.body))
            await message.ack()

    def told(self, product: UUID) -> list[Json]:
        """What was said of a product, with the event's type; once for each event."""
        events = {event["id"]: event for event in self.events}.values()
        return [
            {"type": event["type"], **{name: value for name, value in change.items() if name != "product_id"}}
            for event in events
            for change in event["data"]["changes"]
            if change["product_id"] == str(product)
        ]

    async def has_told(self, product: UUID, count: int) -> bool:
        """Whether so much was said of a product."""
        await self.read()
        return len(self.told(product)) >= count


@pytest.fixture
async def subscriber(rabbitmq_url: str, publisher: EventPublisher) -> AsyncIterator[Subscriber]:
    await publisher.start()  # declares the exchange
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(f"subscriber.{uuid4()}", exclusive=True)
        await queue.bind(EXCHANGE, "prices.#")
        yield Subscriber(queue)


def updated(product: UUID, revision: int, offers: Listed) -> OffersUpdated:
    update = OffersUpdate(
        product_id=product,
        revision=revision,
        observed_at=NOON + revision * MINUTE,
        offers=[Offer(id=offer_id, price=price, items_in_stock=stock) for offer_id, price, stock in offers],
    )
    return OffersUpdated.of([update])


def at(revision: int) -> str:
    return f"{NOON + revision * MINUTE:%Y-%m-%dT%H:%M:%SZ}"


def best(
    revision: int, old: int | None, new: int | None, percent: float | None, offer: str | None, *cause: str
) -> Json:
    return {
        "type": "prices.best-price-changed.v1",
        "revision": revision,
        "at": at(revision),
        "old_price": old,
        "new_price": new,
        "change_percent": percent,
        "offer_id": offer,
        "cause": cause[0],
        "cause_offer_id": cause[1],
    }


def new_low(revision: int, price: int, offer: str, previous: int) -> Json:
    return {
        "type": "prices.new-low.v1",
        "revision": revision,
        "at": at(revision),
        "price": price,
        "offer_id": offer,
        "previous_low_30_days": previous,
        "lowest_ever": True,
        "previous_low_ever": previous,
        "watched_since": at(1),
    }


LISTS: list[Listed] = [
    [("a", 100, 1), ("b", 120, 1)],
    [("a", 90, 1), ("b", 120, 1)],
    [("a", 90, 1), ("b", 120, 1), ("c", 80, 2)],
    [("a", 90, 1), ("b", 120, 1)],
    [("a", 90, 0), ("b", 120, 1)],
    [("a", 90, 0), ("b", 120, 0)],
    [("a", 90, 0), ("b", 70, 3)],
    [],
]
TOLD = [
    best(1, None, 100, None, "a", "appeared", "a"),
    best(2, 100, 90, -10.0, "a", "repriced", "a"),
    new_low(2, 90, "a", 100),
    best(3, 90, 80, -11.11, "c", "appeared", "c"),
    new_low(3, 80, "c", 90),
    best(4, 80, 90, 12.5, "a", "ended", "c"),
    best(5, 90, 120, 33.33, "b", "stock", "a"),
    best(6, 120, None, None, None, "stock", "b"),
    {"type": "prices.out-of-stock.v1", "revision": 6, "at": at(6), "last_price": 120},
    best(7, None, 70, None, "b", "stock", "b"),
    new_low(7, 70, "b", 80),
    {
        "type": "prices.back-in-stock.v1",
        "revision": 7,
        "at": at(7),
        "price": 70,
        "offer_id": "b",
        "out_of_stock_since": at(6),
    },
    best(8, 70, None, None, None, "ended", "b"),
    {"type": "prices.out-of-stock.v1", "revision": 8, "at": at(8), "last_price": 70},
]


async def test_lists_are_followed_by_what_they_mean(
    history_dsn: str, broker_accounts: Callable[[str], str], publisher: EventPublisher, subscriber: Subscriber
) -> None:
    product, later = uuid4(), uuid4()
    lists = [updated(product, revision, offers) for revision, offers in enumerate(LISTS, start=1)]
    settings = {"DATABASE_URL": history_dsn, "RABBITMQ_URL": broker_accounts("price-history")}
    async with process("price-history", "work", **settings):
        await publisher.publish(lists)
        await eventually(lambda: subscriber.has_told(product, len(TOLD)))
        # Once more, as a broker may deliver them; then what is to be told.
        await publisher.publish([*lists, updated(later, 1, [("a", 1, 1)])])
        await eventually(lambda: subscriber.has_told(later, 1))
    assert in_order(subscriber.told(product)) == in_order(TOLD)
    assert all("subject" not in event and event["source"] == "/price-history" for event in subscriber.events)


def in_order(told: list[Json]) -> list[Json]:
    return sorted(told, key=lambda entry: (entry["revision"], entry["type"]))


async def test_what_was_stored_and_not_yet_published_as_the_process_died_is_told_by_the_next_one(
    history_dsn: str, broker_accounts: Callable[[str], str], publisher: EventPublisher, subscriber: Subscriber
) -> None:
    product = uuid4()
    settings = {"DATABASE_URL": history_dsn, "RABBITMQ_URL": broker_accounts("price-history")}
    async with relay_held_back(history_dsn) as database:
        async with started("price-history", "work", settings=settings):  # and killed
            await publisher.publish([updated(product, 1, [("a", 100, 1)]), updated(product, 2, [("a", 90, 1)])])
            await eventually(lambda: has_stored(database, product, revision=2))
        assert not await subscriber.has_told(product, 1)
    async with process("price-history", "work", **settings):
        await eventually(lambda: subscriber.has_told(product, 3))
    assert in_order(subscriber.told(product)) == in_order(TOLD[:3])


async def test_killed_again_and_again_it_tells_each_change_under_one_id(
    history_dsn: str, broker_accounts: Callable[[str], str], publisher: EventPublisher, subscriber: Subscriber
) -> None:
    product, part, kills = uuid4(), 80, 4
    last = part * (kills + 1)
    settings = {"DATABASE_URL": history_dsn, "RABBITMQ_URL": broker_accounts("price-history")}

    async def publish_more(told: int) -> None:
        revisions = range(told + 1, told + part + 1)
        await publisher.publish(updated(product, revision, [("a", 1000 + revision, 1)]) for revision in revisions)

    for told in range(0, last - part, part):
        await publish_more(told)
        async with started("price-history", "work", settings=settings):  # and killed, with some of them in hand
            await eventually(lambda heard=told + 1: subscriber.has_told(product, heard))  # type: ignore[misc]
    await publish_more(last - part)
    async with process("price-history", "work", **settings):
        await eventually(lambda: subscriber.has_told(product, last))
    changes = [(change["revision"], change["old_price"], change["new_price"]) for change in subscriber.told(product)]
    assert changes == [(n, None if n == 1 else 999 + n, 1000 + n) for n in range(1, last + 1)]


@asynccontextmanager
async def relay_held_back(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """No relay of this database publishes meanwhile: they stand by, as if another one did."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
    try:
        yield connection
    finally:
        await connection.close()


async def has_stored(database: "asyncpg.Connection[asyncpg.Record]", product: UUID, revision: int) -> bool:
    found = await database.fetchval("SELECT revision FROM products WHERE product_id = $1", product)
    return bool(found == revision)


async def outbox(dsn: str) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(
            "SELECT type, body, pg_column_compression(body) AS packed FROM outbox ORDER BY id"
        )
    finally:
        await connection.close()


async def test_a_hundred_products_share_an_event_which_is_stored_as_it_is(database: Database, history_dsn: str) -> None:
    record = RecordOffers(database, Snapshots(1000), derived_events)
    products = [uuid4() for _ in range(250)]
    for revision in (1, 2):
        await record({product: observed(revision, [("a", 100 - revision, 1)]) for product in products})
    rows = await outbox(history_dsn)
    sizes = [(row["type"].split(".")[1], len(json.loads(row["body"])["data"]["changes"])) for row in rows]
    each = [100, 100, 50]
    expected = [("best-price-changed", each), ("best-price-changed", each), ("new-low", each)]
    assert sizes == [(kind, size) for kind, those in expected for size in those]
    assert {row["packed"] for row in rows} == {None}


async def test_history_is_recorded_the_same_when_nothing_is_to_be_told(database: Database, history_dsn: str) -> None:
    told, silent = uuid4(), uuid4()
    for product, events_of in ((told, derived_events), (silent, no_events)):
        record = RecordOffers(database, Snapshots(1000), events_of)
        for revision, offers in enumerate(LISTS, start=1):
            await record({product: observed(revision, offers)})
    bodies = "".join(row["body"] for row in await outbox(history_dsn))
    assert str(told) in bodies
    assert str(silent) not in bodies
    async with database.querying() as connection:
        rows = await connection.fetch(
            "SELECT product_id, revision, last_change_at, head, offers, track_record FROM products"
        )
    states = {row["product_id"]: [bytes(v) if isinstance(v, bytes) else v for v in list(row)[1:]] for row in rows}
    assert states[told] == states[silent]


async def test_where_nothing_is_derived_nothing_is_told_and_products_are_watched_anew_afterwards(
    database: Database, history_dsn: str
) -> None:
    product = uuid4()

    async def record(events_of: EventsOf | None, revision: int, price: int) -> None:
        await RecordOffers(database, Snapshots(10), events_of)({product: observed(revision, [("a", price, 1)])})

    await record(derived_events, 1, 50)
    await record(None, 2, 200)
    [first] = await outbox(history_dsn)
    await record(derived_events, 3, 100)
    _, change, low = [json.loads(row["body"]) for row in await outbox(history_dsn)]
    assert first["type"] == change["type"] == "prices.best-price-changed.v1"
    assert (change["data"]["changes"][0]["old_price"], low["type"]) == (200, "prices.new-low.v1")
    since = datetime.fromisoformat(low["data"]["changes"][0]["watched_since"])
    assert (since, low["data"]["changes"][0]["previous_low_ever"]) == (NOON + 2 * MINUTE, 200)


def observed(revision: int, offers: Listed) -> ObservedList:
    return ObservedList.of(revision, NOON + revision * MINUTE, offers)
