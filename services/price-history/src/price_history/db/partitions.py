"""The monthly partitions of `price_changes`: made ahead, filled from the default one, dropped when they are old.

A partition is attached rather than created in place, so that readers of the table are never locked out; what waits
for a lock gives up after two seconds and is tried again, since everybody else waits behind it.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from price_history.db.packing import pack_state, unpack_changes, unpack_state
from price_history.db.rolling import queue_keyframes
from price_history.domain.keyframes import State, StoredChange, state_after
from price_history.domain.months import Month

_LOCK_KEY: Final = 0x7061_7274
"""The advisory lock of the one copy that changes partitions; the letters of `part`."""
_NAME: Final = re.compile(r"price_changes_([0-9]{4})_([0-9]{2})")

_TAKE_TURN: Final = sa.text("SELECT pg_advisory_xact_lock(:key), set_config('lock_timeout', '2s', true)")

_PARTITIONS: Final = sa.text("""
SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'price_changes'::regclass
""")

_STRAY_MONTHS: Final = sa.text("""
SELECT DISTINCT extract(year FROM at)::int, extract(month FROM at)::int
FROM price_changes_default WHERE at >= '0001-01-01' AND at < :until
""")

_LAST_PRODUCT_NO: Final = sa.text("SELECT coalesce(max(product_no), 0) FROM products")

# For each product, the rows from its last keyframe at or before the boundary up to it: at most KEYFRAME_EVERY.
_ROWS_BEFORE: Final = sa.text("""
SELECT row.product_no, row.best_in_stock, row.best_out_of_stock, row.changes, row.state
FROM products
CROSS JOIN LATERAL (
  SELECT at FROM price_changes
  WHERE product_no = products.product_no AND at <= :boundary AND state IS NOT NULL ORDER BY at DESC LIMIT 1
) AS keyframe
JOIN price_changes AS row ON row.product_no = products.product_no AND row.at BETWEEN keyframe.at AND :boundary
WHERE products.product_no > :after AND products.product_no <= :upto AND products.deleted_at IS NULL
ORDER BY row.product_no, row.at
""")

_CARRY: Final = sa.text(r"""
INSERT INTO price_changes (product_no, at, best_in_stock, best_out_of_stock, changes, state)
SELECT product_no, :boundary, in_stock, out_of_stock, '\x90', state
FROM unnest(CAST(:product_nos AS int[]), CAST(:in_stock AS bigint[]), CAST(:out_of_stock AS bigint[]),
            CAST(:states AS bytea[])) AS carried (product_no, in_stock, out_of_stock, state)
ON CONFLICT (product_no, at) DO UPDATE SET state = excluded.state
""")

_STRAYS_BEFORE: Final = sa.text("SELECT EXISTS (SELECT FROM price_changes_default WHERE at < :boundary)")
_FORGET_STRAYS: Final = sa.text("DELETE FROM price_changes_default WHERE at < :boundary")
_FORGET_OFFERS: Final = sa.text("DELETE FROM offers WHERE ended_at < :boundary")
_KEPT_SINCE: Final = (
    sa.text("DELETE FROM retention"),
    sa.text("INSERT INTO retention (kept_since) VALUES (:boundary)"),
)


async def take_turn(connection: AsyncConnection) -> None:
    """Wait for other copies that change partitions now, until the transaction ends."""
    await connection.execute(_TAKE_TURN, {"key": _LOCK_KEY})


async def existing_months(connection: AsyncConnection) -> set[Month]:
    """The months that have a partition."""
    names = await connection.scalars(_PARTITIONS)
    return {Month(int(match[1]), int(match[2])) for name in names if (match := _NAME.fullmatch(name))}


async def stray_months(connection: AsyncConnection, until: Month) -> set[Month]:
    """The months before `until` whose rows lie in the default partition."""
    rows = await connection.execute(_STRAY_MONTHS, {"until": until.begins})
    return {Month(year, month) for year, month in rows}


async def add_month(connection: AsyncConnection, month: Month) -> None:
    """Make a month's partition, with what waits for it in the default one."""
    name = _name(month)
    begins, ends = month.begins.isoformat(), month.following.begins.isoformat()
    await connection.execute(sa.text("LOCK TABLE price_changes_default IN ACCESS EXCLUSIVE MODE"))
    await connection.execute(sa.text(f"CREATE TABLE {name} (LIKE price_changes INCLUDING ALL)"))
    await connection.execute(
        sa.text(f"""
        WITH moved AS (DELETE FROM price_changes_default WHERE at >= :begins AND at < :ends RETURNING *)
        INSERT INTO {name} SELECT * FROM moved
        """),  # noqa: S608 - our own name
        {"begins": month.begins, "ends": month.following.begins},
    )
    await connection.execute(
        sa.text(f"ALTER TABLE price_changes ATTACH PARTITION {name} FOR VALUES FROM ('{begins}') TO ('{ends}')")
    )


async def drop_month(connection: AsyncConnection, month: Month) -> None:
    """Drop a month's partition."""
    await connection.execute(sa.text(f"DROP TABLE IF EXISTS {_name(month)}"))


async def has_strays_before(connection: AsyncConnection, boundary: datetime) -> bool:
    """Whether the default partition has rows that are older."""
    found: bool = (await connection.execute(_STRAYS_BEFORE, {"boundary": boundary})).scalar_one()
    return found


async def forget_before(connection: AsyncConnection, boundary: datetime) -> None:
    """Delete what is older in the default partition, and the offers that ended before; note what is kept."""
    for statement in (_FORGET_STRAYS, _FORGET_OFFERS, *_KEPT_SINCE):
        await connection.execute(statement, {"boundary": boundary})


async def last_product_no(connection: AsyncConnection) -> int:
    """The highest number of a product."""
    number: int = (await connection.execute(_LAST_PRODUCT_NO)).scalar_one()
    return number


async def carry_prices(connection: AsyncConnection, boundary: datetime, after: int, upto: int) -> None:
    """Write the prices in effect at `boundary` as a keyframe without changes, for products `after` < number <= `upto`.

    What lies before the boundary can be dropped, once it is rolled up, without losing the prices that hold beyond it. A
    product without offers is carried too: what remains of a product's rows must begin with a keyframe. Idempotent.
    """
    rows = await connection.execute(_ROWS_BEFORE, {"boundary": boundary, "after": after, "upto": upto})
    states: list[tuple[int, State]] = []
    for product_no, history in groupby(rows, key=lambda row: row.product_no):
        states.append((product_no, state_after(_stored(*row[1:]) for row in history)))
    await _store_carried(connection, boundary, states)


def _stored(in_stock: int | None, out_of_stock: int | None, changes: bytes, state: bytes | None) -> StoredChange:
    return StoredChange(in_stock, out_of_stock, unpack_changes(changes), None if state is None else unpack_state(state))


async def _store_carried(connection: AsyncConnection, boundary: datetime, states: Sequence[tuple[int, State]]) -> None:
    if not states:
        return
    await connection.execute(
        _CARRY,
        {
            "boundary": boundary,
            "product_nos": [number for number, _ in states],
            "in_stock": [state.best_in_stock for _, state in states],
            "out_of_stock": [state.best_out_of_stock for _, state in states],
            "states": [pack_state(state.prices) for _, state in states],
        },
    )
    await queue_keyframes(connection, [(number, boundary) for number, _ in states])


def _name(month: Month) -> str:
    return f"price_changes_{month.year:04}_{month.month:02}"
