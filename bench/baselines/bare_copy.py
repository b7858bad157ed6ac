"""COPYs new prices as rows, and does nothing else: `bare_copy.py DSN SHAPE PRODUCTS AT ROWS_AT_ONCE`.

The rows are those of so many products whose five offers all changed at one moment; SHAPE is `changes`, a row for each
offer's new price, or `observations`, a row for each product with the changes packed in it. The table is indexed by what
makes a row unique, and partitioned by month, and is kept, so that it grows. ROWS_AT_ONCE is how many rows a transaction
has, 0 means all; each has a table of its own. Prints `{"rows", "seconds", "cpu_seconds"}`; CPU time is that of this
process and of the server's for its connection.
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg
import uvloop

from devstack.linux_processes import cpu_seconds

OFFERS: Final = 5
TABLE: Final = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE IF NOT EXISTS bench.{name} ({columns}) PARTITION BY RANGE (at);
CREATE TABLE IF NOT EXISTS bench.{name}_default PARTITION OF bench.{name} DEFAULT;
CREATE TABLE IF NOT EXISTS bench.{name}_month PARTITION OF bench.{name} FOR VALUES FROM ('{first}') TO ('{following}');
"""


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


async def main(dsn: str, name: str, products: int, at: datetime, rows_at_once: int) -> None:
    """Prepare, then measure."""
    shape = SHAPES[name]
    connection = await asyncpg.connect(dsn)
    server = connection.get_server_pid()
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    table = f"{name}_{rows_at_once}"
    await connection.execute(TABLE.format(name=table, columns=shape.columns, first=first, following=following))
    rows = [row for product in range(products) for row in shape.rows(at, product)]
    size = rows_at_once or len(rows)
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    cpu, began = time.process_time() + cpu_seconds(server), time.monotonic()
    for batch in batches:
        await connection.copy_records_to_table(table, schema_name="bench", columns=shape.names, records=batch)
    measured = {
        "rows": len(rows),
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() + cpu_seconds(server) - cpu,
    }
    await connection.close()
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), datetime.fromisoformat(sys.argv[4]), int(sys.argv[5])))
