"""What one changed product costs on its whole way: polled, published, and stored in both consumers."""

from typing import Final

from aggregator_contracts.topology import CATALOG_OFFERS, HISTORY_OFFERS
from bench.benchmarks.polling import MICRO, bare_poll_microseconds, polled, settle, window
from bench.outcome import Figure, Outcome, Target
from bench.sizes import Sizes
from bench.system import SIMULATOR, BenchmarkFailed, Say

CONSUMERS: Final = (CATALOG_OFFERS.queue, HISTORY_OFFERS.queue)
#: Messages that may wait while consumers keep up: they come in bursts, some dozens a second.
MOST_WAITING: Final = 50
LEAST_A_SECOND: Final = 500
MILLI: Final = 1e3


def measure(sizes: Sizes, say: Say) -> Outcome:
    """Every product changes between any two polls; the simulator's CPU is shown, and does not count."""
    costs, bare, rates = [], [], []
    parts: dict[str, list[float]] = {}
    with polled(sizes, say) as system:
        product_ids = system.product_ids()
        system.move_prices()
        for number in range(sizes.rounds):
            settle(sizes)
            found = window(system, sizes.window_seconds)
            waiting = system.queue_lengths()
            if behind := {queue: waiting[queue] for queue in CONSUMERS if waiting[queue] > MOST_WAITING}:
                raise BenchmarkFailed(f"consumers do not keep up: {behind}")
            rates.append(found.calls / found.seconds)
            for name, seconds in found.cpu.items():
                parts.setdefault(name, []).append(seconds / found.calls * MILLI)
            costs.append(sum(parts[name][-1] for name in parts if name != SIMULATOR))
            bare.append(bare_poll_microseconds(system, product_ids, found.calls) / MICRO * MILLI)
            say(f"round {number + 1}: {costs[-1]:.3f} ms at {rates[-1]:,.0f} a second")
    notes = [f"{min(rates):,.0f} to {max(rates):,.0f} changed products a second, five offers each, all prices changed"]
    if min(rates) < LEAST_A_SECOND:
        notes.append(f"A round had fewer than {LEAST_A_SECOND} changed products a second: the machine was too busy")
    return Outcome(
        "path",
        "The whole path",
        [
            Figure(
                "poll to stored, all processes",
                "ms of CPU for each changed product",
                costs,
                bare,
                "bare aiohttp loop, fetch and decode only",
                Target("figure", "at most", 0.6),
                {name: sorted(values)[len(values) // 2] for name, values in parts.items()},
            )
        ],
        notes,
    )
