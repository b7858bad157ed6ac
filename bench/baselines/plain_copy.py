"""COPYs a row for each price, as a plain table of price changes would have it: `plain_copy.py DSN PRODUCTS AT`.

Five offers and the best price of each product at one moment, into a table that is indexed by product, offer and time,
and partitioned by month. Prints `{"rows", "seconds", "cpu_seconds"}`, measured as in `bare_copy.py`.
"""

import json
import sys
import time
from datetime import datetime
from typing import Final

import asyncpg
import uvloop

from devstack.linux_processes import cpu_seconds

OFFERS: Final = 5
TABLE: Final = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE IF NOT EXISTS bench.plain (
  at timestamptz NOT NULL, price bigint, product_no int NOT NULL, offer_no int NOT NULL, items_in_stock int,
  PRIMARY KEY (product_no, offer_no, at)
) PARTITION BY RANGE (at);
CREATE TABLE IF NOT EXISTS bench.plain_default PARTITION OF bench.plain DEFAULT;
CREATE TABLE IF NOT EXISTS bench.plain_month PARTITION OF bench.plain FOR VALUES FROM ('{}') TO ('{}');
"""
COLUMNS: Final = ("at", "price", "product_no", "offer_no", "items_in_stock")


async def main(dsn: str, products: int, at: datetime) -> None:
    """Prepare, then measure."""
    connection = await asyncpg.connect(dsn)
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    await connection.execute(TABLE.format(first, following))
    rows = [
        (at, 20_000 + 10 * offer_no, product_no, offer_no, 5)
        for product_no in range(products)
        for offer_no in range(OFFERS + 1)
    ]
    server = connection.get_server_pid()
    cpu, began = time.process_time() + cpu_seconds(server), time.monotonic()
    await connection.copy_records_to_table("plain", schema_name="bench", columns=COLUMNS, records=rows)
    measured = {
        "rows": len(rows),
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() + cpu_seconds(server) - cpu,
    }
    await connection.close()
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), datetime.fromisoformat(sys.argv[3])))
