"""How fast `price-history work` stores what was polled, next to a bare COPY of the rows that come of it."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Final, NamedTuple
from uuid import UUID, uuid4

from aggregator_contracts.events import MAX_UPDATES
from bench.events import bodies, enqueue, observation
from bench.history import WORKER, stored
from bench.outcome import Figure, Outcome, Target
from bench.programs import run_program
from bench.sizes import Sizes
from bench.system import Say, System, running
from devstack.linux_processes import frozen

MOST_SECONDS: Final = 300.0
TARGET: Final = Target("ratio", "at least", 0.4)
UNITS: Final = (("recorded", "changed products a second"), ("recorded by CPU", "changed products for each CPU second"))


#: The baselines; the target speaks of the first.
WHOLE: Final = "COPY in one go"
BY_MESSAGE: Final = "COPY by message, each committed"
PLAIN: Final = "COPY of a row for each price into a plain table"


class Speed(NamedTuple):
    """Changed products stored in a second, and in a second of CPU."""

    per_second: float
    per_cpu_second: float


def measure(sizes: Sizes, say: Say) -> Outcome:
    """Drain a queue of full messages, then COPY the same rows: in one go, by message, and unpacked."""
    ours: list[Speed] = []
    bare: dict[str, list[Speed]] = {WHOLE: [], BY_MESSAGE: [], PLAIN: []}
    parts: dict[str, list[float]] = {}
    product_ids = [uuid4() for _ in range(sizes.ingest_products)]
    count = len(product_ids)
    with running(say) as system:
        dsn = system.databases["price_history"]
        _drain(system, product_ids, 1, datetime.now(UTC))
        for number in range(sizes.rounds):
            at = datetime.now(UTC)
            seconds, cpu = _drain(system, product_ids, number + 2, at)
            ours.append(Speed(count / seconds, count / sum(cpu.values())))
            for name, used in cpu.items():
                parts.setdefault(f"µs of {name} for each", []).append(used / count * 1e6)
            for name, arguments in {
                WHOLE: ("bare_copy", dsn, at.isoformat(), 0),
                BY_MESSAGE: ("bare_copy", dsn, at.isoformat(), MAX_UPDATES),
                PLAIN: ("plain_copy", dsn, count, at.isoformat()),
            }.items():
                found = run_program(f"baselines/{arguments[0]}", *arguments[1:])
                bare[name].append(Speed(count / found["seconds"], count / found["cpu_seconds"]))
            beside = ", ".join(f"{name} {each[-1].per_second:,.0f}" for name, each in bare.items())
            say(f"round {number + 1}: {ours[-1].per_second:,.0f} a second; {beside}")
    figures = [
        Figure(
            name,
            unit,
            [each[index] for each in ours],
            [each[index] for each in speeds],
            baseline,
            TARGET if baseline == WHOLE else None,
            {part: median(values) for part, values in parts.items()} if index and baseline == WHOLE else {},
        )
        for baseline, speeds in bare.items()
        for index, (name, unit) in enumerate(UNITS)
    ]
    return Outcome(
        "ingest",
        "Recording price history",
        figures,
        [
            f"{count:,} products a round, five offers each, all prices changed, {MAX_UPDATES} products a message",
            "The rows are those that the service wrote itself, COPYed into twins of its partitioned tables",
            "It packs the changes of an observation into one row, which stands for six of a plain table",
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
