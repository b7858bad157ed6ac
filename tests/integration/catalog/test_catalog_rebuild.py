"""The offers read model made from the log is the one that was: all of it, the part that is missing, or a refusal."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import aio_pika
import pytest
from tests.integration.processes import Ended, ended, eventually, process

from aggregator_contracts import (
    Event,
    Offer,
    OffersUpdate,
    OffersUpdated,
    ProductRegistered,
    ProductRegistrationFailed,
)
from aggregator_contracts.topology import LOG
from event_bus import EventPublisher

from .conftest import Api

BEGIN = datetime.now(UTC) - timedelta(hours=3)
STEPS = 150
REFUSED = (
    "catalog-api: a `catalog-api work`, or another rebuild, writes to this database: stop it first, and do it again\n"
)
WIPE = """
UPDATE product_offers SET revision = 0, observed_at = NULL, best_price = NULL, offers_count = 0, offers = '[]'
"""


def happenings(products: Sequence[UUID]) -> list[Event]:
    """Registered, repriced, ended, back; some of it told twice, and some once more when it is old."""
    draw = random.Random(5)  # noqa: S311 - the same every time
    told: list[Event] = [ProductRegistrationFailed.of(products[0], "refused", BEGIN)]
    told += [ProductRegistered.of(product, BEGIN + timedelta(minutes=1)) for product in products]
    revisions = dict.fromkeys(products, 0)
    for step in range(STEPS):
        changing = [product for product in products if draw.random() < 0.7] or [products[0]]
        updates = []
        for product in changing:
            revisions[product] += 1
            names = [name for name in "abcd" if draw.random() < 0.8]
            offers = [Offer(id=name, price=draw.randint(1, 3), items_in_stock=draw.randint(0, 1)) for name in names]
            at = BEGIN + step * timedelta(minutes=1)
            updates.append(OffersUpdate(product_id=product, revision=revisions[product], observed_at=at, offers=offers))
        told.append(OffersUpdated.of(updates))
        if draw.random() < 0.2:
            told.append(draw.choice(told))
    return told


@dataclass(frozen=True)
class Catalog:
    """Where its worker and its rebuild connect to, and a way to look."""

    dsn: str
    broker_url: str
    sql: Any

    @property
    def settings(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.dsn,
            "RABBITMQ_URL": self.broker_url,
            "PRICE_HISTORY_URL": "http://127.0.0.1:9",
        }


async def rebuild(catalog: Catalog, *options: str) -> Ended:
    return await ended("catalog-api", "rebuild-offers", "--from-log", *options, **catalog.settings)


async def stored(sql: Any) -> list[tuple[Any, ...]]:
    """All that events have made, without the relay's outbox."""
    rows = await sql.fetch(
        "SELECT id, registration, registration_changed_at, revision, observed_at, best_price, offers_count,"
        " offers::text FROM products JOIN product_offers ON product_id = id ORDER BY id"
    )
    return [tuple(row) for row in rows]


async def follow(catalog: Catalog, publisher: EventPublisher, events: Sequence[Event]) -> None:
    """Publish these, and have a worker follow until it has applied all of them."""
    last: dict[UUID, int] = {}
    for event in events:
        if isinstance(event, OffersUpdated):
            for update in event.data.updates:
                last[update.product_id] = max(update.revision, last.get(update.product_id, 0))

    async def followed() -> bool:
        found = {row[0]: row for row in await stored(catalog.sql)}
        return all(
            row[1] == "registered" and row[3] == last[product] for product, row in found.items() if product in last
        )

    async with process("catalog-api", "work", **catalog.settings):
        await publisher.publish(events)
        await eventually(followed, seconds=60)


@pytest.fixture
def catalog(catalog_dsn: str, broker_accounts: Callable[[str], str], sql: Any) -> Catalog:
    """With the accounts that the service has."""
    return Catalog(catalog_dsn, broker_accounts("catalog-api"), sql)


@pytest.fixture
async def publisher(rabbitmq_url: str) -> AsyncIterator[EventPublisher]:
    """Stands for offers-sync."""
    publisher = EventPublisher(rabbitmq_url)
    yield publisher
    await publisher.stop()


