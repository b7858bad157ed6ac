"""The whole mission, two copies of every worker, against an Offers MS and a subscriber that share no code with it."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from math import floor
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import psycopg2
import pytest
import pytest_asyncio
from tests.e2e.documented_offers_ms import DocumentedOffersMs

from devstack.settings import StackSettings
from devstack.stack import Stack
from offers_sync.db.models import BUCKETS

INTERVAL = 2.0
ANSWER_SECONDS = 0.005
"""What the API takes to answer on a quiet machine."""
LOOK_SECONDS = 0.025
WORKERS = ("catalog-api-work", "offers-sync-work", "price-history-work")

pytestmark = pytest.mark.asyncio(loop_scope="module")
Json = dict[str, Any]


@pytest.fixture(scope="module")
def offers_ms() -> Iterator[DocumentedOffersMs]:
    service = DocumentedOffersMs()
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def stack(offers_ms: DocumentedOffersMs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = StackSettings.from_environment(
        {
            "STACK_DIR": str(tmp_path_factory.mktemp("stack")),
            **dict.fromkeys(("CATALOG_PORT", "PRICE_HISTORY_PORT", "SIMULATOR_PORT", "RABBITMQ_PORT"), "0"),
            "OFFERS_BASE_URL": offers_ms.base_url,
            "OFFERS_POLL_INTERVAL_SECONDS": f"{INTERVAL:g}",
            "SCALE": ",".join(f"{worker}=2" for worker in WORKERS),
        }
    )
    with Stack(settings) as stack:
        yield stack


@pytest.fixture(scope="module")
def description(stack: Stack) -> Json:
    """What other programs read: the file, not the object."""
    described: Json = json.loads((Path(stack.settings.folder) / "stack.json").read_text())
    return described


class Subscriber:
    """Another system: an AMQP client with a queue of its own, bound to everything."""

    def __init__(self) -> None:
        self.messages: list[aio_pika.abc.AbstractIncomingMessage] = []

    async def __call__(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        self.messages.append(message)

    def events(self, kind: str | None = None) -> list[Json]:
        bodies = [json.loads(message.body) for message in self.messages]
        return [body for body in bodies if kind in (None, body["type"])]

    def updates_of(self, product_id: str) -> list[Json]:
        updates = (u for event in self.events("offers.offers-updated.v1") for u in event["data"]["updates"])
        return [update for update in updates if update["product_id"] == product_id]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def subscriber(description: Json) -> AsyncIterator[Subscriber]:
    subscriber = Subscriber()
    async with await aio_pika.connect(description["rabbitmq_subscriber_url"]) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("subscriber.another-system", durable=True)
        await queue.bind("aggregator.events", "#")
        await queue.consume(subscriber, no_ack=True)
        yield subscriber


class Catalog:
    """A user of the REST API."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url}/api/v1"

    async def call(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        async with self._session.request(method, self._url + path, **options) as answer:
            body = await answer.text()
            assert answer.status == status, f"{method} {path}: {answer.status} {body}"
            return json.loads(body) if body else None

    async def create(self, name: str = "Benzinová sekačka Dosquarna") -> str:
        product = await self.call("POST", "/products", 201, json={"name": name, "description": "TLDR"})
        product_id: str = product["id"]
        return product_id

    async def is_registered(self, product_id: str, status: str = "registered") -> bool:
        product = await self.call("GET", f"/products/{product_id}")
        return bool(product["registration"] == status)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def catalog(description: Json, subscriber: Subscriber) -> AsyncIterator[Catalog]:  # noqa: ARG001 - must be there first
    async with aiohttp.ClientSession() as session:
        yield Catalog(session, description["catalog_url"])


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60) -> float:
    """Wait for the condition; returns how long it took, in seconds of a machine that has nothing else to do.

    What is counted are the looks, each as what it takes there: where others take the processors, a look takes longer,
    as does what is waited for.
    """
    looks = 0
    async with asyncio.timeout(seconds):
        while not await condition():
            looks += 1
            await asyncio.sleep(LOOK_SECONDS - ANSWER_SECONDS)
    return looks * LOOK_SECONDS


def registered(catalog: Catalog, product_id: str, status: str = "registered") -> Callable[[], Awaitable[bool]]:
    return lambda: catalog.is_registered(product_id, status)


