"""Messages that wait together are recorded together, each acked only when it is stored."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from aggregator_contracts import Offer, OffersUpdate, OffersUpdated
from event_bus import ReceivedOffersUpdated
from price_history.db.engine import Database
from price_history.db.snapshots import Snapshots
from price_history.domain.errors import UnknownProductError
from price_history.domain.recording import ObservedList
from price_history.entrypoints.worker import OffersHandler
from price_history.use_cases.derived_events import derived_events
from price_history.use_cases.read_history import Position, ReadHistory
from price_history.use_cases.record_offers import RecordingResult, RecordOffers

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Counted(RecordOffers):
    """The real thing, which remembers how many products it was given each time, and can't record one of them."""

    def __init__(self, database: Database, cursed: UUID | None = None) -> None:
        super().__init__(database, Snapshots(1000), derived_events)
        self.sizes: list[int] = []
        self._cursed = cursed

    async def __call__(self, observed: Mapping[UUID, ObservedList]) -> RecordingResult:
        self.sizes.append(len(observed))
        if self._cursed in observed:
            raise ValueError("cursed")
        return await super().__call__(observed)


def message(revision: int, *products: UUID) -> ReceivedOffersUpdated:
    at = NOON + revision * timedelta(minutes=1)
    offers = [Offer(id="a", price=revision, items_in_stock=1)]
    updates = [
        OffersUpdate(product_id=product, revision=revision, observed_at=at, offers=offers) for product in products
    ]
    return ReceivedOffersUpdated.of(OffersUpdated.of(updates))


async def prices(database: Database, product: UUID) -> list[int | None]:
    page = await ReadHistory(database).page(product, Position(NOON, 0), NOON + timedelta(days=1), 100)
    return [item.price for item in page.items]


async def test_what_waits_is_recorded_in_one_transaction(database: Database) -> None:
    record = Counted(database)
    handler = OffersHandler(record)
    products = [uuid4() for _ in range(20)]
    await asyncio.gather(*(handler(message(1, product)) for product in products))
    assert record.sizes == [1, 19], "nobody waits for company"
    assert [await prices(database, product) for product in products] == [[1]] * 20


async def test_lists_of_one_product_are_recorded_in_the_order_of_arrival(database: Database) -> None:
    record = Counted(database)
    handler = OffersHandler(record)
    product, other = uuid4(), uuid4()
    messages = [message(1, product), message(1, other), message(2, product), message(3, product), message(2, other)]
    await asyncio.gather(*(handler(each) for each in messages))
    assert record.sizes == [1, 2, 2]
    assert await prices(database, product) == [1, 2, 3]
    assert await prices(database, other) == [1, 2]


async def test_one_that_cannot_be_recorded_fails_alone(database: Database) -> None:
    products = [uuid4() for _ in range(4)]
    handler = OffersHandler(Counted(database, cursed=products[2]))
    outcomes = await asyncio.gather(*(handler(message(1, product)) for product in products), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), ValueError, type(None)]
    cursed = products.pop(2)
    assert [await prices(database, product) for product in products] == [[1]] * 3
    with pytest.raises(UnknownProductError):
        await prices(database, cursed)


async def test_one_that_is_given_up_is_not_recorded_later(database: Database) -> None:
    record = Counted(database)
    handler = OffersHandler(record)
    product, other = uuid4(), uuid4()
    first = asyncio.create_task(handler(message(1, product)))
    await asyncio.sleep(0)
    given_up = asyncio.create_task(handler(message(2, product)))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    await first
    await handler(message(1, other))
    assert record.sizes == [1, 1]
    assert await prices(database, product) == [1]
