"""Makes rollups: blocks of what lies in front of keyframes, and blocks of blocks.

Keyframes to be rolled up wait in a queue, which is written in the transaction that writes the keyframe: none is missed,
whatever commits when. One process at a time makes blocks, under an advisory lock.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from price_history.db.packing import (
    pack_offers,
    pack_series,
    unpack_changes,
    unpack_offers,
    unpack_series,
    unpack_state,
)
from price_history.domain.cells import Change, Piece, Run
from price_history.domain.instants import to_datetime, to_instant
from price_history.domain.rollups import LEVELS, Block, Level, RecordedChange, first_block, joined

_LOCK_KEY: Final = 0x726F_6C6C
"""The advisory lock of the one copy that makes blocks; the letters of `roll`."""
_EVER: Final = datetime(1, 1, 1, tzinfo=UTC)

_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(:key)")
_TRY_LOCK: Final = sa.text("SELECT pg_try_advisory_xact_lock(:key)")

_QUEUE: Final = """
INSERT INTO rollup_queue (product_no, ends) SELECT * FROM unnest($1::int[], $2::timestamptz[]) ON CONFLICT DO NOTHING
"""
_TAKE: Final = """
DELETE FROM rollup_queue USING (SELECT product_no, ends FROM rollup_queue ORDER BY product_no, ends LIMIT $1) AS taken
WHERE rollup_queue.product_no = taken.product_no AND rollup_queue.ends = taken.ends
RETURNING rollup_queue.product_no, rollup_queue.ends
"""
_ROLLED_UNTIL: Final = """
SELECT product_no, (
  SELECT ends FROM rollups WHERE rollups.product_no = product.product_no AND level = 1 ORDER BY begins DESC LIMIT 1
) FROM unnest($1::int[]) AS product (product_no)
"""
_ROWS: Final = """
SELECT span.number, row.at, row.best_in_stock, row.best_out_of_stock, row.changes, row.state
FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS span (product_no, begins, ends, number)
CROSS JOIN LATERAL (
  SELECT at, best_in_stock, best_out_of_stock, changes, state FROM price_changes
  WHERE product_no = span.product_no AND at >= span.begins AND at < span.ends ORDER BY at
) AS row
ORDER BY span.number, row.at
"""
_BLOCK_COLUMNS: Final = ("begins", "ends", "product_no", "level", "best_in_stock", "best", "offers")

# The blocks of one level that no block of the next one covers.
_UNJOINED: Final = """
FROM unnest($1::int[]) AS product (product_no)
CROSS JOIN LATERAL (
  SELECT begins, ends, best_in_stock, best, offers FROM rollups
  WHERE rollups.product_no = product.product_no AND level = $2 - 1 AND begins >= coalesce((
    SELECT ends FROM rollups WHERE rollups.product_no = product.product_no AND level = $2 ORDER BY begins DESC LIMIT 1
  ), '-infinity')
  ORDER BY begins LIMIT $3
) AS block
"""
_FULL: Final = f"SELECT product.product_no {_UNJOINED} GROUP BY 1 HAVING count(*) = $3"
_TO_JOIN: Final = f"SELECT product.product_no, block.* {_UNJOINED} ORDER BY product.product_no, block.begins"

_FORGET: Final = (
    sa.text("DELETE FROM rollups WHERE product_no = :product_no"),
    sa.text("DELETE FROM rollup_queue WHERE product_no = :product_no"),
)

_CLEAR: Final = sa.text("""
DELETE FROM rollups WHERE begins >= coalesce((SELECT kept_since FROM retention), '-infinity')
""")
_QUEUE_ALL: Final = sa.text("""
INSERT INTO rollup_queue (product_no, ends)
SELECT product_no, at FROM price_changes JOIN products USING (product_no)
WHERE state IS NOT NULL AND deleted_at IS NULL
ON CONFLICT DO NOTHING
""")


class _Span(NamedTuple):
    product_no: int
    begins: datetime
    ends: datetime


async def queue_keyframes(connection: AsyncConnection, keyframes: Sequence[tuple[int, datetime]]) -> None:
    """Have what lies in front of these `(product number, time)` rolled up."""
    driver = await _driver(connection)
    await driver.execute(_QUEUE, *map(list, zip(*keyframes, strict=True)))


async def is_our_turn(connection: AsyncConnection) -> bool:
    """Take the right to make blocks until the transaction ends, unless another process has it."""
    return bool(await connection.scalar(_TRY_LOCK, {"key": _LOCK_KEY}))


async def take_turn(connection: AsyncConnection) -> None:
    """Wait for the right to make blocks until the transaction ends."""
    await connection.execute(_LOCK, {"key": _LOCK_KEY})


async def roll_up(connection: AsyncConnection, keyframes: int) -> int:
    """Make the blocks in front of so many queued keyframes, and those that join them; returns how many were queued.

    Whoever calls it has the right to make blocks.
    """
    driver = await _driver(connection)
    taken = sorted(map(tuple, await driver.fetch(_TAKE, keyframes)))
    products = sorted({product_no for product_no, _ in taken})
    spans = _spans(taken, dict(map(tuple, await driver.fetch(_ROLLED_UNTIL, products))))
    if spans:
        rows = await driver.fetch(_ROWS, *map(list, zip(*spans, strict=True)))
        await _store(driver, LEVELS[0], _first_blocks(spans, rows))
    for level in LEVELS[1:]:
        await _join(driver, level, products)
    return len(taken)


async def forget_rollups(connection: AsyncConnection, product_no: int) -> None:
    """Delete a deleted product's blocks, when whoever makes one has made it."""
    await take_turn(connection)
    for statement in _FORGET:
        await connection.execute(statement, {"product_no": product_no})


