"""How long after the poll that saw it a changed price stands in the product's trend, for whoever asks the API."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from bench.benchmarks.polling import lively, polled, settle
from bench.history import trend_url
from bench.outcome import Figure, Outcome, Target
from bench.sizes import Sizes
from bench.system import BenchmarkFailed, Say, System
from devstack import loopback_http

POLLS_PER_SECOND: Final = 500
PROBES_PER_SECOND: Final = 8
MOST_SECONDS: Final = 30.0
#: `observed_at` is taken when the answer is complete, which the simulator may count a moment later.
TOLERANCE: Final = timedelta(milliseconds=50)


class Probe(NamedTuple):
    """A poll whose price is looked for in the trend."""

    product_id: str
    at: datetime


def measure(sizes: Sizes, say: Say) -> Outcome:
    """Follow some of the polls of a system in which every list changes."""
    usual, rare = [], []
    with polled(replace(sizes, polls_per_second=POLLS_PER_SECOND), say) as system:
        lively(system, sizes)
        settle(system)
        for number in range(sizes.rounds):
            calls, began = system.calls_answered(), time.monotonic()
            seconds = sorted(_delays(system, sizes.window_seconds))
            rate = (system.calls_answered() - calls) / (time.monotonic() - began)
            usual.append(seconds[len(seconds) // 2])
            rare.append(seconds[int(len(seconds) * 0.99)])
            say(f"round {number + 1}: {len(seconds)} probes at {rate:,.0f} a second, p99 {rare[-1]:.2f} s")
    return Outcome(
        "freshness",
        "Freshness",
        [
            Figure("99 of 100 prices", "s from poll to trend", rare, target=Target("figure", "at most", 1.0)),
            Figure("half of the prices", "s from poll to trend", usual),
        ],
        [
            f"{POLLS_PER_SECOND} changed products a second, {PROBES_PER_SECOND} of them followed through catalog-api",
            "Wall-clock time: it holds on an idle machine only",
        ],
    )


def _delays(system: System, window_seconds: float) -> Iterator[float]:
    """Seconds from each probe's poll until its price was seen."""
    ends, next_probe_at = time.monotonic() + window_seconds, time.monotonic()
    probes: list[Probe] = []
    while probes or time.monotonic() < ends:
        if next_probe_at <= time.monotonic() < ends:
            probes.append(_latest_poll(system))
            next_probe_at += 1 / PROBES_PER_SECOND
        for probe in list(probes):
            if _is_seen(system, probe):
                probes.remove(probe)
                yield (datetime.now(UTC) - probe.at).total_seconds()
            elif datetime.now(UTC) - probe.at > timedelta(seconds=MOST_SECONDS):
                raise BenchmarkFailed(f"a price is not in the trend {MOST_SECONDS:.0f} s after its poll")


def _latest_poll(system: System) -> Probe:
    calls = system.admin("GET", f"/ledger?endpoint=offers&since={system.calls_answered() - 1}")["calls"]
    return Probe(calls[-1]["product"], datetime.fromtimestamp(calls[-1]["at"], UTC))


def _is_seen(system: System, probe: Probe) -> bool:
    url = trend_url(system.catalog_url, probe.product_id, period="1m", resolution="raw")
    points = loopback_http.call("GET", url)["points"]
    return bool(points) and datetime.fromisoformat(points[-1]["at"]) >= probe.at - TOLERANCE
