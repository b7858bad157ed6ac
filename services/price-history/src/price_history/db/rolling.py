"""Makes rollups: blocks of closed chunks, and blocks of blocks.

Where a block is to end waits in a queue, which is written in the transaction that closes the last chunk in front of it:
none is missed, whatever commits when. One process at a time makes blocks, under an advisory lock.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from price_history.db.chunks import Chunk
from price_history.db.packing import pack_offers, pack_series, unpack_offers, unpack_series
from price_history.domain.cells import Change, Piece, Run
from price_history.domain.instants import to_datetime, to_instant
from price_history.domain.rollups import BLOCK_CHUNKS, LEVELS, Block, Level, RecordedChange, first_block, joined

_LOCK_KEY: Final = 0x726F_6C6C
"""The advisory lock of the one copy that makes blocks; the letters of `roll`."""
_EVER: Final = datetime(1, 1, 1, tzinfo=UTC)

_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(:key)")
_TRY_LOCK: Final = sa.text("SELECT pg_try_advisory_xact_lock(:key)")

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
_CHUNKS: Final = """
SELECT span.number, chunk.*
FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS span (product_no, begins, ends, number)
CROSS JOIN LATERAL (
  SELECT begins, ends, observations, state, changes FROM chunks
  WHERE product_no = span.product_no AND ends >= span.begins AND ends < span.ends ORDER BY ends
) AS chunk
ORDER BY span.number, chunk.ends
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
# Where recording queued them: a product's chunks are numbered by how many it has closed.
_QUEUE_ALL: Final = sa.text("""
INSERT INTO rollup_queue (product_no, ends)
SELECT product_no, coalesce(next_begins, head_begins) FROM (
  SELECT product_no, head_begins,
         products.chunks - count(*) OVER (PARTITION BY product_no) + row_number() OVER following AS number,
         lead(begins) OVER following AS next_begins
  FROM chunks JOIN products USING (product_no)
  WHERE deleted_at IS NULL
  WINDOW following AS (PARTITION BY product_no ORDER BY ends)
) AS chunk
WHERE number % :chunks = 0
ON CONFLICT DO NOTHING
""")
# For each product, up to where its last chunk in front of the boundary is to be rolled up, if it is not yet.
_QUEUE_BEFORE: Final = sa.text("""
INSERT INTO rollup_queue (product_no, ends)
SELECT product_no, coalesce((
  SELECT begins FROM chunks WHERE chunks.product_no = products.product_no AND ends > last.ends ORDER BY ends LIMIT 1
), head_begins)
FROM products CROSS JOIN LATERAL (
  SELECT begins, ends FROM chunks
  WHERE chunks.product_no = products.product_no AND ends < :boundary ORDER BY ends DESC LIMIT 1
) AS last
WHERE product_no > :after AND product_no <= :upto AND deleted_at IS NULL AND last.begins >= coalesce((
  SELECT ends FROM rollups WHERE rollups.product_no = products.product_no AND level = 1 ORDER BY begins DESC LIMIT 1
), '-infinity')
ON CONFLICT DO NOTHING
""")
_QUEUED_BEFORE: Final = sa.text("""
SELECT EXISTS (SELECT FROM rollup_queue WHERE EXISTS (
  SELECT FROM chunks
  WHERE chunks.product_no = rollup_queue.product_no AND chunks.ends < :boundary AND chunks.ends >= coalesce((
    SELECT ends FROM rollups
    WHERE rollups.product_no = rollup_queue.product_no AND level = 1 ORDER BY begins DESC LIMIT 1
  ), '-infinity')
))
""")
_LENGTH: Final = sa.text("SELECT count(*) FROM rollup_queue")


class _Span(NamedTuple):
    product_no: int
    begins: datetime
    ends: datetime


async def queue_before(connection: AsyncConnection, boundary: datetime, after: int, upto: int) -> None:
    """Have every chunk that ends before rolled up, of products `after` < number <= `upto`."""
    await connection.execute(_QUEUE_BEFORE, {"boundary": boundary, "after": after, "upto": upto})


async def is_queued_before(connection: AsyncConnection, boundary: datetime) -> bool:
    """Whether a chunk that ends before waits to be rolled up."""
    return bool(await connection.scalar(_QUEUED_BEFORE, {"boundary": boundary}))


async def queue_length(connection: AsyncConnection) -> int:
    """How many blocks wait to be made."""
    return int((await connection.execute(_LENGTH)).scalar_one())


async def is_our_turn(connection: AsyncConnection) -> bool:
    """Take the right to make blocks until the transaction ends, unless another process has it."""
    return bool(await connection.scalar(_TRY_LOCK, {"key": _LOCK_KEY}))


async def take_turn(connection: AsyncConnection) -> None:
    """Wait for the right to make blocks until the transaction ends."""
    await connection.execute(_LOCK, {"key": _LOCK_KEY})


async def roll_up(connection: AsyncConnection, blocks: int) -> int:
    """Make so many of the queued blocks, and those that join them; returns how many were queued.

    Whoever calls it has the right to make blocks.
    """
    driver = await _driver(connection)
    taken = sorted(map(tuple, await driver.fetch(_TAKE, blocks)))
    products = sorted({product_no for product_no, _ in taken})
    spans = _spans(taken, dict(map(tuple, await driver.fetch(_ROLLED_UNTIL, products))))
    if spans:
        rows = await driver.fetch(_CHUNKS, *map(list, zip(*spans, strict=True)))
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
    """Delete all blocks whose changes are still there, and queue them; returns how many there are."""
    await take_turn(connection)
    await connection.execute(_CLEAR)
    return (await connection.execute(_QUEUE_ALL, {"chunks": BLOCK_CHUNKS})).rowcount


def _spans(taken: Iterable[tuple[int, datetime]], rolled_until: Mapping[int, datetime | None]) -> list[_Span]:
    """From where a product's blocks end to each end that is queued in turn."""
    spans: list[_Span] = []
    for product_no, queued in groupby(taken, key=itemgetter(0)):
        begins = rolled_until[product_no] or _EVER
        for _, ends in queued:
            if ends > begins:
                spans.append(_Span(product_no, begins, ends))
                begins = ends
    return spans


def _first_blocks(spans: Sequence[_Span], found_chunks: Iterable[Any]) -> list[tuple[int, Block]]:
    blocks: list[tuple[int, Block]] = []
    for number, found in groupby(found_chunks, key=itemgetter(0)):
        span = spans[number - 1]
        chunks = [Chunk.of(row[1:]) for row in found]
        changes = [
            RecordedChange(at, row.best_in_stock, row.best_out_of_stock, row.changes)
            for chunk in chunks
            for rows in (chunk.rows(),)
            for at, row in zip(chunk.instants(rows), rows, strict=True)
        ]
        blocks.append((span.product_no, first_block(chunks[0].state.prices, changes, to_instant(span.ends))))
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
    return [each for piece in pieces for each in (piece.cells() if isinstance(piece, Run) else (piece,))]


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
                pack_series(block.best_in_stock, block.begins, level.cell),
                None if block.best is None else pack_series(block.best, block.begins, level.cell),
                pack_offers(block.offers, block.begins, level.offer_cell),
            )
            for product_no, block in blocks
        ],
    )


async def _driver(connection: AsyncConnection) -> Any:
    return (await connection.get_raw_connection()).driver_connection