async def queue_everything(connection: AsyncConnection) -> int:
    """Delete all blocks whose changes are still there, and queue every keyframe; returns how many there are."""
    await take_turn(connection)
    await connection.execute(_CLEAR)
    return (await connection.execute(_QUEUE_ALL)).rowcount


def _spans(taken: Iterable[tuple[int, datetime]], rolled_until: Mapping[int, datetime | None]) -> list[_Span]:
    """From where a product's blocks end to each of its keyframes in turn."""
    spans: list[_Span] = []
    for product_no, keyframes in groupby(taken, key=itemgetter(0)):
        begins = rolled_until[product_no] or _EVER
        for _, ends in keyframes:
            if ends > begins:
                spans.append(_Span(product_no, begins, ends))
                begins = ends
    return spans


def _first_blocks(spans: Sequence[_Span], rows: Iterable[Any]) -> list[tuple[int, Block]]:
    blocks: list[tuple[int, Block]] = []
    for number, found in groupby(rows, key=itemgetter(0)):
        span = spans[number - 1]
        changes = [
            RecordedChange(
                to_instant(at),
                in_stock,
                out_of_stock,
                unpack_changes(packed),
                None if state is None else unpack_state(state),
            )
            for _, at, in_stock, out_of_stock, packed, state in found
        ]
        # A price that was only carried over a month's end is told by the block before.
        if any(change.changes for change in changes):
            blocks.append((span.product_no, first_block(changes, to_instant(span.ends))))
    return blocks


async def _join(driver: Any, level: Level, products: Sequence[int]) -> None:
    while full := [row[0] for row in await driver.fetch(_FULL, products, level.number, level.joins)]:
        rows = await driver.fetch(_TO_JOIN, full, level.number, level.joins)
        await _store(
            driver,
            level,
            [
                (product_no, joined(level, [_block(*row[1:]) for row in blocks]))
                for product_no, blocks in groupby(rows, key=itemgetter(0))
            ],
        )


def _block(begins: datetime, ends: datetime, in_stock: bytes, best: bytes | None, offers: bytes) -> Block:
    at = to_instant(begins)
    return Block(
        at,
        to_instant(ends),
        _apart(unpack_series(in_stock, at)),
        None if best is None else _apart(unpack_series(best, at)),
        {number: _apart(pieces) for number, pieces in unpack_offers(offers, at).items()},
    )


def _apart(pieces: Iterable[Change | Run]) -> list[Piece]:
    return [each for piece in pieces for each in (piece.each() if isinstance(piece, Run) else (piece,))]


async def _store(driver: Any, level: Level, blocks: Iterable[tuple[int, Block]]) -> None:
    await driver.copy_records_to_table(
        "rollups",
        columns=_BLOCK_COLUMNS,
        records=[
            (
                to_datetime(block.begins),
                to_datetime(block.ends),
                product_no,
                level.number,
                pack_series(block.best_in_stock, block.begins),
                None if block.best is None else pack_series(block.best, block.begins),
                pack_offers(block.offers, block.begins),
            )
            for product_no, block in blocks
        ],
    )


async def _driver(connection: AsyncConnection) -> Any:
    return (await connection.get_raw_connection()).driver_connection