async def test_what_was_wiped_or_is_missing_comes_back_as_it_was(
    api: Api, catalog: Catalog, publisher: EventPublisher
) -> None:
    products = [UUID((await api.create())["id"]) for _ in range(5)]
    events = happenings(products)
    half = len(events) // 2
    await follow(catalog, publisher, events[:half])
    backup = await catalog.sql.fetch("SELECT * FROM product_offers")
    await follow(catalog, publisher, events[half:])
    expected = await stored(catalog.sql)
    shown = [(await api("GET", f"/products/{product}/offers")).json for product in products]

    await catalog.sql.execute(WIPE)
    await catalog.sql.execute("UPDATE products SET registration = 'pending', registration_changed_at = NULL")
    assert await stored(catalog.sql) != expected
    done = await rebuild(catalog)
    assert (done.code, done.told["event"], done.told["unreadable"]) == (0, "offers_rebuilt", 0)
    updates = sum(len(event.data.updates) for event in events if isinstance(event, OffersUpdated))
    assert done.told["lists"] + done.told["lists_known_already"] == updates
    assert done.told["lists"] == sum(row[3] for row in expected), "each revision once"
    assert done.told["registrations"] == len(products) + 1, "one of them failed at first"
    assert await stored(catalog.sql) == expected
    assert [(await api("GET", f"/products/{product}/offers")).json for product in products] == shown

    await catalog.sql.execute("DELETE FROM product_offers")
    await catalog.sql.executemany(
        f"INSERT INTO product_offers VALUES ({', '.join(f'${n + 1}' for n in range(len(backup[0])))})",  # noqa: S608
        [tuple(row) for row in backup],
    )
    assert await stored(catalog.sql) != expected
    done = await rebuild(catalog)
    assert done.code == 0
    assert done.told["lists"] > 0 == done.told["registrations"], "only what was missing"
    assert await stored(catalog.sql) == expected

    # What is wrong though its revision is right is put right by forgetting first.
    await catalog.sql.execute("UPDATE product_offers SET best_price = 77, offers = '[]'")
    assert (await rebuild(catalog)).code == 0
    assert await stored(catalog.sql) != expected
    assert (await rebuild(catalog, "--afresh")).code == 0
    assert await stored(catalog.sql) == expected


async def test_it_is_refused_while_a_worker_is_connected(api: Api, catalog: Catalog, publisher: EventPublisher) -> None:
    products = [UUID((await api.create())["id"])]
    await follow(catalog, publisher, happenings(products))
    expected = await stored(catalog.sql)
    async with process("catalog-api", "work", **catalog.settings):
        await eventually(lambda: _is_connected(catalog.sql))
        done = await rebuild(catalog, "--afresh", "--force")
        assert (done.code, done.errors) == (1, REFUSED)
    assert await stored(catalog.sql) == expected
    assert (await rebuild(catalog)).code == 0


async def test_forgetting_what_the_log_can_not_bring_back_is_refused_unless_it_is_forced(
    api: Api, catalog: Catalog, publisher: EventPublisher
) -> None:
    products = [UUID((await api.create())["id"])]
    events = happenings(products)
    await publisher.publish(events)
    assert (await rebuild(catalog)).code == 0
    await catalog.sql.execute("UPDATE product_offers SET observed_at = observed_at - interval '1 day'")
    before = await stored(catalog.sql)
    done = await rebuild(catalog, "--afresh")
    assert (done.code, done.errors.count("\n")) == (1, 1)
    assert "what is there begins at" in done.errors
    assert await stored(catalog.sql) == before
    assert (await rebuild(catalog, "--afresh", "--force")).code == 0
    assert await stored(catalog.sql) != before


async def test_a_log_that_does_not_join_what_is_there_is_refused_unless_it_is_forced(
    api: Api, catalog: Catalog, publisher: EventPublisher, rabbitmq_url: str
) -> None:
    products = [UUID((await api.create())["id"])]
    events = happenings(products)
    half = len(events) // 2
    await publisher.publish(events[:half])
    assert (await rebuild(catalog)).code == 0
    before = await stored(catalog.sql)
    async with await aio_pika.connect(rabbitmq_url) as connection:
        await (await connection.channel()).queue_delete(LOG)
    await publisher.stop()  # to declare it again
    later = [event for event in events[half + 1 :] if isinstance(event, OffersUpdated)]
    await publisher.publish([event for event in later if event.data.updates[0].observed_at > before[0][4]][1:])
    done = await rebuild(catalog)
    assert (done.code, done.errors.count("\n")) == (1, 1)
    assert "what is there ends at" in done.errors
    assert await stored(catalog.sql) == before
    assert (await rebuild(catalog, "--force")).code == 0
    assert await stored(catalog.sql) != before


async def test_an_absent_broker_or_database_is_an_error_of_one_line(catalog: Catalog) -> None:
    nowhere = {"broker_url": "amqp://127.0.0.1:1/"}, {"dsn": "postgresql://nobody@127.0.0.1:1/none"}
    for absent in nowhere:
        done = await rebuild(replace(catalog, **absent), "--afresh")
        assert (done.code, done.errors.count("\n")) == (1, 1), done
        assert done.errors.startswith("catalog-api: not done, do it again: "), "with --afresh, as nothing was forgotten"


async def _is_connected(sql: Any) -> bool:
    found: bool = await sql.fetchval(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
    )
    return found
