"""How fast `price-history work` stores what was polled, next to a bare COPY of the rows that come of it."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

from aggregator_contracts.events import MAX_UPDATES
from bench.events import bodies, enqueue, observation
from bench.history import WORKER, stored
from bench.outcome import Figure, Outcome, Target
from bench.programs import run_program
from bench.sizes import Sizes
from bench.system import Say, System, running
from devstack.linux_processes import frozen

MOST_SECONDS = 300.0
TARGET = Target("ratio", "at least", 0.4)


def measure(sizes: Sizes, say: Say) -> Outcome:
    """Drain a queue of full messages, then COPY the same rows: in one go, and by message."""
    speed, thrift, parts = [], [], []
    bare_speed, bare_thrift, by_message = [], [], []
    product_ids = [uuid4() for _ in range(sizes.ingest_products)]
    count = len(product_ids)
    with running(say) as system:
        _drain(system, product_ids, 1, datetime.now(UTC))
        for number in range(sizes.rounds):
            since = datetime.now(UTC)
            seconds, cpu = _drain(system, product_ids, number + 2, since)
            speed.append(count / seconds)
            thrift.append(count / sum(cpu.values()))
            parts.append(cpu)
            rows = (system.databases["price_history"], since.isoformat())
            whole = run_program("baselines/bare_copy", *rows, 0)
            bare_speed.append(count / whole["seconds"])
            bare_thrift.append(count / whole["cpu_seconds"])
            by_message.append(count / run_program("baselines/bare_copy", *rows, MAX_UPDATES)["seconds"])
            say(f"round {number + 1}: {speed[-1]:,.0f} a second, COPY {bare_speed[-1]:,.0f}, {by_message[-1]:,.0f}")
    last = {name: count / seconds for name, seconds in parts[-1].items() if seconds}
    return Outcome(
        "ingest",
        "Recording price history",
        [
            Figure("recorded", "changed products a second", speed, bare_speed, "COPY in one go", TARGET),
            Figure(
                "recorded by CPU",
                "changed products for each CPU second",
                thrift,
                bare_thrift,
                "COPY in one go",
                TARGET,
                last,
            ),
            Figure("recorded", "changed products a second", speed, by_message, "COPY by message, each committed"),
        ],
        [
            f"{count:,} products a round, five offers each, all prices changed, {MAX_UPDATES} products a message",
            "The rows are those that the service wrote itself, COPYed into twins of its partitioned tables",
        ],
    )


def _drain(system: System, product_ids: Sequence[UUID], revision: int, at: datetime) -> tuple[float, dict[str, float]]:
    """Seconds from the first message to the last, and CPU seconds of the worker and of PostgreSQL."""
    with frozen(system.pid(WORKER)):
        enqueue(system.rabbitmq_url, bodies([observation(product_id, revision, at) for product_id in product_ids]))
        cpu, began = system.cpu(), time.monotonic()
    system.until(lambda: stored(system, product_ids[-1], at), MOST_SECONDS, "the queue is drained")
    seconds, after = time.monotonic() - began, system.cpu()
    return seconds, {name: after[name] - cpu[name] for name in (WORKER, "postgresql")}
