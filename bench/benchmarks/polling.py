"""What the benchmarks that poll have in common: a system whose every product is polled, and a window to measure it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from aggregator_contracts.topology import CATALOG_OFFERS, HISTORY_OFFERS
from bench.programs import run_program
from bench.sizes import Sizes
from bench.system import Say, System, running
from devstack.linux_processes import frozen

CONNECTIONS: Final = 32
#: Far shorter than an interval, so that no poll meets the prices of the one before.
TICK_SECONDS: Final = 0.5
#: One registration takes some milliseconds.
SECONDS_FOR_EACH_THOUSAND: Final = 20.0
MICRO: Final = 1e6
POLLER: Final = "offers-sync-work"
MESSAGES: Final = 'aggregator_events_published_total{type="offers.offers-updated.v1"}'
CONSUMERS: Final = (CATALOG_OFFERS.queue, HISTORY_OFFERS.queue)
#: Messages of up to a hundred products that may wait while consumers keep up: they come in bursts.
MOST_WAITING: Final = 20
SECONDS_UNTIL_LIVELY: Final = 3.0
MOST_SECONDS_BEHIND: Final = 60.0
BEHIND: Final = "consumers keep up (if they can't, lower POLLS_PER_SECOND)"
#: Of the whole server.
WRITTEN: Final = """
SELECT pg_current_wal_lsn() - '0/0', (SELECT sum(xact_commit) FROM pg_stat_database)
"""


class Window(NamedTuple):
    """What happened in a while.

    `calls` were answered by the Offers MS, `cpu` is in seconds by part; `wal_bytes` and `commits` are PostgreSQL's,
    `messages` those that told of changed lists.
    """

    calls: int
    cpu: Mapping[str, float]
    seconds: float
    wal_bytes: float
    commits: float
    messages: float


@contextmanager
def polled(sizes: Sizes, say: Say) -> Iterator[System]:
    """A system that polls `poll_products` products at `polls_per_second`, with prices that do not move yet."""
    interval = sizes.poll_products / sizes.polls_per_second
    environment = {
        "OFFERS_POLL_INTERVAL_SECONDS": interval,
        "OFFERS_MAX_CONCURRENCY": CONNECTIONS,
        "SIMULATOR_TICK_SECONDS": TICK_SECONDS,
    }
    with running(say, environment) as system:
        system.freeze_prices()
        system.create_products(sizes.poll_products)
        system.wait_until_polled(sizes.poll_products, 30 + sizes.poll_products / 1000 * SECONDS_FOR_EACH_THOUSAND)
        yield system


def quiet(system: System, sizes: Sizes) -> None:
    """Stop prices, and wait until every product has been polled since."""
    system.freeze_prices()
    enough = system.calls_answered() + 1.2 * sizes.poll_products
    most_seconds = 10 + 2 * sizes.poll_products / sizes.polls_per_second
    system.until(lambda: system.calls_answered() > enough, most_seconds, "every product is polled")


def lively(system: System, _: Sizes) -> None:
    """Let all prices move, and wait until what follows from it is under way everywhere."""
    system.move_prices()
    time.sleep(SECONDS_UNTIL_LIVELY)


def settle(system: System) -> None:
    """Wait until consumers have no more to do than what was polled in the last moment.

    Raises:
        BenchmarkFailed: they don't get there.
    """
    system.until(lambda: waiting_messages(system) <= MOST_WAITING, MOST_SECONDS_BEHIND, BEHIND)


def waiting_messages(system: System) -> int:
    """In the queue of that consumer which has the most, those in its hands included."""
    lengths = system.queue_lengths()
    return max(lengths[queue] for queue in CONSUMERS)


def window(system: System, seconds: float) -> Window:
    """Measure the system as it runs."""
    written, messages = system.query("catalog", WRITTEN)[0], system.metric(POLLER, MESSAGES)
    calls, cpu, began = system.calls_answered(), system.cpu(), time.monotonic()
    time.sleep(seconds)
    after, calls_after, took = system.cpu(), system.calls_answered(), time.monotonic() - began
    written_after = system.query("catalog", WRITTEN)[0]
    return Window(
        calls=calls_after - calls,
        cpu={name: after[name] - cpu[name] for name in cpu},
        seconds=took,
        wal_bytes=float(written_after[0] - written[0]),
        commits=float(written_after[1] - written[1]),
        messages=system.metric(POLLER, MESSAGES) - messages,
    )


def bare_poll_microseconds(system: System, product_ids: list[str], polls: int, pace: float = 0.0) -> float:
    """CPU of the bare loop for each list, at `pace` a second or flat out, while `offers-sync work` stands still."""
    arguments = (system.offers_base_url, system.token(), CONNECTIONS, polls, pace)
    with frozen(system.pid(POLLER)):
        bare = run_program("baselines/bare_poll", *arguments, given="\n".join(product_ids))
    return bare["cpu_seconds"] / bare["polls"] * MICRO
