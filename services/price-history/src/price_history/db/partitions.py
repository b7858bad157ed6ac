"""The monthly partitions of `chunks`: made ahead, filled from the default one, dropped when they are old.

A partition is attached rather than created in place, so that readers of the table are never locked out; what waits
for a lock gives up after two seconds and is tried again, since everybody else waits behind it.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from price_history.domain.months import Month

_LOCK_KEY: Final = 0x7061_7274
"""The advisory lock of the one copy that changes partitions; the letters of `part`."""
_NAME: Final = re.compile(r"chunks_([0-9]{4})_([0-9]{2})")

_TAKE_TURN: Final = sa.text("SELECT pg_advisory_xact_lock(:key), set_config('lock_timeout', '2s', true)")

_PARTITIONS: Final = sa.text("""
SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'chunks'::regclass
""")

_STRAY_MONTHS: Final = sa.text("""
SELECT DISTINCT extract(year FROM ends)::int, extract(month FROM ends)::int
FROM chunks_default WHERE ends >= :since AND ends < :until
""")

# Functions of the tables' owner: the role that runs this may not make or drop anything by itself.
_ADD_MONTH: Final = sa.text("SELECT add_month(:month)")
_DROP_MONTH: Final = sa.text("SELECT drop_month(:month)")

_LAST_PRODUCT_NO: Final = sa.text("SELECT coalesce(max(product_no), 0) FROM products")

_STRAYS_BEFORE: Final = sa.text("SELECT EXISTS (SELECT FROM chunks_default WHERE ends < :boundary)")
_FORGET_STRAYS: Final = sa.text("DELETE FROM chunks_default WHERE ends < :boundary")
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


async def stray_months(connection: AsyncConnection, since: Month, until: Month) -> set[Month]:
    """The months from `since` on and before `until` whose rows lie in the default partition."""
    rows = await connection.execute(_STRAY_MONTHS, {"since": since.begins, "until": until.begins})
    return {Month(year, month) for year, month in rows}


async def add_month(connection: AsyncConnection, month: Month) -> None:
    """Make a month's partition, with what waits for it in the default one."""
    await connection.execute(_ADD_MONTH, {"month": month.begins.date()})


async def hold_still(connection: AsyncConnection, months: Iterable[Month]) -> None:
    """Let nobody add to these months' partitions or to the default one until the transaction ends."""
    names = ", ".join(["chunks_default", *map(_name, months)])
    await connection.execute(sa.text(f"LOCK TABLE {names} IN SHARE MODE"))


async def drop_month(connection: AsyncConnection, month: Month) -> None:
    """Drop a month's partition."""
    await connection.execute(_DROP_MONTH, {"month": month.begins.date()})


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


def _name(month: Month) -> str:
    return f"chunks_{month.year:04}_{month.month:02}"
