"""COPYs new prices as rows, and does nothing else: `bare_copy.py DSN SHAPE PRODUCTS AT ROWS_AT_ONCE EVENTS`.

The rows are those of so many products whose five offers all changed at one moment; SHAPE is `changes`, a row for each
offer's new price, or `observations`, a row for each product with the changes packed in it. The table is indexed by what
makes a row unique, and partitioned by month, and is kept, so that it grows. ROWS_AT_ONCE is how many rows a transaction
has, 0 means all; each has a table of its own. EVENTS is how many events each transaction has, that each tell of as many
products' best prices as an event may: rows, too, of a table like the outbox. Prints `{"rows", "seconds",
"cpu_seconds"}`; CPU time is that of this process and of the server's for its connection.
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import uvloop

from aggregator_contracts import BestPriceChange, BestPriceChanged
from aggregator_contracts.envelope import MAX_TOGETHER
from devstack.linux_processes import cpu_seconds

OFFERS: Final = 5
TABLE: Final = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE IF NOT EXISTS bench.{name} ({columns}) PARTITION BY RANGE (at);
CREATE TABLE IF NOT EXISTS bench.{name}_default PARTITION OF bench.{name} DEFAULT;
CREATE TABLE IF NOT EXISTS bench.{name}_month PARTITION OF bench.{name} FOR VALUES FROM ('{first}') TO ('{following}');
"""
OUTBOX: Final = "CREATE TABLE IF NOT EXISTS bench.outbox (LIKE outbox INCLUDING ALL)"


class Shape(NamedTuple):
    """A table's columns, their names in the order of a row's values, and a product's rows."""

    columns: str
    names: tuple[str, ...]
    rows: Callable[[datetime, int], list[tuple[Any, ...]]]


SHAPES: Final = {
    "changes": Shape(
        "at timestamptz NOT NULL, price bigint, product_no int NOT NULL, offer_no int NOT NULL, items_in_stock int,"
        " PRIMARY KEY (product_no, offer_no, at)",
        ("at", "price", "product_no", "offer_no", "items_in_stock"),
        lambda at, product: [(at, 20_000 + 10 * offer, product, offer, 5) for offer in range(OFFERS)],
    ),
    "observations": Shape(
        "at timestamptz NOT NULL, best_in_stock bigint, best bigint, product_no int NOT NULL, changes bytea NOT NULL,"
        " PRIMARY KEY (product_no, at)",
        ("at", "best_in_stock", "best", "product_no", "changes"),
        lambda at, product: [(at, 20_000, None, product, b"packed" * OFFERS)],
    ),
}


def event(at: datetime) -> tuple[str, str, str]:
    """A row of the outbox."""
    change = BestPriceChange(
        product_id=UUID(int=0),
        revision=20,
        at=at,
        old_price=20_000,
        new_price=20_010,
        change_percent=0.05,
        offer_id="1000",
        cause="repriced",
        cause_offer_id="1000",
    )
    changes = [change.model_copy(update={"product_id": uuid4()}) for _ in range(MAX_TOGETHER)]
    told = BestPriceChanged.of(changes)
    return str(told.id), told.TYPE, told.to_json().decode()


class Together(NamedTuple):
    """What a transaction has; no rows are all."""

    rows: int
    events: int


async def main(dsn: str, name: str, products: int, at: datetime, together: Together) -> None:
    """Prepare, then measure."""
    shape = SHAPES[name]
    connection = await asyncpg.connect(dsn)
    server = connection.get_server_pid()
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    table = f"{name}_{together.rows}_{together.events}"
    await connection.execute(TABLE.format(name=table, columns=shape.columns, first=first, following=following))
    await connection.execute(OUTBOX)
    told = [event(at) for _ in range(together.events)]
    rows = [row for product in range(products) for row in shape.rows(at, product)]
    size = together.rows or len(rows)
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    cpu, began = time.process_time() + cpu_seconds(server), time.monotonic()
    for batch in batches:
        # A COPY by itself is committed by itself, without two round trips more.
        async with connection.transaction() if told else nullcontext():
            await connection.copy_records_to_table(table, schema_name="bench", columns=shape.names, records=batch)
            if told:
                await connection.copy_records_to_table(
                    "outbox", schema_name="bench", columns=("event_id", "type", "body"), records=told
                )
    measured = {
        "rows": len(rows),
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() + cpu_seconds(server) - cpu,
    }
    await connection.close()
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    _, dsn, shape, products, at, *counts = sys.argv
    uvloop.run(main(dsn, shape, int(products), datetime.fromisoformat(at), Together(*map(int, counts))))
