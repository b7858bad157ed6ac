"""Which series of prices there are, and where each is found: in rollups and in chunks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Final, Literal, TypeAlias

from price_history.db.chunks import CHUNK_COLUMNS
from price_history.db.packing import PackedRow, unpack_offers, unpack_series
from price_history.domain.cells import Change, Run
from price_history.domain.chunks import State
from price_history.domain.rollups import LEVELS

Basis = Literal["best_in_stock", "best"]

_Changes: TypeAlias = Callable[[Sequence[int], Sequence[PackedRow]], list[Change]]

# What nearly always tells a trend, in one round trip: the product, blocks of all levels, and chunks.
#
# Of the blocks, for each part a probe for the one in which it begins, and a range of the index for those that begin in
# it. With OFFSET 0 where it begins is found once, not in each place where it is named.
#
# Of the chunks, the one with the first change in the window, those that no block covers, and the head. They are looked
# for near the window's bounds only: so the partitions that are not concerned are left out before anything is opened.
_FIND: Final = """
SELECT product_no, deleted_at, (SELECT kept_since FROM retention), block.*, rolled.upto, chunk.*
FROM products
CROSS JOIN LATERAL (
  SELECT array_agg(level), array_agg(begins), array_agg(ends), array_agg(series) FROM (
    SELECT DISTINCT ON (part.level, block.begins) part.level, block.begins, block.ends, block.series
    FROM unnest($2::int[], $3::timestamptz[], $4::timestamptz[], $5::int[]) AS part (level, begins, ends, after)
    CROSS JOIN LATERAL (
      SELECT CASE WHEN part.after IS NULL THEN part.begins ELSE greatest($6, least(part.begins, coalesce(
        (SELECT ends FROM rollups WHERE product_no = products.product_no AND level = part.after
         ORDER BY begins DESC LIMIT 1), $6))) END AS begins
      OFFSET 0
    ) AS gap
    CROSS JOIN LATERAL (
      (SELECT begins, ends, {series} AS series FROM rollups
       WHERE product_no = products.product_no AND level = part.level AND begins <= gap.begins
       ORDER BY begins DESC LIMIT 1)
      UNION ALL
      SELECT begins, ends, {series} FROM rollups
      WHERE product_no = products.product_no AND level = part.level AND begins > gap.begins AND begins < part.ends
    ) AS block
    WHERE block.ends > gap.begins
    ORDER BY part.level, block.begins
  ) AS found
) AS block
CROSS JOIN LATERAL (
  SELECT greatest($8, (
    SELECT ends FROM rollups WHERE product_no = products.product_no AND level = 1 AND $9 ORDER BY begins DESC LIMIT 1
  )) AS upto
  OFFSET 0
) AS rolled
CROSS JOIN LATERAL (
  SELECT array_agg(begins), array_agg(ends), array_agg(observations), array_agg(state), array_agg(changes) FROM (
    (SELECT {chunk} FROM chunks
     WHERE product_no = products.product_no AND ends >= $6 AND ends < $7 ORDER BY ends LIMIT 1)
    UNION ALL
    (SELECT {chunk} FROM chunks
     WHERE product_no = products.product_no AND ends >= $8 AND ends >= rolled.upto ORDER BY ends LIMIT $10)
    UNION ALL
    SELECT head_begins, last_change_at, head_rows, head_state, head WHERE head_rows > 0
  ) AS found
) AS chunk
WHERE product_id = $1
"""
_BLOCK_BEFORE: Final = """
SELECT begins, ends, {series} FROM rollups WHERE product_no = $1 AND level = 1 AND begins <= $2
ORDER BY begins DESC LIMIT 1
"""


UNPACKED: Final = 1024
"""Series that are at hand unpacked; some 12 MB of the coarsest, which some 70 trends of a month or a year read."""
# Blocks never change, and a trend that someone asks for is asked for again, by the next one who looks at the product.
_unpack_series: Final = lru_cache(UNPACKED)(unpack_series)


@dataclass(frozen=True, slots=True)
class Series:
    """Where a price is found, in chunks and in rollups."""

    find: str
    block_before: str
    cells: Sequence[int]
    """The lengths of its cells by level, in microseconds."""
    changes: _Changes
    """From the observations at these instants."""
    price: Callable[[State], int | None]
    """In a state."""
    pieces: Callable[[bytes, int], Sequence[Change | Run]]
    """From a packed series that begins at an instant."""


def _best(column: str, price: Callable[[State], int | None], changes: _Changes) -> Series:
    return Series(
        find=_FIND.format(series=column, chunk=CHUNK_COLUMNS),
        block_before=_BLOCK_BEFORE.format(series=column),
        cells=[level.cell for level in LEVELS],
        changes=changes,
        price=price,
        pieces=_unpack_series,
    )


BEST: Final[dict[Basis, Series]] = {
    "best_in_stock": _best(
        "best_in_stock",
        lambda state: state.best_in_stock,
        lambda ats, rows: [(at, row.best_in_stock) for at, row in zip(ats, rows, strict=True)],
    ),
    "best": _best(
        "coalesce(best, best_in_stock)",
        lambda state: state.best_in_stock if state.best_out_of_stock is None else state.best_out_of_stock,
        lambda ats, rows: [(at, row.best) for at, row in zip(ats, rows, strict=True)],
    ),
}


def offer_series(offer_nos: frozenset[int]) -> Series:
    """The price of one offer, which has had these numbers."""

    def of_rows(ats: Sequence[int], rows: Sequence[PackedRow]) -> list[Change]:
        return [
            (at, price)
            for at, row in zip(ats, rows, strict=True)
            for number, price, _ in row.changes
            if number in offer_nos
        ]

    def of_state(state: State) -> int | None:
        return next((state.prices[number] for number in offer_nos if number in state.prices), None)

    def of_block(packed: bytes, begins: int) -> list[Change | Run]:
        found = unpack_offers(packed, begins)
        return sorted((piece for number in offer_nos for piece in found.get(number, ())), key=itemgetter(0))

    return Series(
        find=_FIND.format(series="offers", chunk=CHUNK_COLUMNS),
        block_before=_BLOCK_BEFORE.format(series="offers"),
        cells=[level.offer_cell for level in LEVELS],
        changes=of_rows,
        price=of_state,
        pieces=of_block,
    )
