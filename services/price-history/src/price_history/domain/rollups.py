"""Rollups: a product's history in blocks of many changes, each told by cells of five minutes to a day.

Blocks follow each other without overlap and are made of whole chunks; what comes after the last one is read from the
changes themselves. A closed chunk never changes, so a block once made stays true.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from price_history.domain.cells import Cell, Piece, condense
from price_history.domain.instants import SECOND
from price_history.domain.offers import OfferChange

_MINUTES_5, _HOUR, _HOURS_2, _DAY = 300 * SECOND, 3_600 * SECOND, 7_200 * SECOND, 86_400 * SECOND


BLOCK_CHUNKS: Final = 4
"""Chunks in a block of the first level: 64 observations of a product whose five offers all change, more of others."""


class Level(NamedTuple):
    """How coarse blocks are: lengths of cells in microseconds, and how many blocks of the level below they join.

    A block of the first level is made of `BLOCK_CHUNKS` chunks.
    """

    number: int
    cell: int
    offer_cell: int
    joins: int


LEVELS: Final = (
    # Offers by the hour at once: there are several to a product, and seldom does anyone look at one of them closely.
    Level(1, _MINUTES_5, _HOUR, 1),
    Level(2, _MINUTES_5, _HOUR, 8),
    Level(3, _HOUR, _HOUR, 2),
    Level(4, _HOURS_2, _HOURS_2, 8),
    Level(5, _DAY, _DAY, 1),
    Level(6, _DAY, _DAY, 8),
)
"""The cells are as long as the buckets that `auto` cuts 24 hours, two weeks, 30 days and a year into. Of a price that
changes every minute, blocks of one hour, of nine, of 17, of six days, of the same six
days and of 46."""


class Block(NamedTuple):
    """The series of a product's best prices and of each offer's price, by its number, from `begins` up to `ends`.

    `best` is None where it is the same as `best_in_stock`.
    """

    begins: int
    ends: int
    best_in_stock: list[Piece]
    best: list[Piece] | None
    offers: dict[int, list[Piece]]


class RecordedChange(NamedTuple):
    """A row of history, in instants; see `ChangeRow`."""

    at: int
    best_in_stock: int | None
    best_out_of_stock: int | None
    changes: list[OfferChange]


def first_block(before: Mapping[int, int], rows: Sequence[RecordedChange], ends: int) -> Block:
    """The block of rows, up to `ends`, in front of which the offers had these prices by number."""
    in_stock = _without_repeats((row.at, row.best_in_stock) for row in rows)
    best = None
    if any(row.best_out_of_stock is not None for row in rows):
        best = _without_repeats(
            (row.at, row.best_in_stock if row.best_out_of_stock is None else row.best_out_of_stock) for row in rows
        )
    # It begins with the price of every offer, so that it needs no block before it.
    begins = rows[0].at
    prices: dict[int, int | None] = {**before, **{number: price for number, price, _ in rows[0].changes}}
    offers: dict[int, list[Piece]] = {number: [(begins, price)] for number, price in prices.items()}
    for row in rows[1:]:
        for number, price, _ in row.changes:
            series = offers.setdefault(number, [])
            # A change of stock repeats the price.
            if not series or series[-1][1] != price:
                series.append((row.at, price))
    return _condensed(LEVELS[0], Block(begins, ends, in_stock, best, offers))


def joined(level: Level, blocks: Sequence[Block]) -> Block:
    """One block of a level in place of those of the level below, which follow each other."""
    in_stock = _without_repeats(piece for block in blocks for piece in block.best_in_stock)
    best = None
    if any(block.best is not None for block in blocks):
        best = _without_repeats(
            piece for block in blocks for piece in (block.best_in_stock if block.best is None else block.best)
        )
    offers: dict[int, list[Piece]] = {}
    for block in blocks:
        for number, pieces in block.offers.items():
            offers.setdefault(number, []).extend(pieces)
    told = {number: _without_repeats(pieces) for number, pieces in offers.items()}
    return _condensed(level, Block(blocks[0].begins, blocks[-1].ends, in_stock, best, told))


def _condensed(level: Level, block: Block) -> Block:
    return block._replace(
        best_in_stock=condense(block.best_in_stock, block.ends, level.cell),
        best=None if block.best is None else condense(block.best, block.ends, level.cell),
        offers={no: condense(pieces, block.ends, level.offer_cell) for no, pieces in block.offers.items()},
    )


def _without_repeats(series: Iterable[Piece]) -> list[Piece]:
    """A series without the changes that repeat the price before them."""
    told: list[Piece] = []
    price: int | None = None
    for piece in series:
        if isinstance(piece, Cell):
            told.append(piece)
            price = piece.last
        elif not told or piece[1] != price:
            told.append(piece)
            price = piece[1]
    return told
