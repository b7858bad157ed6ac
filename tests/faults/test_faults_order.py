"""Events that come twice, in another order, or again much later: every consumer ends in the same state (F15)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.faults.laboratory.report import Report

from aggregator_contracts import (
    Event,
    Offer,
    OffersUpdate,
    OffersUpdated,
    ProductCreated,
    ProductDeleted,
    ProductRegistered,
    ProductRegistrationFailed,
    ProductState,
    ProductUpdated,
)
from catalog_api.db.database import Database as CatalogDatabase
from catalog_api.db.migrate import migrate as migrate_catalog
from catalog_api.domain.product import ProductText
from catalog_api.use_cases.apply_offers import ApplyOffers
from catalog_api.use_cases.apply_registration import ApplyRegistration
from catalog_api.use_cases.create_products import CreateProducts
from offers_sync.db.engine import create_engine
from offers_sync.db.migrate import migrate as migrate_sync
from offers_sync.entrypoints.events import ProductEvents
from offers_sync.use_cases.record_products import RecordProducts
from price_history.db.engine import Database as HistoryDatabase
from price_history.db.engine import Limits
from price_history.db.migrate import migrate as migrate_history
from price_history.db.snapshots import Snapshots
from price_history.entrypoints.worker import OffersHandler, ProductsHandler
from price_history.use_cases.derived_events import derived_events
from price_history.use_cases.known_products import AddProduct, DeleteProduct
from price_history.use_cases.record_offers import RecordOffers

EXAMPLES = 40
PRODUCTS = 3
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)

Listed = dict[str, tuple[int, int]]
lists = st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=3)


@dataclass(frozen=True)
class Life:
    """What happens to one product; the order in which it is told is drawn apart."""

    changes: int
    lists: list[Listed]
    registered: list[bool]
    deleted: bool

    def events(self, product_id: UUID) -> list[Event]:
        """In their true order."""
        states = [
            ProductState(product_id=product_id, version=version, name=f"name {version}", description="")
            for version in range(1, self.changes + 2)
        ]
        events: list[Event] = [ProductCreated.of(states[0]), *(ProductUpdated.of(state) for state in states[1:])]
        for number, was_registered in enumerate(self.registered):
            at = BEGIN + number * SECOND
            outcome: Event = ProductRegistrationFailed.of(product_id, "refused", at)
            if was_registered:
                outcome = ProductRegistered.of(product_id, at)
            events.append(outcome)
        events += [self._offers(product_id, revision) for revision in range(1, len(self.lists) + 1)]
        if self.deleted:
            events.append(ProductDeleted.of(product_id, self.changes + 2))
        return events

    def _offers(self, product_id: UUID, revision: int) -> OffersUpdated:
        offers = [
            Offer(id=offer_id, price=price, items_in_stock=stock)
            for offer_id, (price, stock) in sorted(self.lists[revision - 1].items())
        ]
        observed_at = BEGIN + revision * SECOND
        return OffersUpdated.of(
            [OffersUpdate(product_id=product_id, revision=revision, observed_at=observed_at, offers=offers)]
        )


@st.composite
def lives(draw: st.DrawFn) -> Life:
    return Life(
        changes=draw(st.integers(0, 3)),
        lists=draw(st.lists(lists, min_size=1, max_size=4)),
        registered=draw(st.lists(st.booleans(), min_size=1, max_size=3)),
        deleted=draw(st.booleans()),
    )


@dataclass(frozen=True)
class Course:
    """Some products, and how their events come."""

    lives: list[Life]
    #: What waits together, in turn: each event at least once, as the number of a life and a position in its events.
    bunches: list[list[tuple[int, int]]]


@st.composite
def courses(draw: st.DrawFn) -> Course:
    drawn = draw(st.lists(lives(), min_size=1, max_size=PRODUCTS))
    every = [(number, position) for number, life in enumerate(drawn) for position in range(len(life.events(uuid4())))]
    repeated = draw(st.lists(st.sampled_from(every), max_size=len(every)))
    deliveries = draw(st.permutations([*every, *repeated]))
    cuts = sorted(draw(st.sets(st.integers(1, len(deliveries) - 1))))
    return Course(drawn, [deliveries[begin:end] for begin, end in pairwise([0, *cuts, len(deliveries)])])


@dataclass(frozen=True)
class Consumers:
    """The handlers of all three services on databases of their own."""

    dsns: dict[str, str]
    create: CreateProducts
    handlers: list[tuple[tuple[type[Event], ...], Callable[[Any], Any]]]

    async def deliver(self, event: Event) -> None:
        for kinds, handler in self.handlers:
            if isinstance(event, kinds):
                await handler(event)

    def row(self, database: str, sql: str, product_id: UUID) -> tuple[Any, ...]:
        with closing(psycopg2.connect(self.dsns[database])) as connection, connection.cursor() as cursor:
            cursor.execute(sql, [str(product_id)])
            [row] = cursor.fetchall()
            return tuple(row)


@pytest.fixture(scope="module")
def migrated_databases(service_database: Callable[[Callable[[str], object]], str]) -> dict[str, str]:
    return {
        "catalog": service_database(migrate_catalog),
        "sync": service_database(migrate_sync),
        "history": service_database(migrate_history),
    }


@pytest.fixture
async def consumers(migrated_databases: dict[str, str]) -> AsyncIterator[Consumers]:
    dsns = migrated_databases
    limits: Any = {"pool_size": 2, "pool_timeout": 10, "statement_timeout": 10}
    async with AsyncExitStack() as close:
        catalog = await close.enter_async_context(CatalogDatabase(dsns["catalog"], application_name="test", **limits))
        sync = create_engine(dsns["sync"])
        close.push_async_callback(sync.dispose)
        history = HistoryDatabase(dsns["history"], "test", Limits(2, 10, 10))
        close.push_async_callback(history.close)
        yield Consumers(
            dsns,
            CreateProducts(catalog),
            [
                ((OffersUpdated,), ApplyOffers(catalog)),
                ((ProductRegistered, ProductRegistrationFailed), ApplyRegistration(catalog)),
                (
                    (ProductCreated, ProductUpdated, ProductDeleted),
                    ProductEvents(RecordProducts(sync, asyncio.Event())),
                ),
                ((OffersUpdated,), OffersHandler(RecordOffers(history, Snapshots(1000), derived_events))),
                ((ProductCreated, ProductDeleted), ProductsHandler(AddProduct(history), DeleteProduct(history))),
            ],
        )


@pytest.mark.fault("F15")
@given(courses())
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_order_and_any_repetition_end_in_the_same_state(
    consumers: Consumers, report: Report, course: Course
) -> None:
    report.figures = [f"{EXAMPLES} times up to {PRODUCTS} lives of products, all consumers, one by one and in bunches"]
    # The catalog owns the product, so it is there before any news of it; its deletion there is no event's doing.
    products = await consumers.create([ProductText("name 1", "")] * len(course.lives))
    ids = [product.id for product in products]
    events = [life.events(product_id) for life, product_id in zip(course.lives, ids, strict=True)]
    for bunch in course.bunches:
        await asyncio.gather(*(consumers.deliver(events[number][position]) for number, position in bunch))
    states = [end_state(consumers, product_id) for product_id in ids]
    assert states == [expected(life) for life in course.lives]
    recorded = [price_changes(consumers, product_id) for product_id in ids]
    for event in chain.from_iterable(events):
        await consumers.deliver(event)
    assert [end_state(consumers, product_id) for product_id in ids] == states, "a replay of everything changes nothing"
    assert [price_changes(consumers, product_id) for product_id in ids] == recorded, "a replay adds nothing to history"


def end_state(consumers: Consumers, product_id: UUID) -> dict[str, Any]:
    registration, revision, offers = consumers.row(
        "catalog",
        "SELECT registration, revision, offers FROM products JOIN product_offers ON product_id = id WHERE id = %s",
        product_id,
    )
    status, version, name = consumers.row(
        "sync", "SELECT status, version, name FROM products WHERE product_id = %s", product_id
    )
    deleted, packed = consumers.row(
        "history", "SELECT deleted_at IS NOT NULL, offers FROM products WHERE product_id = %s", product_id
    )
    return {
        "catalog": (
            registration,
            revision,
            {offer["id"]: (offer["price"], offer["items_in_stock"]) for offer in offers},
        ),
        "sync": status if status == "deleted" else (status, version, name),
        "history": deleted
        or {key: (price, stock) for key, _, price, stock in zip(*msgspec.msgpack.decode(packed), strict=True)},
    }


def expected(life: Life) -> dict[str, Any]:
    registration = "registered" if life.registered[-1] else "failed"
    version = life.changes + 1
    return {
        "catalog": (registration, len(life.lists), life.lists[-1]),
        "sync": "deleted" if life.deleted else ("pending", version, f"name {version}"),
        "history": life.deleted or life.lists[-1],
    }


def price_changes(consumers: Consumers, product_id: UUID) -> int:
    [count] = consumers.row(
        "history",
        "SELECT coalesce(sum(observations), 0) + head_rows FROM products LEFT JOIN chunks USING (product_no)"
        " WHERE product_id = %s GROUP BY product_no",
        product_id,
    )
    return int(count)
