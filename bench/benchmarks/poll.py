"""What one poll costs `offers-sync work`, when nothing changed and when every list did."""

from collections.abc import Callable

from bench.benchmarks.polling import MICRO, bare_poll_microseconds, polled, settle, window
from bench.outcome import Figure, Outcome, Target
from bench.sizes import Sizes
from bench.system import Say, System

UNIT = "µs of CPU for each product polled"
BASELINE = "bare aiohttp loop, same lists"


def measure(sizes: Sizes, say: Say) -> Outcome:
    """Both cases in turn, on one system."""
    cases: dict[str, tuple[Callable[[System], None], list[float], list[float]]] = {
        "nothing changed": (System.freeze_prices, [], []),
        "every list changed": (System.move_prices, [], []),
    }
    rates = []
    with polled(sizes, say) as system:
        product_ids = system.product_ids()
        for number in range(sizes.rounds):
            for name, (begin, ours, bare) in cases.items():
                begin(system)
                settle(sizes)
                found = window(system, sizes.window_seconds)
                rates.append(found.calls / found.seconds)
                ours.append(found.cpu["offers-sync-work"] / found.calls * MICRO)
                bare.append(bare_poll_microseconds(system, product_ids, found.calls))
                say(f"round {number + 1}, {name}: {ours[-1]:.0f} µs, bare loop {bare[-1]:.0f} µs")
    return Outcome(
        "poll",
        "Polling",
        [
            Figure(name, UNIT, ours, bare, BASELINE, Target("ratio", "at most", bound))
            for (name, (_, ours, bare)), bound in zip(cases.items(), (1.4, 2.6), strict=True)
        ],
        [f"{sizes.poll_products:,} products of five offers, {min(rates):,.0f} to {max(rates):,.0f} polls a second"],
    )
