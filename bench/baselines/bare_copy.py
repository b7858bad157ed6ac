"""COPYs rows into a twin of the table they stand in, and does nothing else: `bare_copy.py DSN SINCE ROWS_AT_ONCE`.

The rows are those at or after SINCE in every partitioned table of the database. The twins have the same columns,
indexes and monthly partitions, and are kept, so that they grow as the tables do. ROWS_AT_ONCE is how many rows a
transaction has; 0 means all. Prints `{"rows", "seconds", "cpu_seconds"}`; CPU time is that of this process and of the
server's for its connection.
"""

import json
import sys
import time
from datetime import datetime
from typing import Any, Final

import asyncpg
import uvloop

from devstack.linux_processes import cpu_seconds

SCHEMA: Final = "bench"

PARTITIONED: Final = """
SELECT relname, attname FROM pg_partitioned_table
JOIN pg_class ON pg_class.oid = partrelid
JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0]
WHERE relnamespace = 'public'::regnamespace ORDER BY relname
"""


async def prepare(connection: "asyncpg.Connection[Any]", table: str, key: str, since: datetime) -> None:
    """Make the twin of a table, with the partition of the month and the default one."""
    first = since.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    twin = f"{SCHEMA}.{table}"
    await connection.execute(f"""
        CREATE SCHEMA IF NOT EXISTS {SCHEMA};
        CREATE TABLE IF NOT EXISTS {twin} (LIKE public.{table} INCLUDING ALL) PARTITION BY RANGE ({key});
        CREATE TABLE IF NOT EXISTS {twin}_default PARTITION OF {twin} DEFAULT;
        CREATE TABLE IF NOT EXISTS {twin}_month PARTITION OF {twin} FOR VALUES FROM ('{first}') TO ('{following}');
    """)


async def copy(connection: "asyncpg.Connection[Any]", table: str, rows: list[Any], rows_at_once: int) -> None:
    """COPY the rows, so many in a transaction."""
    columns = list(rows[0].keys())
    for start in range(0, len(rows), rows_at_once or len(rows)):
        batch = rows[start : start + (rows_at_once or len(rows))]
        await connection.copy_records_to_table(table, schema_name=SCHEMA, columns=columns, records=batch)


async def main(dsn: str, since: datetime, rows_at_once: int) -> None:
    """Fetch, then measure."""
    connection = await asyncpg.connect(dsn)
    server = connection.get_server_pid()
    tables = []
    for table, key in await connection.fetch(PARTITIONED):
        await prepare(connection, table, key, since)
        rows = await connection.fetch(f"SELECT * FROM public.{table} WHERE {key} >= $1", since)  # noqa: S608
        if rows:
            await connection.execute(f"DELETE FROM {SCHEMA}.{table} WHERE {key} >= $1", since)  # noqa: S608
            tables.append((table, rows))
    cpu, began = time.process_time() + cpu_seconds(server), time.monotonic()
    for table, rows in tables:
        await copy(connection, table, rows, rows_at_once)
    measured = {
        "rows": sum(len(rows) for _, rows in tables),
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() + cpu_seconds(server) - cpu,
    }
    await connection.close()
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], datetime.fromisoformat(sys.argv[2]), int(sys.argv[3])))
