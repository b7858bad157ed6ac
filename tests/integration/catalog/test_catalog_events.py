"""What the catalog makes of others' events: the offers read model, the registration; and its own through the relay."""

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.integration.processes import eventually

from aggregator_contracts import (
    Offer,
    OffersUpdate,
    OffersUpdated,
    ProductRegistered,
    ProductRegistrationFailed,
)
from aggregator_contracts.topology import CATALOG_OFFERS, SYNC_PRODUCTS
from catalog_api import bootstrap
from catalog_api.db.database import Database
from catalog_api.domain.errors import DatabaseUnavailableError
from catalog_api.settings import WorkSettings
from catalog_api.use_cases.apply_offers import ApplyOffers
from catalog_api.use_cases.apply_registration import ApplyRegistration
from event_bus import EventConsumer, EventPublisher, ReceivedOffersUpdated

from .conftest import PRODUCT, UNKNOWN, Api

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def update(product: str, revision: int, *offers: tuple[str, int, int], minutes: float | None = None) -> OffersUpdate:
    return OffersUpdate(
        product_id=UUID(product),
        revision=revision,
        observed_at=at(revision if minutes is None else minutes),
        offers=[Offer(id=id_, price=price, items_in_stock=stock) for id_, price, stock in offers],
    )


async def apply(database: Database, *updates: OffersUpdate) -> None:
    await ApplyOffers(database)(ReceivedOffersUpdated.of(OffersUpdated.of(list(updates))))


async def test_before_the_first_observation_there_are_no_offers(api: Api) -> None:
    product = (await api.create())["id"]
    offers = await api("GET", f"/products/{product}/offers")
    assert (offers.status, offers.json) == (200, {"product_id": product, "observed_at": None, "items": []})


async def test_offers_are_shown_cheapest_first_with_the_best_price_in_stock(api: Api, database: Database) -> None:
    product = (await api.create())["id"]
    await apply(database, update(product, 1, ("b", 10, 0), ("c", 20, 1), ("a", 20, 5), ("d", 2**63 - 1, 2**31 - 1)))
    offers = (await api("GET", f"/products/{product}/offers")).json
    assert offers["observed_at"] == text(at(1))
    assert [(offer["id"], offer["price"], offer["items_in_stock"]) for offer in offers["items"]] == [
        ("b", 10, 0),
        ("a", 20, 5),
        ("c", 20, 1),
        ("d", 2**63 - 1, 2**31 - 1),
    ]
    assert {(offer["first_seen_at"], offer["changed_at"]) for offer in offers["items"]} == {(text(at(1)), text(at(1)))}
    shown = await api("GET", f"/products/{product}")
    assert (shown.json["best_price"], shown.json["offers_count"]) == (20, 4)
    assert shown.json["offers_observed_at"] == text(at(1))
    assert (shown.json["version"], shown.headers["ETag"]) == (1, '"1"')


async def test_offers_keep_their_history_while_they_stay(api: Api, database: Database) -> None:
    product = (await api.create())["id"]
    await apply(database, update(product, 1, ("same", 1, 1), ("price", 1, 1), ("stock", 1, 1), ("ends", 1, 1)))
    await apply(database, update(product, 2, ("same", 1, 1), ("price", 2, 1), ("stock", 1, 2)))
    await apply(database, update(product, 3, ("same", 1, 1), ("ends", 1, 1), ("new", 0, 1)))
    items = (await api("GET", f"/products/{product}/offers")).json["items"]
    assert {offer["id"]: (offer["first_seen_at"], offer["changed_at"]) for offer in items} == {
        "same": (text(at(1)), text(at(1))),
        "ends": (text(at(3)), text(at(3))),
        "new": (text(at(3)), text(at(3))),
    }
    await apply(database, update(product, 4))
    gone = (await api("GET", f"/products/{product}/offers")).json
    assert (gone["items"], gone["observed_at"]) == ([], text(at(4)))
    shown = (await api("GET", f"/products/{product}")).json
    assert (shown["best_price"], shown["offers_count"]) == (None, 0)


