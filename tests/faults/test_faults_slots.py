"""Two workers share two thousand products of a slow Offers MS, and one of them hangs for a while (F10)."""

import math
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.faults.laboratory.laboratory import LEASE_SECONDS, Laboratory
from tests.faults.laboratory.report import Report

from devstack.linux_processes import frozen
from offers_sync.db.models import BUCKETS

pytestmark = pytest.mark.thorough

PRODUCTS = 2000
INTERVAL_SECONDS = 20
SLOW_SECONDS = 0.2
HUNG_SECONDS = 15
BUSIEST = 1.5


@pytest.mark.fault("F10")
@pytest.mark.timeout(420)
def test_a_worker_hangs_and_every_product_is_still_polled_once_in_its_slot(tmp_path: Path, report: Report) -> None:
    with ExitStack() as close:
        settings: dict[str, Any] = {"SCALE": "offers-sync-work=2", "OFFERS_POLL_INTERVAL_SECONDS": INTERVAL_SECONDS}
        laboratory = Laboratory(tmp_path, close, **settings, SIMULATOR_TICK_SECONDS=60)
        for first in range(0, PRODUCTS, 1000):
            items = [{"name": f"product {number}", "description": ""} for number in range(first, first + 1000)]
            laboratory.call("POST", "/products/batch", {"items": items})
        laboratory.until(lambda: len(laboratory.offers_ms.registered()) == PRODUCTS, 120, "registered")
        laboratory.offers_ms.fault("delay", delay_seconds=SLOW_SECONDS)
        steady_at = time.time()
        pause(laboratory, 2 * INTERVAL_SECONDS)
        hung_at = time.time()
        with frozen(laboratory.pid("offers-sync-work.2")):
            pause(laboratory, HUNG_SECONDS)
        pause(laboratory, 2 * INTERVAL_SECONDS)
        ended_at = time.time()
        polls = [call for call in laboratory.offers_ms.calls("offers") if steady_at <= call["at"] < ended_at]
        phases = {
            product_id: bucket / BUCKETS * INTERVAL_SECONDS
            for product_id, bucket in laboratory.books.query(
                "offers_sync", "SELECT product_id::text, bucket FROM polled_products"
            )
        }
    times: defaultdict[str, list[float]] = defaultdict(list)
    for poll in polls:
        times[poll["product"]].append(poll["at"])
    slots = Counter(
        (product_id, math.floor((at - phases[product_id]) / INTERVAL_SECONDS))
        for product_id, ats in times.items()
        for at in ats
    )
    twice = [(product_id, slot) for (product_id, slot), count in slots.items() if count > 1]
    # From the beginning to the end, so that a product that is polled no more has a long gap, too.
    longest = max(
        later - earlier
        for product_id in phases
        for earlier, later in pairwise([steady_at, *times[product_id], ended_at])
    )
    steady = Counter(int(poll["at"]) for poll in polls if steady_at + 1 <= poll["at"] < hung_at - 1)
    whole = [count for second, count in sorted(steady.items())[1:-1]]
    busiest = max(whole) / (sum(whole) / len(whole))
    report.note(f"{len(polls)} polls, {len(twice)} twice in a slot")
    report.note(f"longest gap {longest:.1f} s of {INTERVAL_SECONDS} s, busiest second {busiest:.2f} of the mean")
    assert len(phases) == PRODUCTS
    assert twice == []
    assert longest <= 2 * INTERVAL_SECONDS + LEASE_SECONDS
    assert busiest <= BUSIEST
    report.lost, report.duplicated = "0", str(len(twice))


def pause(laboratory: Laboratory, seconds: float) -> None:
    """Let so much time pass: what is measured is what happens in it."""
    began = time.monotonic()
    laboratory.until(lambda: time.monotonic() > began + seconds, seconds + 10, "time passes")
