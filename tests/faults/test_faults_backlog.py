"""A long queue of `OffersUpdated` and a slow database: the consumer stays small and drains steadily (F12)."""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from tests.faults.laboratory.laboratory import Laboratory
from tests.faults.laboratory.report import Report

from aggregator_contracts import Offer, OffersUpdate, OffersUpdated
from aggregator_contracts.topology import HISTORY_OFFERS
from devstack.linux_processes import megabytes, peak_megabytes
from event_bus import EventPublisher

pytestmark = pytest.mark.thorough

#: Half a million are asked for with MESSAGES=500000.
MESSAGES = int(os.environ.get("MESSAGES", "20000"))
PRODUCTS = 500
DELAY_SECONDS = 0.005
WATCHED_SECONDS = 60
STEADY = 1 / 3
"""How much of its pace it must keep; a machine with two cores that others use takes half of it at times."""
GROWTH = 1.5
MEGABYTES = 256
CONSUMER = "price-history-work"


@dataclass(frozen=True)
class Sample:
    """How far the consumer is: lists recorded, and megabytes resident, at a moment in seconds."""

    at: float
    recorded: float
    memory: float


@pytest.mark.fault("F12")
@pytest.mark.timeout(240 + MESSAGES // 50)
def test_a_long_queue_before_a_slow_database(laboratory: Laboratory, report: Report) -> None:
    def waiting() -> int:
        return laboratory.books.queue_lengths()[HISTORY_OFFERS.queue]

    laboratory.stack.stop_process(CONSUMER)
    asyncio.run(publish(laboratory.books.record.url))
    laboratory.until(lambda: waiting() >= MESSAGES, 30, "the queue is full")
    laboratory.proxies.database.delay(DELAY_SECONDS)
    laboratory.stack.start_process(CONSUMER)
    laboratory.part(CONSUMER).wait_until_ready()
    laboratory.until(lambda: sample(laboratory).recorded > 0, 30, "it drains")
    samples = watch(laboratory)
    laboratory.proxies.restore()
    fast_at, left = time.monotonic(), waiting()
    laboratory.until(lambda: waiting() == 0, 60 + MESSAGES / 100, "empty")
    slow = rates(samples)
    report.note(f"{MESSAGES} messages, {slow[0]:.0f} then {slow[1]:.0f} a second")
    if left:
        report.note(f"{left / (time.monotonic() - fast_at):.0f} with a fast database")
    memory = [sample.memory for sample in samples]
    peak = peak_megabytes(laboratory.pid(CONSUMER))
    report.note(f"{memory[0]:.0f} to {memory[-1]:.0f} MB in {len(samples)} samples, peak {peak:.0f} MB")
    [(stored,)] = laboratory.books.query("price_history", "SELECT count(*) FROM products WHERE revision = %s", [LAST])
    assert stored == PRODUCTS
    assert slow[1] > STEADY * slow[0]
    assert memory[-1] < GROWTH * memory[0]
    assert peak < MEGABYTES
    report.lost = "0"


def sample(laboratory: Laboratory) -> Sample:
    """How far the consumer is now."""
    recorded = sum(
        laboratory.metric(CONSUMER, f'aggregator_price_history_lists_total{{outcome="{outcome}"}}')
        for outcome in ("applied", "stale")
    )
    return Sample(time.monotonic(), recorded, megabytes(laboratory.pid(CONSUMER)))


def watch(laboratory: Laboratory) -> list[Sample]:
    """Samples until half of the queue is gone, so that it never runs empty meanwhile, or for as long as is watched."""
    samples = [sample(laboratory)]

    def enough() -> bool:
        samples.append(sample(laboratory))
        return samples[-1].recorded > MESSAGES / 2 or samples[-1].at > samples[0].at + WATCHED_SECONDS

    laboratory.until(enough, 2 * WATCHED_SECONDS, "half of the queue, or a while")
    return samples


def rates(samples: Sequence[Sample]) -> list[float]:
    """Lists recorded in a second, in the first and in the second half of what was recorded."""
    first, last = samples[0], samples[-1]
    middle = min(samples[1:-1], key=lambda sample: abs(sample.recorded - (first.recorded + last.recorded) / 2))
    return [
        (later.recorded - earlier.recorded) / (later.at - earlier.at)
        for earlier, later in pairwise([first, middle, last])
    ]


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