async def test_a_price_of_zero_is_a_price(api: Api, database: Database) -> None:
    product = (await api.create())["id"]
    await apply(database, update(product, 1, ("free", 0, 1)))
    assert (await api("GET", f"/products/{product}")).json["best_price"] == 0


async def test_deleted_products_are_ignored(api: Api, database: Database, sql: Any) -> None:
    kept, deleted = (await api.create())["id"], (await api.create())["id"]
    await api("DELETE", f"/products/{deleted}")
    await apply(
        database, update(deleted, 1, ("a", 1, 1)), update(kept, 1, ("a", 1, 1)), update(UNKNOWN, 1, ("a", 1, 1))
    )
    (await api("GET", f"/products/{deleted}/offers")).problem(404)
    assert (await api("GET", f"/products/{kept}")).json["best_price"] == 1
    assert await sql.fetchval("SELECT count(*) FROM product_offers") == 1


async def end_state(api: Api, products: Sequence[str]) -> list[Any]:
    states = []
    for product in products:
        offers = (await api("GET", f"/products/{product}/offers")).json
        shown = (await api("GET", f"/products/{product}")).json
        items = [(offer["id"], offer["price"], offer["items_in_stock"]) for offer in offers["items"]]
        states.append((items, offers["observed_at"], shown["best_price"], shown["offers_count"]))
    return states


async def test_duplicates_and_any_order_end_in_the_same_offers(api: Api, database: Database) -> None:
    updates = [
        lambda product: update(product, 1, ("a", 1, 1), ("b", 2, 0)),
        lambda product: update(product, 2, ("a", 3, 1)),
        lambda product: update(product, 2, ("a", 4, 1), minutes=2.5),  # the same revision, observed later
        lambda product: update(product, 3, ("b", 5, 7), ("c", 6, 0), minutes=1),  # a clock that was set back
    ]
    states = set()
    for order in itertools.permutations(range(len(updates))):
        product = (await api.create())["id"]
        for index in [*order, *random.sample(order, 2)]:
            await apply(database, updates[index](product))
        states.add(str(await end_state(api, [product])))
    assert len(states) == 1
    assert "('b', 5, 7)" in states.pop()


async def test_concurrent_messages_about_the_same_products_do_not_deadlock(api: Api, database: Database) -> None:
    products = [(await api.create())["id"] for _ in range(20)]
    messages = []
    for revision in range(1, 11):
        shuffled = random.sample(products, len(products))
        messages.append([update(product, revision, ("a", revision, 1)) for product in shuffled])
    await asyncio.gather(
        *(apply(database, *message) for message in messages), api("DELETE", f"/products/{products[0]}")
    )
    for product in products[1:]:
        assert (await api("GET", f"/products/{product}")).json["best_price"] == 10


def registered(product: str, minutes: float) -> ProductRegistered:
    return ProductRegistered.of(UUID(product), at(minutes))


def failed(product: str, minutes: float) -> ProductRegistrationFailed:
    return ProductRegistrationFailed.of(UUID(product), "BAD_REQUEST: no", at(minutes))


async def registration(api: Api, product: str) -> str:
    state: str = (await api("GET", f"/products/{product}")).json["registration"]
    return state


async def test_the_latest_registration_event_wins_in_any_order(api: Api, database: Database) -> None:
    handle = ApplyRegistration(database)
    for order in itertools.permutations(range(3)):
        product = (await api.create())["id"]
        events: list[Any] = [failed(product, 1), registered(product, 2), failed(product, 1.5)]
        for index in [*order, *order]:
            await handle(events[index])
        assert await registration(api, product) == "registered"


async def test_registration_leaves_version_and_etag_alone(api: Api, database: Database) -> None:
    product = await api.create()
    await ApplyRegistration(database)(registered(product["id"], 1))
    read = await api("GET", f"/products/{product['id']}")
    assert read.json == product | {"registration": "registered"}
    assert read.headers["ETag"] == '"1"'


