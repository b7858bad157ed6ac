"""RabbitMQ is stopped, killed, out of reach, or blocks publishers: the API goes on, and nothing is lost (F1, F3)."""

import time

import pytest
from tests.disk_alarm import disk_alarm
from tests.faults.laboratory.laboratory import Laboratory
from tests.faults.laboratory.load import Load
from tests.faults.laboratory.report import Report

from devstack.linux_processes import megabytes

pytestmark = pytest.mark.thorough

AWAY_SECONDS = 10
BLACK_HOLE_SECONDS = 60
RECOVERY_SECONDS = 20
ALARM_SECONDS = 60
BEFORE_SECONDS = 15
OUTBOX_SECONDS = 60
STOPPED = "catalog-api-work"
POLLING = "offers-sync-work"
MOST_GROWTH_MEGABYTES = 50
STOP_SECONDS = 10
LEAST_P99_SECONDS = 0.25
"""Below this, twice the latency of before is within the noise of a machine with two cores."""


def answers_meanwhile(load: Load, since: float, report: Report) -> None:
    """The API accepted what it was sent, all the time."""
    during = [request for request in load.requests if request.at >= since]
    assert during
    assert {request.outcome for request in during} == {"accepted"}
    report.note(f"{len(during)} requests meanwhile, p99 {1000 * load.slowest(0.99, since):.0f} ms")


@pytest.mark.fault("F1")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", ["stopped", "killed"])
def test_the_broker_goes_and_comes_back(laboratory: Laboratory, report: Report, way: str) -> None:
    with laboratory.load(1, rate=15) as load:
        laboratory.until(lambda: load.count("accepted") > 20, 30, "load")
        away_at = time.monotonic()
        if way == "stopped":
            laboratory.stack.stop_process("rabbitmq")
        else:
            laboratory.stack.kill_process("rabbitmq")
        laboratory.until(lambda: time.monotonic() > away_at + AWAY_SECONDS, 60, "a while")
        laboratory.stack.start_process("rabbitmq")
        laboratory.part("rabbitmq").wait_until_ready()
        answers_meanwhile(load, away_at, report)
        report.recovered(laboratory.recovery_seconds(within=RECOVERY_SECONDS))
    report.loaded(load)
    report.balanced(laboratory.drain(load))
    laboratory.clear(load)


@pytest.mark.fault("F1")
@pytest.mark.timeout(300)
def test_the_broker_is_black_holed_for_a_minute(laboratory: Laboratory, report: Report) -> None:
    with laboratory.load(1, rate=10) as load:
        laboratory.until(lambda: load.count("accepted") > 20, 30, "load")
        away_at = time.monotonic()
        laboratory.proxies.broker.black_hole()
        laboratory.until(lambda: time.monotonic() > away_at + BLACK_HOLE_SECONDS, 90, "a minute")
        answers_meanwhile(load, away_at, report)
        laboratory.proxies.restore()
        report.recovered(laboratory.recovery_seconds(within=RECOVERY_SECONDS))
    report.loaded(load)
    report.balanced(laboratory.drain(load))
    laboratory.clear(load)


def stop(laboratory: Laboratory) -> float:
    """Stop a worker that waits for a confirm, and start it again; how many seconds it took to end, with code 0."""
    child = laboratory.part(STOPPED).child
    assert child is not None
    began = time.monotonic()
    child.request_stop()
    assert child.ended_within(STOP_SECONDS)
    assert child.exit_code == 0
    seconds = time.monotonic() - began
    laboratory.stack.start_process(STOPPED)
    return seconds


@pytest.mark.fault("F3")
@pytest.mark.timeout(300)
def test_the_broker_blocks_publishers(laboratory: Laboratory, report: Report) -> None:
    with laboratory.load(3, rate=10) as load:
        began = time.monotonic()
        laboratory.until(lambda: time.monotonic() > began + BEFORE_SECONDS, 60, "a while before")
        memory = megabytes(laboratory.pid(POLLING))
        with disk_alarm(laboratory.part("rabbitmq")):
            blocked_at = time.monotonic()
            laboratory.until(lambda: time.monotonic() > blocked_at + ALARM_SECONDS, 90, "a minute")
            freed_at = time.monotonic()
            growth = megabytes(laboratory.pid(POLLING)) - memory
            report.note(f"{POLLING} grew by {growth:.0f} MB meanwhile")
            assert growth < MOST_GROWTH_MEGABYTES
            report.note(f"{STOPPED} stopped in {stop(laboratory):.1f} s meanwhile")
            assert laboratory.outbox() > 0, "nothing was held back"
            report.note(f"{laboratory.outbox()} events in the outbox")
        report.note(f"empty after {laboratory.until(lambda: laboratory.outbox() == 0, OUTBOX_SECONDS, 'outbox'):.1f} s")
        report.recovered(laboratory.recovery_seconds(within=RECOVERY_SECONDS))
    before, during = load.slowest(0.99, began, blocked_at), load.slowest(0.99, blocked_at, freed_at)
    report.note(f"p99 before {1000 * before:.0f} ms, during {1000 * during:.0f} ms")
    report.loaded(load)
    report.balanced(laboratory.drain(load))
    assert load.count("accepted") == len(load.requests)
    assert during < max(2 * before, LEAST_P99_SECONDS)
    laboratory.clear(load)
