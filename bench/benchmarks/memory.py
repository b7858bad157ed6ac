"""The most memory that two workers take: one that polls many products, one that drains a long queue."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from aggregator_contracts.envelope import MAX_TOGETHER
from bench.benchmarks.polling import SECONDS_FOR_EACH_THOUSAND
from bench.events import bodies, enqueue, observation
from bench.history import WORKER, stored
from bench.outcome import Figure, Outcome, Target
from bench.sizes import Sizes
from bench.system import Say, System, running
from devstack.linux_processes import frozen, peak_megabytes

POLLER: Final = "offers-sync-work"
INTERVAL_SECONDS: Final = 60
#: Products that waiting messages speak of at most: as many as `price-history work` keeps in mind.
WAITING_PRODUCTS: Final = 100_000
FULL_MESSAGES: Final = 200
MOST_SECONDS: Final = 3600.0
EMPTY: Final = "before it had anything to do"


def measure(sizes: Sizes, say: Say) -> Outcome:
    """One worker after the other, on one system."""
    with running(say, {"OFFERS_POLL_INTERVAL_SECONDS": INTERVAL_SECONDS, "SIMULATOR_TICK_SECONDS": 15}) as system:
        empty = peak_megabytes(system.pid(POLLER))
        polling = _polling(system, sizes.memory_products)
        system.stack.stop_process(POLLER)
        system.restart(WORKER)
        idle = peak_megabytes(system.pid(WORKER))
        draining = _draining(system, sizes.memory_events, together=1)
        full = _draining(system, FULL_MESSAGES, together=MAX_TOGETHER)
    unit = "MB resident at most"
    return Outcome(
        "memory",
        "Memory",
        [
            Figure(
                f"offers-sync work, {sizes.memory_products:,} products",
                unit,
                [polling],
                [empty],
                EMPTY,
                Target("figure", "under", 250),
            ),
            Figure(
                f"price-history work, {sizes.memory_events:,} waiting events",
                unit,
                [draining],
                [idle],
                EMPTY,
                Target("figure", "under", 256),
            ),
            Figure(
                f"price-history work, then {FULL_MESSAGES} messages of {MAX_TOGETHER} products",
                unit,
                [full],
                [idle],
                EMPTY,
                Target("figure", "under", 256),
            ),
        ],
        ["The targets speak of 100,000 products and 500,000 events, which `FULL=1` takes"],
    )


def _polling(system: System, products: int) -> float:
    system.create_products(products)
    system.wait_until_polled(products, 60 + products / 1000 * SECONDS_FOR_EACH_THOUSAND)
    time.sleep(INTERVAL_SECONDS)
    return peak_megabytes(system.pid(POLLER))


def _draining(system: System, messages: int, together: int) -> float:
    product_ids = [uuid4() for _ in range(min(WAITING_PRODUCTS, messages * together))]
    last_at = datetime.now(UTC)
    with frozen(system.pid(WORKER)):
        enqueue(system.rabbitmq_url, _messages(product_ids, messages, together, last_at))
    product_id = product_ids[(messages * together - 1) % len(product_ids)]
    seconds = system.until(lambda: stored(system, product_id, last_at), MOST_SECONDS, "the queue is drained")
    system.say(f"{messages:,} messages of {together} drained in {seconds:.0f} s")
    return peak_megabytes(system.pid(WORKER))


def _messages(product_ids: list[UUID], count: int, together: int, last_at: datetime) -> Iterator[bytes]:
    """So many messages, the products in turn, their revisions a second apart, the last ones at `last_at`."""
    rounds = -(-count * together // len(product_ids))
    for revision in range(1, rounds + 1):
        at = last_at - timedelta(seconds=rounds - revision)
        wanted = min(len(product_ids), count * together - (revision - 1) * len(product_ids))
        yield from bodies([observation(product_id, revision, at) for product_id in product_ids[:wanted]], together)