async def test_changing_a_refused_product_makes_it_pending_again(api: Api, database: Database) -> None:
    product = (await api.create())["id"]
    path = f"/products/{product}"
    handle = ApplyRegistration(database)
    await handle(failed(product, 5))
    assert (await api("PATCH", path, json={})).json["registration"] == "failed"
    assert (await api("PATCH", path, json={"name": "other"})).json["registration"] == "pending"
    assert await registration(api, product) == "pending"
    await handle(registered(product, 4))  # by a worker whose clock runs behind
    assert await registration(api, product) == "registered"
    assert (await api("PUT", path, json=PRODUCT)).json["registration"] == "registered"


async def test_events_about_products_that_are_gone_are_ignored(database: Database) -> None:
    await ApplyRegistration(database)(registered(UNKNOWN, 1))
    await ApplyRegistration(database)(failed(UNKNOWN, 1))


@pytest.fixture
def work_settings(catalog_dsn: str, broker_accounts: Callable[[str], str]) -> WorkSettings:
    broker_url = broker_accounts("catalog-api")
    return WorkSettings(database_url=catalog_dsn, rabbitmq_url=broker_url, price_history_url="http://127.0.0.1:9")


async def test_the_worker_consumes_and_relays(
    api: Api, work_settings: WorkSettings, broker_accounts: Callable[[str], str], sql: Any
) -> None:
    received: list[Any] = []
    stopping = asyncio.Event()
    worker = bootstrap.worker(work_settings)
    other_system = EventConsumer(broker_accounts("offers-sync"))

    async def receive(event: Any) -> None:
        received.append(json.loads(event.to_json())["data"])

    other_system.subscribe(SYNC_PRODUCTS, receive)
    publisher = EventPublisher(broker_accounts("offers-sync"))
    async with worker.database:
        loops = [
            asyncio.create_task(run(stopping)) for run in (worker.relay.run, worker.consumer.run, other_system.run)
        ]
        product = await api.create()
        await api("PATCH", f"/products/{product['id']}", json={"name": "changed"})
        observed = update(product["id"], 1, ("a", 7, 1))
        await publisher.publish([OffersUpdated.of([observed]), registered(product["id"], 1)])

        async def all_is_done() -> bool:
            shown = (await api("GET", f"/products/{product['id']}")).json
            left = await sql.fetchval("SELECT count(*) FROM outbox")
            return (shown["best_price"], shown["registration"], len(received), left) == (7, "registered", 2, 0)

        await eventually(all_is_done)
        assert await worker.readiness.failing() == {}
        stopping.set()
        await asyncio.wait_for(asyncio.gather(*loops), 15)
    await publisher.stop()
    await worker.publisher.stop()
    assert [(data["version"], data["name"]) for data in received] == [(1, PRODUCT["name"]), (2, "changed")]


async def test_while_the_database_is_away_messages_wait(
    api: Api, database: Database, broker_accounts: Callable[[str], str], sql: asyncpg.Connection
) -> None:
    product = await api.create()
    refused, stopping = asyncio.Event(), asyncio.Event()
    consumer = EventConsumer(broker_accounts("catalog-api"), transient=(DatabaseUnavailableError,))
    apply_offers = ApplyOffers(database)

    async def watched(event: ReceivedOffersUpdated) -> None:
        try:
            await apply_offers(event)
        except DatabaseUnavailableError:
            refused.set()
            raise

    async def applied() -> bool:
        return bool((await api("GET", f"/products/{product['id']}")).json["best_price"] == 7)

    consumer.subscribe(CATALOG_OFFERS, watched)
    publisher = EventPublisher(broker_accounts("offers-sync"))
    consuming = asyncio.create_task(consumer.run(stopping))
    await sql.execute("ALTER TABLE product_offers RENAME TO elsewhere")  # as if no migration had run yet
    try:
        await publisher.publish([OffersUpdated.of([update(product["id"], 1, ("a", 7, 1))])])
        await asyncio.wait_for(refused.wait(), 20)
    finally:
        await sql.execute("ALTER TABLE elsewhere RENAME TO product_offers")
    await eventually(applied)
    stopping.set()
    await asyncio.wait_for(consuming, 15)
    await publisher.stop()
