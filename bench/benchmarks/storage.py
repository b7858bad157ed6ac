"""What a price change takes on disk, tables and indexes, when five offers change at once and when one does."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from bench.events import bodies, enqueue, observation
from bench.history import resting, stored
from bench.outcome import Figure, Outcome, Target
from bench.sizes import Sizes
from bench.system import OFFERS, Say, System, running

MOST_SECONDS: Final = 600.0
MINUTE: Final = timedelta(minutes=1)

TABLES: Final = """
SELECT coalesce(parent.relname, own.relname), sum(pg_total_relation_size(own.oid))::float
FROM pg_class AS own
LEFT JOIN pg_inherits ON inhrelid = own.oid
LEFT JOIN pg_class AS parent ON parent.oid = inhparent
WHERE own.relkind = 'r' AND own.relnamespace = 'public'::regnamespace GROUP BY 1
"""


def measure(sizes: Sizes, say: Say) -> Outcome:
    """Let tables grow by observations a minute apart, beyond what a product takes anyhow."""
    figures = []
    with running(say) as system:
        for changed in (OFFERS, 1):
            product_ids = [uuid4() for _ in range(sizes.storage_products)]
            begins = datetime.now(UTC) - (sizes.storage_observations + 1) * MINUTE
            _record(system, product_ids, range(1), begins, changed)
            before = _bytes(system)
            _record(system, product_ids, range(1, sizes.storage_observations + 1), begins, changed)
            after = _bytes(system)
            changes = len(product_ids) * sizes.storage_observations * changed
            parts = {table: (after[table] - before[table]) / changes for table in after}
            figures.append(
                Figure(
                    f"{changed} of {OFFERS} prices change" if changed > 1 else "1 price changes",
                    "bytes on disk for each price change",
                    [sum(parts.values())],
                    target=Target("figure", "at most", 60),
                    parts=parts,
                )
            )
            say(f"{changed} at once: {figures[-1].median:.1f} bytes")
    return Outcome(
        "storage",
        "Storage",
        figures,
        [
            f"{sizes.storage_products:,} products, {sizes.storage_observations:,} observations of each, a minute apart",
            "After VACUUM; with every table and index of price-history",
        ],
    )


def _record(system: System, product_ids: list[UUID], minutes: range, begins: datetime, changed: int) -> None:
    for minute in minutes:
        at = begins + minute * MINUTE
        updates = [observation(product_id, minute + 1, at, changed) for product_id in product_ids]
        enqueue(system.rabbitmq_url, bodies(updates))
    last = begins + minutes[-1] * MINUTE
    system.until(lambda: stored(system, product_ids[-1], last), MOST_SECONDS, "all is recorded")
    resting(system)


def _bytes(system: System) -> dict[str, float]:
    system.query("price_history", "VACUUM")
    return dict(system.query("price_history", TABLES))
