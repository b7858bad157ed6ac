"""Reads the series of a price over a window: from rollups where they will do, from the chunks where they won't."""

from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from connection_pool import Connection
from price_history.db.chunks import Chunk, touching_chunks
from price_history.db.price_series import Series
from price_history.db.reading import FoundProduct
from price_history.domain.cells import Change, Run, replay
from price_history.domain.covering import Gap, SeriesBlock, Wanted, cover
from price_history.domain.errors import UnknownProductError
from price_history.domain.instants import LAST_INSTANT, SECOND, to_datetime, to_instant

CHUNKS_AT_ONCE: Final = 500
"""Chunks read at once: a week of minutes in one go, years in bounded memory."""
CHUNKS_AT_FIRST: Final = 100
"""Chunks that are read with the product: a day of minutes."""
NEAR: Final = 31 * 86_400 * SECOND
"""How far after the window's start its first chunk is looked for, and how far before its end those without a block."""

PackedBlock: TypeAlias = tuple[int, int, bytes]

_HAS_BLOCKS: Final = "SELECT EXISTS (SELECT FROM rollups WHERE product_no = $1 AND level = 1)"


class FoundSeries(NamedTuple):
    """A product, the packed blocks of one of its series by level, each with when it begins and ends, and chunks.

    The chunks follow each other, and have all changes in the spans that they tell.
    """

    product: FoundProduct
    blocks: dict[int, list[PackedBlock]]
    chunks: list[Chunk]
    told: list[Gap]


async def find_series(connection: Connection, product_id: UUID, series: Series, wanted: Wanted) -> FoundSeries:
    """What can be found in one round trip, whatever blocks there are.

    Raises:
        UnknownProductError: there is no such product, or it was deleted.
    """
    parts = wanted.parts(series.cells)
    start, end = wanted.window.start, wanted.window.end
    near_start, near_end = start + NEAR, max(start, end - NEAR)
    row = await connection.fetchrow(
        series.find,
        product_id,
        [part.level for part in parts],
        *_bounds([(part.begins, part.ends) for part in parts]),
        [part.after for part in parts],
        *map(to_datetime, (start, near_start, near_end)),
        bool(parts),
        CHUNKS_AT_FIRST,
    )
    if row is None:
        raise UnknownProductError
    product = FoundProduct.of(row[:3])
    blocks: dict[int, list[PackedBlock]] = {}
    for level, begins, ends, packed in zip(*(column or () for column in row[3:7]), strict=True):
        blocks.setdefault(level, []).append((to_instant(begins), to_instant(ends), packed))
    # The one with the first change may be among the others as well.
    by_end = {chunk.ends: chunk for chunk in map(Chunk.of, zip(*(column or () for column in row[8:]), strict=True))}
    chunks = [by_end[ends] for ends in sorted(by_end)]
    return FoundSeries(product, blocks, chunks, _told(chunks, (start, near_start), to_instant(row[7])))


def _told(chunks: Sequence[Chunk], first: Gap, rolled_upto: int) -> list[Gap]:
    """The spans of which these chunks have all changes."""
    begins, ends = first
    told = [(begins, chunk.ends + 1) for chunk in chunks if begins <= chunk.ends < ends][:1]
    unrolled = [chunk for chunk in chunks if chunk.ends >= rolled_upto]
    cut_off = len(unrolled) >= CHUNKS_AT_FIRST
    told.append((rolled_upto, unrolled[CHUNKS_AT_FIRST - 1].ends + 1 if cut_off else LAST_INSTANT))
    return _merged(told)


async def read_series(
    connection: Connection, found: FoundSeries, series: Series, wanted: Wanted
) -> AsyncIterator[list[Change | Run]]:
    """The pieces that tell the window, in their order and in pages, with what is carried into it in front."""
    gaps = wanted.gaps()
    pieces: list[Change | Run] = []
    for number in wanted.levels(series.cells):
        blocks = [_block(series, *block) for block in found.blocks.get(number, ()) if _touches(gaps, *block[:2])]
        covered = cover(gaps, blocks, wanted, series.cells[number - 1])
        pieces += covered.pieces
        gaps = covered.gaps
    pieces.sort(key=itemgetter(0))
    async for changes in _changes(connection, found, series, gaps, wanted):
        upto = changes[-1][0] if changes else 0
        ready = [piece for piece in pieces if piece[0] <= upto]
        pieces = pieces[len(ready) :]
        yield sorted((*changes, *ready), key=itemgetter(0))
    yield pieces


