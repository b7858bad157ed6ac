"""The time of day is set an hour forth and back under a running system: of our processes, of the database (F11)."""

import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.faults.laboratory.clock import SteppedClock, faketime_library
from tests.faults.laboratory.laboratory import LEASE_SECONDS, Laboratory
from tests.faults.laboratory.report import Report

from devstack.postgresql import PostgresServer
from devstack.service_process import ServiceProcess

pytestmark = pytest.mark.thorough

INTERVAL_SECONDS = 4
HOUR_SECONDS = 3601
"""No whole number of intervals, so that the slots of a clock that was stepped are other ones."""
STEPS = (HOUR_SECONDS, 0, -HOUR_SECONDS, 0)
WATCHED_SECONDS = 2.5 * INTERVAL_SECONDS
RECOVERY_SECONDS = 30
EARLY_SECONDS = 0.5
"""No slot follows the last one within half an interval, be that one claimed late or the clock stepped (ADR 4).
Some more is the time from a slot to its call on a busy machine."""
LEAST_GAP_SECONDS = INTERVAL_SECONDS / 2 - EARLY_SECONDS
LONGEST_GAP_SECONDS = 2 * INTERVAL_SECONDS + LEASE_SECONDS
SHOWN_SECONDS = 5
TRUE_CLOCK = "offers-sync-work.2"
"""Keeps the machine's clock, so that two workers who share all work disagree about the time."""


@pytest.mark.fault("F11")
@pytest.mark.timeout(420)
@pytest.mark.parametrize("whose", ["ours", "postgresql"])
def test_the_clock_is_stepped_an_hour_forth_and_back(tmp_path: Path, report: Report, whose: str) -> None:
    library = faketime_library()
    if library is None:
        pytest.skip("libfaketime is not installed (on Debian and Ubuntu: apt-get install libfaketime)")
    with ExitStack() as close:
        settings: dict[str, Any] = {"OFFERS_POLL_INTERVAL_SECONDS": INTERVAL_SECONDS, "SCALE": "offers-sync-work=2"}
        laboratory = Laboratory(tmp_path, close, **settings)
        clock = SteppedClock(library, tmp_path / "clock")
        stepped = [name for name in laboratory.ours if name != TRUE_CLOCK] if whose == "ours" else [whose]
        give(laboratory, clock, stepped)
        with laboratory.load(11, rate=5) as load:
            laboratory.until(lambda: load.count("accepted") > 20, 30, "load")
            began_at, slowest = time.time(), 0.0
            for step in STEPS:
                clock.step(step)
                laboratory.until(lambda step=step: shown(laboratory, stepped, step), 10, f"{step} s are seen")  # type: ignore[misc]
                slowest = max(slowest, laboratory.recovery_seconds(within=RECOVERY_SECONDS))
                watched_at = time.monotonic()
                laboratory.until(lambda at=watched_at: time.monotonic() > at + WATCHED_SECONDS, 60, "polls")  # type: ignore[misc]
                assert negative(laboratory) == []
            ended_at = time.time()
            report.recovered(slowest)
        report.loaded(load)
        polls = polls_of_products(laboratory, began_at, ended_at)
        gaps = [later - earlier for ats in polls.values() for earlier, later in pairwise(ats)]
        longest = max(
            later - earlier
            for product_id, (since, until) in lives(laboratory, began_at, ended_at).items()
            for earlier, later in pairwise([since, *polls.get(product_id, []), until])
        )
        report.note(f"{len(gaps)} gaps between polls, {min(gaps):.1f} to {longest:.1f} s of {INTERVAL_SECONDS} s")
        report.balanced(laboratory.drain(load))
        assert load.count("accepted") == len(load.requests)
        assert longest <= LONGEST_GAP_SECONDS
        assert min(gaps) >= LEAST_GAP_SECONDS


def give(laboratory: Laboratory, clock: SteppedClock, names: Iterable[str]) -> None:
    """Start these processes again, with this clock in place of the machine's."""
    parts = [laboratory.part(name) for name in names]
    for part in parts:
        assert isinstance(part, PostgresServer | ServiceProcess)
        part.environment.update(clock.environment)
        part.stop()
    for part in parts:
        laboratory.stack.start_process(part.name)
    for part in parts:
        part.wait_until_ready()
    laboratory.until(lambda: not laboratory.not_ready(), 30, "ready with that clock")


def shown(laboratory: Laboratory, names: Iterable[str], step: int) -> bool:
    """Whether these processes show a time that is so many seconds off."""
    return all(abs(time_of_day(laboratory, name) - time.time() - step) < SHOWN_SECONDS for name in names)


def time_of_day(laboratory: Laboratory, name: str) -> float:
    """What a process holds for the time, in seconds since 1970."""
    health_url = laboratory.part(name).health_url
    if health_url is None:
        [(epoch,)] = laboratory.books.query("catalog", "SELECT extract(epoch FROM clock_timestamp())::float8")
        return float(epoch)
    with urllib.request.urlopen(f"{health_url}/healthz", timeout=5) as answer:  # noqa: S310 - ours
        return parsedate_to_datetime(answer.headers["Date"]).timestamp()


def negative(laboratory: Laboratory) -> list[str]:
    """The samples of our processes' metrics that are below nought: durations, ages, counts."""
    found = []
    for name, part in laboratory.ours.items():
        with urllib.request.urlopen(f"{part.health_url}/metrics", timeout=5) as answer:  # noqa: S310 - ours
            samples = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
        found += [f"{name}: {sample}" for sample in samples if float(sample.rpartition(" ")[2]) < 0]
    return found


def lives(laboratory: Laboratory, since: float, until: float) -> dict[str, tuple[float, float]]:
    """From when to when in this period each product that was not deleted in it was to be polled."""
    kept = {product_id for (product_id,) in laboratory.books.query("catalog", "SELECT id::text FROM products")}
    registered = {call["product"]: call["at"] for call in reversed(laboratory.offers_ms.calls("register"))}
    return {
        product_id: (max(since, at), until)
        for product_id, at in registered.items()
        if product_id in kept and at < until
    }


def polls_of_products(laboratory: Laboratory, since: float, until: float) -> dict[str, list[float]]:
    """When each product was polled, by the clock of the Offers MS, which is never stepped."""
    polls: defaultdict[str, list[float]] = defaultdict(list)
    for call in laboratory.offers_ms.calls("offers"):
        if since <= call["at"] < until:
            polls[call["product"]].append(call["at"])
    return polls
