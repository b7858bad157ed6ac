"""The arithmetic from measured costs to machines."""

import pytest

from bench.capacity import Costs, needs

COSTS = Costs(
    unchanged={"offers-sync-work": 100e-6, "postgresql": 10e-6},
    changed={"offers-sync-work": 200e-6, "postgresql": 110e-6, "price-history-work": 90e-6},
    poll_bytes=1000,
    event_bytes=500,
    messages=0.02,
    wal_bytes=2000,
    commits=0.05,
    disk_bytes=100,
    recorded_per_second=5000,
    poller_megabytes=80,
    poller_megabytes_for_each_product=0.0001,
)


def test_a_million_products_that_do_not_change_cost_their_polls() -> None:
    found = needs(COSTS, 1_000_000, 0.0)
    assert found.polls == pytest.approx(16_666.7, abs=0.1)
    assert found.all_cores == pytest.approx(16_666.7 * 110e-6, rel=1e-5)
    assert found.offers_ms_megabits == pytest.approx(133.3, abs=0.1)
    assert (found.changed, found.messages, found.wal_megabytes, found.disk_gigabytes_a_day) == (0, 0, 0, 0)


def test_changed_lists_cost_what_they_were_measured_at_and_not_both() -> None:
    found = needs(COSTS, 600_000, 0.1)
    assert found.changed == pytest.approx(1_000)
    assert found.cores["offers-sync-work"] == pytest.approx(9_000 * 100e-6 + 1_000 * 200e-6)
    assert found.cores["price-history-work"] == pytest.approx(1_000 * 90e-6)
    assert found.messages == pytest.approx(20)
    assert found.commits == pytest.approx(50)
    assert found.wal_megabytes == pytest.approx(2)
    assert found.disk_gigabytes_a_day == pytest.approx(8.64)
    assert found.broker_megabits == pytest.approx(12)


def test_needs_are_linear_in_products() -> None:
    some, many = (needs(COSTS, products, 0.5) for products in (10_000, 10_000_000))
    assert many.all_cores == pytest.approx(1000 * some.all_cores)
    assert many.wal_megabytes == pytest.approx(1000 * some.wal_megabytes)