async def _changes(
    connection: Connection, found: FoundSeries, series: Series, gaps: Sequence[Gap], wanted: Wanted
) -> AsyncIterator[list[Change]]:
    """The changes in the gaps, in pages, with the price carried into the window in front."""
    start, product_no = wanted.window.start, found.product.number
    # Perhaps nothing lies in the first one, but the chunk after it tells what is carried into the window.
    gaps = _merged([(start, start), *gaps])
    carried = await _carried_by_blocks(connection, product_no, series, wanted) if wanted.forgotten_at_start else None
    are_told = all(any(begins <= gap[0] and gap[1] <= ends for begins, ends in found.told) for gap in gaps)
    chunks = found.chunks if are_told else await touching_chunks(connection, product_no, gaps, CHUNKS_AT_ONCE)
    first = [carried] if carried is not None else [_carried(series, chunk, start) for chunk in chunks[:1]]
    while True:
        yield [*first, *(change for chunk in chunks for change in _within(series, chunk, gaps))]
        if len(chunks) < CHUNKS_AT_ONCE:
            return
        first = []
        after = chunks[-1].ends + 1
        gaps = [(max(begins, after), ends) for begins, ends in gaps if ends > after]
        chunks = await touching_chunks(connection, product_no, gaps, CHUNKS_AT_ONCE)


def _carried(series: Series, chunk: Chunk, start: int) -> Change:
    """What was in effect just before `start`, by the chunk in which it lies, or else the next one, or the last."""
    if chunk.begins < start:
        rows = chunk.rows()
        ats = chunk.instants(rows)
        before = bisect_left(ats, start)
        changes = series.changes(ats[:before], rows[:before])
        if changes:
            return (start - 1, changes[-1][1])
    return (start - 1, series.price(chunk.state))


def _within(series: Series, chunk: Chunk, gaps: Sequence[Gap]) -> list[Change]:
    touched = [(begins, ends) for begins, ends in gaps if begins <= chunk.ends and chunk.begins < ends]
    if not touched:
        return []
    rows = chunk.rows()
    ats = chunk.instants(rows)
    parts = [slice(bisect_left(ats, begins), bisect_left(ats, ends)) for begins, ends in touched]
    return [change for part in parts for change in series.changes(ats[part], rows[part])]


async def _carried_by_blocks(connection: Connection, product_no: int, series: Series, wanted: Wanted) -> Change | None:
    """What was in effect just before the window, if there is a block, as there is of all changes that are forgotten."""
    start = wanted.window.start
    row = await connection.fetchrow(series.block_before, product_no, to_datetime(start))
    if row is None:
        # In front of the first block there was nothing.
        return (start - 1, None) if await connection.fetchval(_HAS_BLOCKS, product_no) else None
    begins, ends, packed = row
    block = _block(series, to_instant(begins), to_instant(ends), packed)
    if block.ends <= start:
        return None
    before: list[Change] = []
    for piece in block.pieces:
        changes = [change for cell in piece.cells() for change in replay(cell)] if isinstance(piece, Run) else [piece]
        before += [change for change in changes if change[0] < start]
    # A block that begins here says nothing of what was before; nobody will know the difference.
    return (start - 1, before[-1][1] if before else None)


def _block(series: Series, begins: int, ends: int, packed: bytes) -> SeriesBlock:
    return SeriesBlock(begins, ends, series.pieces(packed, begins))


def _touches(gaps: Sequence[Gap], begins: int, ends: int) -> bool:
    return any(begins < gap_ends and ends > gap_begins for gap_begins, gap_ends in gaps)


def _merged(gaps: Sequence[Gap]) -> list[Gap]:
    """The same, in order, without any that touch each other."""
    merged: list[Gap] = []
    for begins, ends in sorted(gaps):
        if merged and begins <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(ends, merged[-1][1]))
        else:
            merged.append((begins, ends))
    return merged


def _bounds(gaps: Sequence[Gap]) -> tuple[list[datetime], list[datetime]]:
    return [to_datetime(begins) for begins, _ in gaps], [to_datetime(ends) for _, ends in gaps]
