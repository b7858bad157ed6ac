"""Processes of ours that are killed, again and again and at any moment, and processes that are asked to stop."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from random import Random

import psycopg2
import pytest
from tests.faults.laboratory.laboratory import Laboratory
from tests.faults.laboratory.report import Report

KILLS = 5
ROUNDS = 2
HISTORY = "price-history-work"
CONSUMERS = ("catalog-api-work", "offers-sync-work", HISTORY)
DELAY_SECONDS = 0.03
MANY_KILLS = 22
"""RabbitMQ 4 gives a message up after 20 deliveries, where no one asks for another limit."""
STOP_SECONDS = 10.0
RECOVERY_SECONDS = 60.0


@pytest.mark.fault("F4")
@pytest.mark.timeout(420)
def test_consumers_killed_again_and_again_with_messages_in_flight(laboratory: Laboratory, report: Report) -> None:
    # Each statement takes a while, so that a consumer has messages in hand.
    laboratory.proxies.database.delay(DELAY_SECONDS)
    with laboratory.load(4, rate=15) as load:
        laboratory.until(lambda: polled(laboratory) > 10, 30, "offers flow")
        poison = laboratory.poison()
        before = redelivered(laboratory)
        for name in ROUNDS * CONSUMERS:
            laboratory.until(lambda name=name: in_hand(laboratory, name) > 0, 60, f"{name} has messages in hand")  # type: ignore[misc]
            laboratory.restart(name)
            laboratory.until(lambda: not laboratory.not_ready(), 60, "ready to be killed")
        laboratory.proxies.restore()
        report.recovered(laboratory.recovery_seconds(within=RECOVERY_SECONDS))
    report.loaded(load)
    report.balanced(laboratory.drain(load, poison=poison))
    again = redelivered(laboratory) - before
    report.note(f"{ROUNDS * len(CONSUMERS)} kills, {again} deliveries again, {len(poison)} messages of poison parked")
    assert again > 0
    laboratory.take_poison()
    laboratory.clear(load)


@pytest.mark.fault("F4")
@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_one_consumer_killed_more_often_than_a_broker_delivers_by_default(
    laboratory: Laboratory, report: Report
) -> None:
    with laboratory.load(4, rate=3) as load:
        laboratory.until(lambda: polled(laboratory) > 10, 30, "offers flow")
        before = redelivered(laboratory)
        with locked(laboratory):
            for _ in range(MANY_KILLS):
                laboratory.until(lambda: in_hand(laboratory, HISTORY) > 0, 60, "messages in hand")
                seen = redelivered(laboratory)
                laboratory.restart(HISTORY)
                laboratory.until(lambda seen=seen: redelivered(laboratory) > seen, 60, "they come again")  # type: ignore[misc]
        again = redelivered(laboratory) - before
        report.recovered(laboratory.recovery_seconds(within=RECOVERY_SECONDS))
    report.loaded(load)
    report.note(f"{MANY_KILLS} kills, {again} deliveries again")
    assert again >= MANY_KILLS
    report.balanced(laboratory.drain(load))
    laboratory.clear(load)


@pytest.mark.fault("F13")
@pytest.mark.timeout(300)
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
        report.recovered(laboratory.recovery_seconds(within=RECOVERY_SECONDS))
    report.loaded(load)
    report.note(f"slowest stop {slowest:.1f} s")
    report.balanced(laboratory.drain(load))
    assert load.server_errors == []
    laboratory.clear(load)


@pytest.mark.fault("F7")
@pytest.mark.timeout(300)
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
        report.recovered(laboratory.recovery_seconds(within=RECOVERY_SECONDS))
    report.loaded(load)
    report.balanced(laboratory.drain(load))
    assert load.server_errors == []
    laboratory.clear(load)


def polled(laboratory: Laboratory) -> int:
    """Products whose offers have arrived in the catalog."""
    [(count,)] = laboratory.books.query("catalog", "SELECT count(observed_at) FROM product_offers")
    return int(count)


def in_hand(laboratory: Laboratory, name: str) -> int:
    """Messages that the process has taken and not acknowledged; as of a second ago."""
    prefix = f"{name.removesuffix('-work')}."
    queues = laboratory.books.queues()
    return sum(queue.get("messages_unacknowledged", 0) for queue in queues if queue["name"].startswith(prefix))


def redelivered(laboratory: Laboratory) -> int:
    """Deliveries of messages that had been delivered before, since the broker began."""
    return sum(queue.get("message_stats", {}).get("redeliver", 0) for queue in laboratory.books.queues())


@contextmanager
def locked(laboratory: Laboratory) -> Iterator[None]:
    """While inside, the database lets no one write history's products, so that who writes there waits."""
    with (
        closing(psycopg2.connect(laboratory.books.databases["price_history"])) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("LOCK TABLE products IN EXCLUSIVE MODE")
        yield
