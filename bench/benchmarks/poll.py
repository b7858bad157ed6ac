"""What one poll costs `offers-sync work`, when nothing changed and when every list did, flat out and paced."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from bench.benchmarks.polling import (
    MICRO,
    POLLER,
    Window,
    bare_poll_microseconds,
    lively,
    polled,
    quiet,
    window,
)
from bench.outcome import Figure, Outcome, Target
from bench.sizes import Sizes
from bench.system import Say, System
from devstack.linux_processes import frozen

UNIT: Final = "µs of CPU for each product polled"
BASELINE: Final = "bare aiohttp loop, same lists, same pace"
CONSUMERS: Final = ("catalog-api-work", "price-history-work")
#: Far shorter than polling all products takes, so that some are always due.
FLAT_OUT_SECONDS: Final = 1.0


@dataclass
class Case:
    """Windows of the system in one state, each with the bare loop's µs beside it."""

    name: str
    begin: Callable[[System, Sizes], None]
    target: Target | None = None
    flat_out: bool = True
    windows: list[Window] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    def measure(self, system: System, sizes: Sizes, product_ids: list[str]) -> str:
        """One round; what it found."""
        self.begin(system, sizes)
        found = window(system, sizes.window_seconds)
        pace = 0.0 if self.flat_out else found.calls / found.seconds
        self.windows.append(found)
        self.bare.append(bare_poll_microseconds(system, product_ids, found.calls, pace))
        return f"{self.name}: {self.microseconds(POLLER)[-1]:.0f} µs, bare loop {self.bare[-1]:.0f} µs"

    def microseconds(self, part: str) -> list[float]:
        """CPU of a part for each poll."""
        return [each.cpu[part] / each.calls * MICRO for each in self.windows]

    def figure(self) -> Figure:
        """What `offers-sync work` takes, and what every part does."""
        parts = {part: median(self.microseconds(part)) for part in self.windows[0].cpu}
        return Figure(self.name, UNIT, self.microseconds(POLLER), self.bare, BASELINE, self.target, parts)


def measure(sizes: Sizes, say: Say) -> Outcome:
    """All cases in turn, on one system whose consumers stand still: what they do is no part of a poll."""
    flat_out = [
        Case("nothing changed", quiet, Target("ratio", "at most", 1.4)),
        Case("every list changed", lively, Target("ratio", "at most", 2.6)),
    ]
    paced = [Case(f"{case.name}, {sizes.polls_per_second:,} a second", case.begin, flat_out=False) for case in flat_out]
    with polled(sizes, say) as system, ExitStack() as consumers:
        product_ids = system.product_ids()
        for name in CONSUMERS:
            consumers.enter_context(frozen(system.pid(name)))
        for cases in (paced, flat_out):
            if cases is flat_out:
                system.restart(POLLER, {"OFFERS_POLL_INTERVAL_SECONDS": FLAT_OUT_SECONDS})
            for number in range(sizes.rounds):
                for case in cases:
                    say(f"round {number + 1}, {case.measure(system, sizes, product_ids)}")
    rates = [each.calls / each.seconds for case in flat_out for each in case.windows]
    note = f"{sizes.poll_products:,} products of five offers; flat out, {min(rates):,.0f} to {max(rates):,.0f} a second"
    return Outcome("poll", "Polling", [case.figure() for case in (*flat_out, *paced)], [note])
