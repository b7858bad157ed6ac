"""A long queue of `OffersUpdated` and a slow database: the consumer stays small and drains steadily (F12)."""

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from tests.faults.laboratory.laboratory import Laboratory
from tests.faults.laboratory.report import Report

from aggregator_contracts import Offer, OffersUpdate, OffersUpdated
from aggregator_contracts.topology import HISTORY_OFFERS
from devstack.linux_processes import peak_megabytes
from event_bus import EventPublisher

pytestmark = pytest.mark.thorough

#: Half a million are asked for with MESSAGES=500000.
MESSAGES = int(os.environ.get("MESSAGES", "20000"))
PRODUCTS = 500
DELAY_SECONDS = 0.002
WATCHED_SECONDS = 40
MEGABYTES = 256
CONSUMER = "price-history-work"


@pytest.mark.fault("F12")
@pytest.mark.timeout(180 + MESSAGES // 100)
def test_a_long_queue_before_a_slow_database(laboratory: Laboratory, report: Report) -> None:
    def waiting() -> int:
        return laboratory.books.queue_lengths()[HISTORY_OFFERS.queue]

    laboratory.stack.stop_process(CONSUMER)
    asyncio.run(publish(laboratory.books.record.url))
    laboratory.until(lambda: waiting() >= MESSAGES, 30, "the queue is full")
    laboratory.proxies.database.delay(DELAY_SECONDS)
    laboratory.stack.start_process(CONSUMER)
    laboratory.until(lambda: waiting() < MESSAGES, 30, "it drains")
    lengths = [waiting()]
    for half in (1, 2):
        began = time.monotonic()
        laboratory.until(lambda began=began: time.monotonic() > began + WATCHED_SECONDS / 2, 60, f"half {half}")  # type: ignore[misc]
        lengths.append(waiting())
    slow = [(earlier - later) / (WATCHED_SECONDS / 2) for earlier, later in pairwise(lengths)]
    laboratory.proxies.restore()
    fast_at, left = time.monotonic(), waiting()
    laboratory.until(lambda: waiting() == 0, 60 + MESSAGES / 200, "empty")
    fast = left / (time.monotonic() - fast_at)
    peak = peak_megabytes(laboratory.pid(CONSUMER))
    report.note(f"{MESSAGES} messages, {slow[0]:.0f} then {slow[1]:.0f} a second, {fast:.0f} with a fast database")
    report.note(f"peak {peak:.0f} MB")
    [(stored,)] = laboratory.books.query("price_history", "SELECT count(*) FROM products WHERE revision = %s", [LAST])
    assert stored == PRODUCTS
    assert min(slow) > 0.5 * max(slow)
    assert peak < MEGABYTES
    report.lost = "0"


LAST = MESSAGES // PRODUCTS


async def publish(url: str) -> None:
    """One product in a message, the worst case; each in its turn with a new price."""
    products = [uuid4() for _ in range(PRODUCTS)]
    begin = datetime.now(UTC) - timedelta(hours=1)
    publisher = EventPublisher(url, timeout=30)
    for revision in range(1, LAST + 1):
        moment = begin + revision * timedelta(milliseconds=10)
        await publisher.publish([update(product, revision, moment) for product in products])
    await publisher.stop()


def update(product_id: UUID, revision: int, observed_at: datetime) -> OffersUpdated:
    offers = [Offer(id=str(number), price=revision + number, items_in_stock=1) for number in range(5)]
    return OffersUpdated.of(
        [OffersUpdate(product_id=product_id, revision=revision, observed_at=observed_at, offers=offers)]
    )
