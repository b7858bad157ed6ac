"""Processes of ours that are killed, again and again and at any moment, and processes that are asked to stop."""

import time
from random import Random

import pytest
from tests.faults.laboratory.laboratory import Laboratory
from tests.faults.laboratory.report import Report

KILLS = 5
ROUNDS = 3
CONSUMERS = ("catalog-api-work", "offers-sync-work", "price-history-work")
STOP_SECONDS = 10.0


@pytest.mark.fault("F4")
@pytest.mark.timeout(180)
def test_consumers_killed_again_and_again_with_messages_in_flight(laboratory: Laboratory, report: Report) -> None:
    # Each statement takes a little, so that whoever is killed has messages in hand.
    laboratory.proxies.database.delay(0.01)
    with laboratory.load(4, rate=15) as load:
        laboratory.until(lambda: polled(laboratory) > 10, 30, "offers flow")
        poison = laboratory.poison()
        for _ in range(ROUNDS):
            for name in CONSUMERS:
                laboratory.stack.kill_process(name)
                laboratory.until(lambda name=name: backlog(laboratory, name) > 0, 20, f"messages wait for {name}")  # type: ignore[misc]
                laboratory.stack.start_process(name)
            # Killed again as soon as they consume, so that most of what they ever had in hand comes again.
            laboratory.until(lambda: not laboratory.not_ready(), 30, "ready to be killed")
        laboratory.proxies.restore()
        report.recovered(laboratory.recovery_seconds(within=30))
    report.loaded(load)
    report.note(f"{ROUNDS * len(CONSUMERS)} kills, {len(poison)} messages of poison parked, and nothing else")
    report.balanced(laboratory.drain(load, poison=poison))
    laboratory.take_poison()
    laboratory.clear(load)


@pytest.mark.fault("F13")
@pytest.mark.timeout(180)
def test_asked_to_stop_in_the_middle_of_everything(laboratory: Laboratory, report: Report) -> None:
    slowest = 0.0
    with laboratory.load(13, rate=20) as load:
        for name, part in laboratory.ours.items():
            accepted = load.count("accepted")
            laboratory.until(lambda seen=accepted: load.count("accepted") > seen + 5, 30, "load")  # type: ignore[misc]
            child = part.child
            assert child is not None
            began = time.monotonic()
            child.request_stop()
            assert child.ended_within(STOP_SECONDS), f"{name} did not stop"
            slowest = max(slowest, time.monotonic() - began)
            assert child.exit_code == 0, f"{name} ended with {child.exit_code}"
            laboratory.stack.start_process(name)
        report.recovered(laboratory.recovery_seconds(within=30))
    report.loaded(load)
    report.note(f"slowest stop {slowest:.1f} s")
    report.balanced(laboratory.drain(load))
    assert load.server_errors == []
    laboratory.clear(load)


@pytest.mark.fault("F7")
@pytest.mark.timeout(180)
def test_killed_at_random_moments_under_load(laboratory: Laboratory, report: Report, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - not a secret
    report.note(f"SEED={seed}")
    with laboratory.load(seed) as load:
        for _ in range(KILLS):
            time.sleep(random.uniform(0.5, 2.5))
            victim = random.choice(sorted(laboratory.ours))
            laboratory.stack.kill_process(victim)
            time.sleep(random.uniform(0.0, 0.5))
            laboratory.stack.start_process(victim)
        report.recovered(laboratory.recovery_seconds(within=30))
    report.loaded(load)
    report.balanced(laboratory.drain(load))
    assert load.server_errors == []
    laboratory.clear(load)


def polled(laboratory: Laboratory) -> int:
    """Products whose offers have arrived in the catalog."""
    [(count,)] = laboratory.books.query("catalog", "SELECT count(observed_at) FROM product_offers")
    return int(count)


def backlog(laboratory: Laboratory, name: str) -> int:
    """Messages of a service's queues that it has not handled."""
    service = name.removesuffix("-work")
    return sum(count for queue, count in laboratory.books.queue_lengths().items() if queue.startswith(f"{service}."))
