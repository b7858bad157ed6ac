"""Reads the series of a price over a window: from rollups where they will do, from the changes where they won't."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, Final, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from price_history.db.packing import unpack_changes, unpack_offers, unpack_series, unpack_state
from price_history.domain.cells import Change, Run, replay
from price_history.domain.covering import Gap, SeriesBlock, Wanted, cover
from price_history.domain.instants import to_datetime, to_instant
from price_history.domain.rollups import LEVELS

PAGE_ROWS: Final = 10_000
"""Rows of changes read at once: a week of minutes in one go, years in bounded memory."""

Basis = Literal["best_in_stock", "best"]

# What a trend reads goes to the driver without SQLAlchemy, and instants come as numbers: a day of minutes takes 0.6 ms
# instead of 2.
_INSTANT: Final = "(extract(epoch FROM at) * 1000000)::bigint"

# A probe for the block in which a gap begins, and a range of the index for those that begin in it.
_BLOCKS: Final = """
SELECT DISTINCT ON (block.begins) block.begins, block.ends, block.series
FROM unnest($3::timestamptz[], $4::timestamptz[]) AS gap (begins, ends)
CROSS JOIN LATERAL (
  (SELECT begins, ends, {series} AS series FROM rollups
   WHERE product_no = $1 AND level = $2 AND begins <= gap.begins ORDER BY begins DESC LIMIT 1)
  UNION ALL
  SELECT begins, ends, {series} FROM rollups
  WHERE product_no = $1 AND level = $2 AND begins > gap.begins AND begins < gap.ends
) AS block
WHERE block.ends > gap.begins
ORDER BY block.begins
"""
_BLOCK_BEFORE: Final = """
SELECT begins, ends, {series} FROM rollups WHERE product_no = $1 AND level = 1 AND begins <= $2
ORDER BY begins DESC LIMIT 1
"""
# What is carried over the start is looked for in the day before it first: that is one partition, or two.
_CHANGES: Final = """
SELECT change.* FROM (
  SELECT begins, ends FROM unnest($2::timestamptz[], $3::timestamptz[]) AS gap (begins, ends)
  UNION ALL
  SELECT (SELECT at FROM price_changes WHERE product_no = $1 AND at < $4 AND at >= $5 {carrying}
          ORDER BY at DESC LIMIT 1), $4
) AS gap
CROSS JOIN LATERAL (
  SELECT {instant} AS instant, {columns} FROM price_changes
  WHERE product_no = $1 AND at >= gap.begins AND at < gap.ends ORDER BY at LIMIT $6
) AS change
ORDER BY instant LIMIT $6
"""

_NEAR: Final = timedelta(days=1)
_EVER: Final = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Series:
    """Where a price is found, in changes and in rollups."""

    changes: str
    blocks: str
    block_before: str
    cells: Sequence[int]
    """The lengths of its cells by level, in microseconds."""
    prices: Callable[[Sequence[Any]], Iterable[Change]]
    """From rows of `changes`."""
    pieces: Callable[[bytes, int], list[Change | Run]]
    """From a packed series that begins at an instant."""


def _best(column: str, series: str) -> Series:
    return Series(
        changes=_CHANGES.format(instant=_INSTANT, columns=column, carrying=""),
        blocks=_BLOCKS.format(series=series),
        block_before=_BLOCK_BEFORE.format(series=series),
        cells=[level.cell for level in LEVELS],
        prices=lambda rows: map(tuple, rows),
        pieces=unpack_series,
    )


BEST: Final[dict[Basis, Series]] = {
    "best_in_stock": _best("best_in_stock", "best_in_stock"),
    "best": _best("coalesce(best_out_of_stock, best_in_stock)", "coalesce(best, best_in_stock)"),
}


def offer_series(offer_nos: frozenset[int]) -> Series:
    """The price of one offer, which has had these numbers.

    Its changes begin with a keyframe, which is at most KEYFRAME_EVERY rows back.
    """

    def of_row(at: int, changes: bytes, state: bytes | None) -> Iterable[Change]:
        if state is not None:
            prices = unpack_state(state)
            return ((at, next((prices[number] for number in offer_nos if number in prices), None)),)
        return [(at, price) for number, price, _ in unpack_changes(changes) if number in offer_nos]

    def of_block(packed: bytes, begins: int) -> list[Change | Run]:
        found = unpack_offers(packed, begins)
        return sorted((piece for number in offer_nos for piece in found.get(number, ())), key=itemgetter(0))

    return Series(
        changes=_CHANGES.format(instant=_INSTANT, columns="changes, state", carrying="AND state IS NOT NULL"),
        blocks=_BLOCKS.format(series="offers"),
        block_before=_BLOCK_BEFORE.format(series="offers"),
        cells=[level.offer_cell for level in LEVELS],
        prices=lambda rows: [change for row in rows for change in of_row(*row)],
        pieces=of_block,
    )


async def read_series(
    connection: AsyncConnection, product_no: int, series: Series, wanted: Wanted
) -> AsyncIterator[list[Change | Run]]:
    """The pieces that tell the window, in their order and in pages, with what is carried into it in front."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    gaps = wanted.gaps()
    pieces: list[Change | Run] = []
    for number in wanted.levels(series.cells):
        if not gaps:
            break
        rows = await driver.fetch(series.blocks, product_no, number, *_bounds(gaps))
        blocks = [_block(series, *row) for row in rows]
        covered = cover(gaps, blocks, wanted, series.cells[number - 1])
        pieces += covered.pieces
        gaps = covered.gaps
    pieces.sort(key=itemgetter(0))
    async for changes in _changes(driver, product_no, series, sorted(gaps), wanted):
        upto = changes[-1][0] if changes else 0
        ready = [piece for piece in pieces if piece[0] <= upto]
        pieces = pieces[len(ready) :]
        yield sorted((*ready, *changes), key=itemgetter(0))
    yield pieces


