"""What one poll costs `offers-sync work`, when nothing changed and when every list did."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from bench.benchmarks.polling import MICRO, POLLER, Window, bare_poll_microseconds, lively, polled, quiet, window
from bench.outcome import Figure, Outcome, Target
from bench.sizes import Sizes
from bench.system import Say, System

UNIT: Final = "µs of CPU for each product polled"
BASELINE: Final = "bare aiohttp loop, same lists"


@dataclass
class Case:
    """Windows of the system in one state, each with the bare loop's µs beside it."""

    name: str
    begin: Callable[[System, Sizes], None]
    at_most: float
    windows: list[Window] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    def microseconds(self, part: str) -> list[float]:
        """CPU of a part for each poll."""
        return [each.cpu[part] / each.calls * MICRO for each in self.windows]

    def figure(self) -> Figure:
        """What `offers-sync work` takes, and what every part does."""
        parts = {part: median(self.microseconds(part)) for part in self.windows[0].cpu}
        target = Target("ratio", "at most", self.at_most)
        return Figure(self.name, UNIT, self.microseconds(POLLER), self.bare, BASELINE, target, parts)


def measure(sizes: Sizes, say: Say) -> Outcome:
    """Both cases in turn, on one system."""
    cases = [
        Case("nothing changed", quiet, 1.4),
        Case("every list changed", lambda running, _: lively(running), 2.6),
    ]
    with polled(sizes, say) as system:
        product_ids = system.product_ids()
        for number in range(sizes.rounds):
            for case in cases:
                case.begin(system, sizes)
                found = window(system, sizes.window_seconds)
                case.windows.append(found)
                case.bare.append(bare_poll_microseconds(system, product_ids, found.calls))
                ours = case.microseconds(POLLER)[-1]
                say(f"round {number + 1}, {case.name}: {ours:.0f} µs, bare loop {case.bare[-1]:.0f} µs")
    rates = [each.calls / each.seconds for case in cases for each in case.windows]
    return Outcome(
        "poll",
        "Polling",
        [case.figure() for case in cases],
        [f"{sizes.poll_products:,} products of five offers, {min(rates):,.0f} to {max(rates):,.0f} polls a second"],
    )