async def prices_in_catalog(catalog: Catalog, product_id: str, prices: list[int]) -> float:
    async def shown() -> bool:
        offers = await catalog.call("GET", f"/products/{product_id}/offers")
        return [offer["price"] for offer in offers["items"]] == prices

    return await until(shown)


async def test_a_new_product_is_registered_within_a_second(catalog: Catalog, offers_ms: DocumentedOffersMs) -> None:
    # The first one pays for the token, and for caches that are cold.
    await until(registered(catalog, await catalog.create("first")))
    for _ in range(5):
        product_id = await catalog.create()
        assert await until(registered(catalog, product_id)) < 1.0
        assert offers_ms.products[product_id] == offers_ms.tokens[0]


async def test_offers_arrive_within_an_interval_and_a_second_of_their_change(
    catalog: Catalog, offers_ms: DocumentedOffersMs
) -> None:
    product_id = await catalog.create()
    await until(registered(catalog, product_id))
    for prices in ([1000, 1100], [990], [], [5000, 6000, 7000]):
        offers_ms.offers[product_id] = [
            {"id": number, "price": price, "items_in_stock": 3} for number, price in enumerate(prices)
        ]
        assert await prices_in_catalog(catalog, product_id, prices) < INTERVAL + 1.0
    product = await catalog.call("GET", f"/products/{product_id}")
    assert (product["best_price"], product["offers_count"]) == (5000, 3)


async def test_the_trend_is_exact(catalog: Catalog, offers_ms: DocumentedOffersMs, subscriber: Subscriber) -> None:
    product_id = await catalog.create()
    for price in (1000, 990, 995):
        offers_ms.offers[product_id] = [
            {"id": "cheap", "price": price, "items_in_stock": 1},
            {"id": "sold-out", "price": 1, "items_in_stock": 0},
        ]
        await prices_in_catalog(catalog, product_id, [1, price])

    async def recorded() -> bool:
        trend = await catalog.call("GET", f"/products/{product_id}/trend?resolution=raw")
        return bool(trend["prices"] == [1000, 990, 995])

    await until(recorded)

    def priced() -> list[Json]:
        # It may have been polled before it had its first offers.
        return [update for update in subscriber.updates_of(product_id) if update["offers"]]

    async def told() -> bool:
        return len(priced()) == 3

    await until(told)
    trend = await catalog.call("GET", f"/products/{product_id}/trend?resolution=raw")
    seen = [update["observed_at"] for update in priced()]
    assert [point["at"] for point in trend["points"]] == seen
    assert trend["start"] == {"price": 1000, "at": seen[0], "carried": False}
    assert trend["end"] == {"price": 995, "at": trend["to"]}
    assert (trend["change"], trend["change_percent"], trend["reason"]) == (-5, -0.5, None)
    assert trend["lowest"] == {"price": 990, "at": seen[1]}
    assert trend["highest"] == {"price": 1000, "at": seen[0]}
    any_stock = await catalog.call("GET", f"/products/{product_id}/trend?resolution=raw&basis=best")
    assert any_stock["prices"] == [1]
    one_offer = await catalog.call("GET", f"/products/{product_id}/offers/cheap/trend?resolution=raw")
    assert one_offer["prices"] == [1000, 990, 995]
    history = await catalog.call("GET", f"/products/{product_id}/history")
    assert [(change["offer_id"], change["price"]) for change in history["items"]] == [
        ("cheap", 1000),
        ("sold-out", 1),
        ("cheap", 990),
        ("cheap", 995),
    ]


async def test_a_product_without_prices_has_an_empty_trend_at_once(catalog: Catalog) -> None:
    product_id = await catalog.create()
    trend = await catalog.call("GET", f"/products/{product_id}/trend?resolution=raw")
    assert (trend["prices"], trend["start"], trend["reason"]) == ([], None, "no_price_in_period")


async def test_a_refused_product_says_so_and_is_cured_by_a_change(catalog: Catalog) -> None:
    product_id = await catalog.create("refuse this name")
    await until(registered(catalog, product_id, "failed"))
    await catalog.call("PATCH", f"/products/{product_id}", json={"name": "a better name"})
    await until(registered(catalog, product_id))