async def _changes(
    driver: Any, product_no: int, series: Series, gaps: Sequence[Gap], wanted: Wanted
) -> AsyncIterator[list[Change]]:
    """The changes in the gaps, in pages, with the price carried into the window in front."""
    start = to_datetime(wanted.window.start)
    rows = await driver.fetch(series.changes, product_no, *_bounds(gaps), start, start - _NEAR, PAGE_ROWS)
    if not rows or rows[0][0] >= wanted.window.start:
        yield await _carried_from_afar(driver, product_no, series, wanted)
    while True:
        yield list(series.prices(rows))
        if len(rows) < PAGE_ROWS:
            return
        after = rows[-1][0] + 1
        gaps = [(max(begins, after), ends) for begins, ends in gaps if ends > after]
        rows = await driver.fetch(series.changes, product_no, *_bounds(gaps), start, start, PAGE_ROWS)


async def _carried_from_afar(driver: Any, product_no: int, series: Series, wanted: Wanted) -> list[Change]:
    """The price at the window's start, which has not changed for long, or whose changes are forgotten."""
    start = to_datetime(wanted.window.start)
    rows = await driver.fetch(series.changes, product_no, [], [], start, _EVER, PAGE_ROWS)
    if rows or not wanted.forgotten_at_start:
        return list(series.prices(rows))
    row = await driver.fetchrow(series.block_before, product_no, start)
    before: list[Change] = []
    for piece in () if row is None else _block(series, *row).pieces:
        changes = [change for cell in piece.each() for change in replay(cell)] if isinstance(piece, Run) else [piece]
        before += [change for change in changes if change[0] <= wanted.window.start]
    return before[-1:]


def _block(series: Series, begins: datetime, ends: datetime, packed: bytes) -> SeriesBlock:
    at = to_instant(begins)
    return SeriesBlock(at, to_instant(ends), series.pieces(packed, at))


def _bounds(gaps: Sequence[Gap]) -> tuple[list[datetime], list[datetime]]:
    return [to_datetime(begins) for begins, _ in gaps], [to_datetime(ends) for _, ends in gaps]
