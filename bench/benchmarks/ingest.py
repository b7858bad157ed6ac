"""How fast `price-history work` stores what was polled, next to a bare COPY of it."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Final, NamedTuple
from uuid import UUID, uuid4

from aggregator_contracts.envelope import MAX_TOGETHER
from bench.events import bodies, enqueue, observation
from bench.history import WORKER, stored
from bench.outcome import Figure, Outcome, Target
from bench.programs import run_program
from bench.sizes import Sizes
from bench.system import OFFERS, Say, System, running
from devstack.linux_processes import frozen

MOST_SECONDS: Final = 300.0
#: Observations of five changes each that fill a chunk.
CHUNK: Final = 16
TARGET: Final = Target("ratio", "at least", 0.4)
UNITS: Final = ("changed products a second", "changed products for each CPU second")
#: What is measured, and DERIVED_EVENTS of the worker.
RECORDED: Final = "recorded"
TOLD: Final = "recorded, and best prices told"
SWITCHES: Final = {RECORDED: "off", TOLD: "on"}


class Copy(NamedTuple):
    """A bare COPY: the shape of its rows, how many of them are committed at once (0: all), and how many events."""

    shape: str
    rows: int
    events: int = 0


BY_MESSAGE: Final = "COPY of a row for each price, each message committed"
WITH_EVENTS: Final = "COPY of a row for each price and of the events, each message committed"
COPIES: Final = {
    BY_MESSAGE: Copy("changes", OFFERS * MAX_TOGETHER),
    WITH_EVENTS: Copy("changes", OFFERS * MAX_TOGETHER, events=1),
    "COPY of a row for each price, in one go": Copy("changes", 0),
    "COPY of a packed row for each product, each message committed": Copy("observations", MAX_TOGETHER),
    "COPY of a packed row for each product, in one go": Copy("observations", 0),
}
#: The baselines of each. A target speaks of the COPY of the same rows: those that history lists and, where events tell
#: of them through the outbox, the outbox's; a message is acked only when all of that is stored.
BASELINES: Final = {RECORDED: [name for name in COPIES if name != WITH_EVENTS], TOLD: [WITH_EVENTS, BY_MESSAGE]}
SAME_ROWS: Final = {RECORDED: BY_MESSAGE, TOLD: WITH_EVENTS}


class Speed(NamedTuple):
    """Changed products stored in a second, and in a second of CPU."""

    per_second: float
    per_cpu_second: float


def measure(sizes: Sizes, say: Say) -> Outcome:
    """Drain a queue of full messages, then COPY what they tell: as rows of two shapes, by message and in one go."""
    ours: dict[str, list[Speed]] = {what: [] for what in SWITCHES}
    bare: dict[str, dict[str, list[Speed]]] = {what: {name: [] for name in BASELINES[what]} for what in SWITCHES}
    parts: dict[str, dict[str, list[float]]] = {what: {} for what in SWITCHES}
    product_ids = [uuid4() for _ in range(sizes.ingest_products)]
    count, revision = len(product_ids), CHUNK
    with running(say) as system:
        dsn = system.databases["price_history"]
        _fill_chunks(system, product_ids)
        for what, switch in SWITCHES.items():
            system.restart(WORKER, {"DERIVED_EVENTS": switch})
            # What it does not know yet it reads first.
            revision += 1
            _drain(system, product_ids, revision, datetime.now(UTC))
            for number in range(sizes.rounds):
                at = datetime.now(UTC)
                revision += 1
                seconds, cpu = _drain(system, product_ids, revision, at)
                ours[what].append(Speed(count / seconds, count / sum(cpu.values())))
                for name, used in cpu.items():
                    parts[what].setdefault(f"µs of {name} for each", []).append(used / count * 1e6)
                for name, copied in bare[what].items():
                    shape, rows, events = COPIES[name]
                    found = run_program("baselines/bare_copy", dsn, shape, count, at.isoformat(), rows, events)
                    copied.append(Speed(count / found["seconds"], count / found["cpu_seconds"]))
                copies = ", ".join(f"{name} {each[-1].per_cpu_second:,.0f}" for name, each in bare[what].items())
                say(f"round {number + 1}, {what}: {ours[what][-1].per_cpu_second:,.0f} a CPU second; {copies}")
    figures: list[Figure] = []
    for what, names in BASELINES.items():
        by_part = {part: median(of_rounds) for part, of_rounds in parts[what].items()}
        for baseline in names:
            is_same = baseline == SAME_ROWS[what]
            target = TARGET if is_same else None
            for index, unit in enumerate(UNITS):
                values, beside = ([each[index] for each in speeds] for speeds in (ours[what], bare[what][baseline]))
                figures.append(
                    Figure(what, unit, values, beside, baseline, target, by_part if is_same and index else {})
                )
    return Outcome(
        "ingest",
        "Recording price history",
        figures,
        [
            f"{count:,} products a round, five offers each, all prices changed, {MAX_TOGETHER} products a message",
            "Each list changes its product's best price: the most there ever is to tell, through the outbox",
            "Products have been observed 1 to 16 times before, so that one in 16 has a chunk closed in each round",
            "The COPYs have no message to parse, nothing to compare, no best price, and no order or repetition to mind",
            "The targets speak of the same rows: those that history lists, and the outbox's where events tell of them",
        ],
    )


def _fill_chunks(system: System, product_ids: Sequence[UUID]) -> None:
    """Observe the products so often that their heads are of every length there is."""
    for revision in range(1, CHUNK + 1):
        observed = [product_id for number, product_id in enumerate(product_ids) if number % CHUNK >= CHUNK - revision]
        _drain(system, observed, revision, datetime.now(UTC))


def _drain(system: System, product_ids: Sequence[UUID], revision: int, at: datetime) -> tuple[float, dict[str, float]]:
    """Seconds until all is stored, and told if that is wanted, and CPU seconds of the worker and of PostgreSQL."""
    with frozen(system.pid(WORKER)):
        enqueue(system.rabbitmq_url, bodies([observation(product_id, revision, at) for product_id in product_ids]))
        cpu, began = system.cpu(), time.monotonic()
    system.until(lambda: stored(system, product_ids[-1], at), MOST_SECONDS, "the queue is drained")
    system.until(lambda: not system.query("price_history", "SELECT FROM outbox LIMIT 1"), MOST_SECONDS, "all is told")
    seconds, after = time.monotonic() - began, system.cpu()
    return seconds, {name: after[name] - cpu[name] for name in (WORKER, "postgresql")}
