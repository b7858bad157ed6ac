"""What one changed product costs on its whole way: polled, published, and stored in both consumers."""

from statistics import median
from typing import Final

from bench.benchmarks.polling import (
    BEHIND,
    MICRO,
    MOST_WAITING,
    Window,
    bare_poll_microseconds,
    lively,
    polled,
    settle,
    waiting_messages,
    window,
)
from bench.outcome import Figure, Outcome, Target
from bench.sizes import Sizes
from bench.system import SIMULATOR, BenchmarkFailed, Say
from bench.wire import event_bytes, poll_bytes

LEAST_A_SECOND: Final = 500
MILLI: Final = 1e3


#: What travels and is written for each changed product: names that `capacity` reads.
POLL_BYTES: Final = "a poll on the wire"
EVENT_BYTES: Final = "a product in an event"
MESSAGES: Final = "messages"
WAL_BYTES: Final = "write-ahead log"
COMMITS: Final = "transactions"


def measure(sizes: Sizes, say: Say) -> Outcome:
    """Every product changes between any two polls; the simulator's CPU is shown, and does not count."""
    windows: list[Window] = []
    bare = []
    with polled(sizes, say) as system:
        product_ids = system.product_ids()
        on_the_wire = float(poll_bytes(system, product_ids[0]))
        for number in range(sizes.rounds):
            lively(system, sizes)
            settle(system)
            found = window(system, sizes.window_seconds)
            if (waiting := waiting_messages(system)) > MOST_WAITING:
                raise BenchmarkFailed(f"{waiting} messages wait, and it is to be shown that {BEHIND}")
            windows.append(found)
            bare.append(bare_poll_microseconds(system, product_ids, found.calls) / MICRO * MILLI)
            say(f"round {number + 1}: {_cost(found):.3f} ms at {found.calls / found.seconds:,.0f} a second")
    parts = {name: median(each.cpu[name] / each.calls * MILLI for each in windows) for name in windows[0].cpu}
    figures = [
        Figure(
            "poll to stored, all processes",
            "ms of CPU for each changed product",
            [_cost(each) for each in windows],
            bare,
            "bare aiohttp loop, fetch and decode only",
            Target("figure", "at most", 0.6),
            parts,
        ),
        Figure(POLL_BYTES, "bytes, request and answer", [on_the_wire]),
        Figure(EVENT_BYTES, "bytes", [event_bytes()]),
        Figure(MESSAGES, "for each changed product", [each.messages / each.calls for each in windows]),
        Figure(WAL_BYTES, "bytes for each changed product", [each.wal_bytes / each.calls for each in windows]),
        Figure(COMMITS, "for each changed product", [each.commits / each.calls for each in windows]),
    ]
    rates = [each.calls / each.seconds for each in windows]
    notes = [f"{min(rates):,.0f} to {max(rates):,.0f} changed products a second, five offers each, all prices changed"]
    if min(rates) < LEAST_A_SECOND:
        notes.append(f"A round had fewer than {LEAST_A_SECOND} changed products a second: the machine was too busy")
    return Outcome("path", "The whole path", figures, notes)


def _cost(found: Window) -> float:
    return sum(seconds for name, seconds in found.cpu.items() if name != SIMULATOR) / found.calls * MILLI