async def test_an_update_keeps_the_registration(catalog: Catalog, offers_ms: DocumentedOffersMs) -> None:
    product_id = await catalog.create()
    await until(registered(catalog, product_id))
    updated = await catalog.call("PUT", f"/products/{product_id}", json={"name": "new", "description": "text"})
    assert (updated["version"], updated["registration"]) == (2, "registered")
    offers_ms.offers[product_id] = [{"id": 1, "price": 7, "items_in_stock": 1}]
    await prices_in_catalog(catalog, product_id, [7])
    assert len(offers_ms.calls_to("register", product_id)) == 1


async def test_a_deleted_product_is_not_polled_from_the_next_interval_on(
    catalog: Catalog, description: Json, offers_ms: DocumentedOffersMs
) -> None:
    deleted, witness = await catalog.create(), await catalog.create()
    for product_id in (deleted, witness):
        offers_ms.offers[product_id] = [{"id": 1, "price": 7, "items_in_stock": 1}]
        await prices_in_catalog(catalog, product_id, [7])
    await catalog.call("DELETE", f"/products/{deleted}", 204)
    await catalog.call("GET", f"/products/{deleted}", 404)

    async def is_known() -> bool:
        await catalog.call("GET", f"/products/{deleted}", 404)  # a look as any other
        return deleted not in buckets(description)

    assert await until(is_known) < 1.0
    deleted_at = time.monotonic()

    async def three_intervals_polled() -> bool:
        return bool(offers_ms.calls_to("offers", witness)[-1].at > deleted_at + 3 * INTERVAL)

    await until(three_intervals_polled)
    assert all(call.at < deleted_at + INTERVAL for call in offers_ms.calls_to("offers", deleted))


async def test_the_token_survives_restarts_of_every_worker(
    catalog: Catalog, stack: Stack, offers_ms: DocumentedOffersMs
) -> None:
    for copy in ("offers-sync-work", "offers-sync-work.2"):
        stack.stop_process(copy)
    for copy in ("offers-sync-work", "offers-sync-work.2"):
        stack.start_process(copy)
    await until(registered(catalog, await catalog.create()))
    assert len(offers_ms.calls_to("auth")) == 1
    assert {call.token for call in offers_ms.calls if call.endpoint != "auth"} == set(offers_ms.tokens)


def buckets(description: Json) -> dict[str, int]:
    """Of every product that is polled."""
    with closing(psycopg2.connect(description["databases"]["offers_sync"])) as database, database.cursor() as cursor:
        cursor.execute("SELECT product_id::text, bucket FROM polled_products")
        return dict(cursor.fetchall())


async def test_no_product_was_polled_twice_in_a_slot(description: Json, offers_ms: DocumentedOffersMs) -> None:
    bucket_of = buckets(description)
    since_epoch = time.time() - time.monotonic()
    # The slots of a product begin at bucket/4096 x interval, modulo the interval. A late poll is one of the slot that
    # has begun: what is claimed in the second half of one skips the next.
    polls = Counter(
        (product, floor((since_epoch + call.at) / INTERVAL - bucket_of[product] / BUCKETS))
        for call in offers_ms.calls_to("offers")
        if (product := str(call.product_id)) in bucket_of
    )
    assert len(polls) > len(bucket_of)
    assert set(polls.values()) == {1}


async def test_no_event_was_published_twice_and_each_is_as_the_contract_says(subscriber: Subscriber) -> None:
    assert {
        key for key, count in Counter(message.message_id for message in subscriber.messages).items() if count > 1
    } == set()
    revisions = Counter(
        (update["product_id"], update["revision"])
        for event in subscriber.events("offers.offers-updated.v1")
        for update in event["data"]["updates"]
    )
    assert set(revisions.values()) == {1}
    registrations = Counter(event["subject"] for event in subscriber.events("offers.product-registered.v1"))
    assert set(registrations.values()) == {1}
    for message in subscriber.messages:
        event = json.loads(message.body)
        assert (message.exchange, message.content_type) == ("aggregator.events", "application/cloudevents+json")
        assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
        assert (message.message_id, message.type, message.routing_key) == (event["id"], event["type"], event["type"])
        assert event["specversion"] == "1.0"
        assert event["datacontenttype"] == "application/json"
        of_several = event["type"] == "offers.offers-updated.v1" or event["type"].startswith("prices.")
        assert ("subject" in event) != of_several
        if "subject" in event:
            assert event["data"]["product_id"] == event["subject"]
