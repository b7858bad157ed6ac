"""Rollups tell what the changes tell: any trend over blocks of cells equals the one over every single change."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from price_history.db.packing import pack_offers, pack_series, unpack_offers, unpack_series
from price_history.domain.cells import Cell, Change, Piece, Run, replay
from price_history.domain.covering import Gap, Part, SeriesBlock, Wanted, cover
from price_history.domain.instants import SECOND
from price_history.domain.offers import OfferChange
from price_history.domain.resolution import buckets
from price_history.domain.rollups import LEVELS, Block, RecordedChange, first_block, joined
from price_history.domain.trend import Trend, TrendBuilder
from price_history.domain.window import Window

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
TOP = 2**63 - 1
OFFERS = range(3)

# Minutes and their neighbours, so that changes, boundaries of cells and blocks, and ends often meet.
near = st.sampled_from([0, 0, 0, 0, -1, 1, 17 * SECOND])
price = st.one_of(st.none(), st.integers(0, 4), st.integers(0, TOP))
resolution = st.sampled_from([None, 60, 300, 600, 420, 3600, 7200, 86_400])


class Row(NamedTuple):
    """A row, and the offers' prices from then on."""

    change: RecordedChange
    prices: dict[int, int]

    @property
    def at(self) -> int:
        return self.change.at

    @property
    def best_in_stock(self) -> int | None:
        return self.change.best_in_stock


@st.composite
def recorded(draw: st.DrawFn) -> list[Row]:
    """Rows of a product with up to three offers, a few minutes to hours apart."""
    minute, at = draw(st.integers(1, 1_500)), 0
    rows: list[Row] = []
    prices: dict[int, int] = {}
    for step in draw(st.lists(st.sampled_from([1, 1, 1, 1, 2, 5, 60, 700]), min_size=1, max_size=60)):
        minute += step
        at = max(minute * MINUTE + draw(near), at + 1)
        changes: list[OfferChange] = []
        for number in draw(st.sets(st.sampled_from(OFFERS), min_size=1)):
            new = draw(price)
            if new is None:
                prices.pop(number, None)
            else:
                prices[number] = new
            changes.append((number, new, None if new is None else 1))
        in_stock = draw(price)
        best = draw(st.one_of(st.none(), st.integers(0, 4)))
        rows.append(Row(RecordedChange(at, in_stock, best, changes), dict(prices)))
    return rows


@st.composite
def rolled_up(draw: st.DrawFn) -> tuple[list[Row], list[list[Block]]]:
    """Rows, and the blocks of each level that some of the first of them were rolled up into."""
    rows = draw(recorded())
    cuts = sorted(draw(st.sets(st.integers(1, len(rows)))))
    blocks = []
    for begin, end in pairwise([0, *cuts]):
        ends = rows[end].at if end < len(rows) else rows[-1].at + draw(st.integers(1, DAY))
        before = rows[begin - 1].prices if begin else {}
        blocks.append(first_block(before, [row.change for row in rows[begin:end]], ends))
    levels = [blocks]
    for level in LEVELS[1:]:
        size = draw(st.integers(1, 4))
        below = levels[-1]
        whole = len(below) // size * size
        levels.append([joined(level, below[first : first + size]) for first in range(0, whole, size)])
    return rows, levels


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start = draw(st.integers(1, 2_000)) * MINUTE + draw(near)
    return Window(start, start + draw(st.integers(1, 1_500)) * MINUTE + draw(near))


def whole_trend(changes: Sequence[Change], wanted: Wanted) -> Trend:
    builder = TrendBuilder(wanted.window, wanted.cut)
    builder.add([change for change in changes if change[0] <= wanted.window.end])
    return builder.finish()


def rolled_trend(
    changes: Sequence[Change], levels: Sequence[Sequence[SeriesBlock]], cells: Sequence[int], wanted: Wanted
) -> tuple[Trend, list[Gap]]:
    """The trend as it is read: from blocks, the coarsest first, and from changes in what they leave open."""
    pieces: list[Change | Run] = []
    gaps = wanted.gaps()
    gaps_of_all = gaps
    for number in wanted.levels(cells):
        covered = cover(gaps, within_parts(levels, number, cells, wanted), wanted, cells[number - 1])
        gaps = covered.gaps
        pieces += covered.pieces
        gaps_of_all = cover(gaps_of_all, levels[number - 1], wanted, cells[number - 1]).gaps
    # All blocks there are would tell no more, but for a part of a cell: those of one level are cut where they end.
    assert open_in(gaps) - open_in(gaps_of_all) < cells[0]
    before = [change for change in changes if change[0] <= wanted.window.start]
    singles = [change for change in changes if any(begins <= change[0] < ends for begins, ends in gaps)]
    builder = TrendBuilder(wanted.window, wanted.cut)
    builder.add(before[-1:])
    builder.add(sorted([*pieces, *singles], key=lambda piece: piece[0]))
    return builder.finish(), gaps


def open_in(gaps: Sequence[Gap]) -> int:
    return sum(ends - begins for begins, ends in gaps)


def within_parts(
    levels: Sequence[Sequence[SeriesBlock]], number: int, cells: Sequence[int], wanted: Wanted
) -> list[SeriesBlock]:
    """The blocks of a level that are read at first."""

    def begins(part: Part) -> int:
        if part.after is None:
            return part.begins
        last = max((block.ends for block in levels[part.after - 1]), default=wanted.window.start)
        return max(wanted.window.start, min(part.begins, last))

    spans = [(begins(part), part.ends) for part in wanted.parts(cells) if part.level == number]
    return [
        block
        for block in levels[number - 1]
        if any(block.begins < ends and block.ends > begins for begins, ends in spans)
    ]


def stored(block: Block, pieces: list[Piece], cell: int) -> SeriesBlock:
    """As it is read back, with cells of this length."""
    packed = pack_series(pieces, block.begins, cell)
    return SeriesBlock(block.begins, block.ends, unpack_series(packed, block.begins))


def apart(pieces: Sequence[Change | Run]) -> list[Piece]:
    return [each for piece in pieces for each in (piece.cells() if isinstance(piece, Run) else (piece,))]


def wanted_of(window: Window, seconds: int | None) -> Wanted:
    return Wanted(window, None if seconds is None else buckets(window, seconds), None)


@given(rolled_up(), windows(), resolution)
@settings(deadline=None, max_examples=150)
def test_a_trend_over_rollups_equals_the_one_over_changes(
    history: tuple[list[Row], list[list[Block]]], window: Window, seconds: int | None
) -> None:
    rows, levels = history
    wanted = wanted_of(window, seconds)
    in_stock = [(row.at, row.best_in_stock) for row in rows]
    best = [
        (at, in_stock if out_of_stock is None else out_of_stock)
        for at, in_stock, out_of_stock, _ in (row.change for row in rows)
    ]
    by_offer = [[(row.at, row.prices.get(number)) for row in rows] for number in OFFERS]
    cells, offer_cells = [level.cell for level in LEVELS], [level.offer_cell for level in LEVELS]

    def series(pick: Callable[[Block], list[Piece]]) -> list[list[SeriesBlock]]:
        return [
            [stored(block, pick(block), cell) for block in level] for level, cell in zip(levels, cells, strict=True)
        ]

    assert rolled_trend(in_stock, series(lambda block: block.best_in_stock), cells, wanted)[0] == whole_trend(
        in_stock, wanted
    )
    of_all = series(lambda block: block.best_in_stock if block.best is None else block.best)
    assert rolled_trend(best, of_all, cells, wanted)[0] == whole_trend(best, wanted)
    for number, changes in enumerate(by_offer):
        blocks = [
            [stored(block, block.offers.get(number, []), cell) for block in level]
            for level, cell in zip(levels, offer_cells, strict=True)
        ]
        assert rolled_trend(changes, blocks, offer_cells, wanted)[0] == whole_trend(changes, wanted)


def minutes(count: int, begins: int = DAY) -> list[RecordedChange]:
    """A price that changes every minute."""
    return [
        RecordedChange(begins + minute * MINUTE, 1000 + minute * 7 % 11, None, [(0, 5, 1)]) for minute in range(count)
    ]


@pytest.mark.parametrize("resolution_seconds", [300, 7_200, 86_400])
@pytest.mark.parametrize("start", [DAY, DAY + 5 * HOUR + 13 * MINUTE, 2 * DAY - MINUTE])
def test_what_is_read_at_first_has_every_block_that_is_needed(start: int, resolution_seconds: int) -> None:
    rows = minutes(4 * 24 * 60)
    blocks = [first_block({}, part, part[-1].at + MINUTE) for part in (rows[n : n + 64] for n in range(0, 5_700, 64))]
    levels = [blocks]
    for level, size in zip(LEVELS[1:], (8, 2, 3, 1, 2), strict=True):
        whole = len(levels[-1]) // size * size
        levels.append([joined(level, levels[-1][first : first + size]) for first in range(0, whole, size)])
    cells = [level.cell for level in LEVELS]
    read = [
        [stored(block, block.best_in_stock, cell) for block in level] for level, cell in zip(levels, cells, strict=True)
    ]
    changes = [(row.at, row.best_in_stock) for row in rows]
    for end in (rows[-1].at + 17 * SECOND, 3 * DAY + 7 * HOUR + 1):
        wanted = wanted_of(Window(start, end), resolution_seconds)
        trend, _ = rolled_trend(changes, read, cells, wanted)
        assert trend == whole_trend(changes, wanted)


def test_whole_cells_need_no_changes() -> None:
    rows = minutes(120)
    block = first_block({}, rows, DAY + 2 * HOUR)
    assert len(block.best_in_stock) == 24
    blocks = [stored(block, block.best_in_stock, LEVELS[0].cell)]
    changes = [(row.at, row.best_in_stock) for row in rows]
    wanted = wanted_of(Window(DAY + 7 * MINUTE, DAY + HOUR + 2 * MINUTE), 300)
    trend, gaps = rolled_trend(changes, [blocks, *([] for _ in LEVELS[1:])], [level.cell for level in LEVELS], wanted)
    assert trend == whole_trend(changes, wanted)
    end = wanted.window.end
    assert gaps == [(DAY + 7 * MINUTE, DAY + 10 * MINUTE), (DAY + HOUR, end), (end, end + 1)]


def test_a_price_that_ends_where_a_cell_would_begin_has_ended_there() -> None:
    prices = [5, None, 6, 7, 8, 9]
    rows = [RecordedChange((4 + n) * MINUTE, price, None, [(0, 1, 1)]) for n, price in enumerate(prices)]
    five = 5 * MINUTE
    assert first_block({}, rows, 2 * five).best_in_stock == [
        (4 * MINUTE, 5),
        (five, None),
        Cell(6 * MINUTE, 10 * MINUTE, 6, 6, 6 * MINUTE, 9, 9 * MINUTE, 9, 4 * MINUTE, 30 * MINUTE),
    ]


def test_few_changes_are_kept_as_they_are() -> None:
    block = first_block({}, minutes(3), 2 * DAY)
    assert block.best_in_stock == [(DAY, 1000), (DAY + MINUTE, 1007), (DAY + 2 * MINUTE, 1003)]
    assert block.offers == {0: [(DAY, 5)]}
    assert block.best is None


def test_blocks_without_any_price_are_joined_into_one_that_says_so_once() -> None:
    parts = [[RecordedChange(n * MINUTE, None, 5 + n, [(0, 5 + n, 0)])] for n in range(10)]
    blocks = [first_block({}, rows, rows[0].at + MINUTE) for rows in parts]
    assert joined(LEVELS[1], blocks).best_in_stock == [(0, None)]


def test_two_cells_in_the_span_of_a_longer_one_are_joined() -> None:
    blocks = [first_block({}, minutes(60, begins), begins + HOUR) for begins in (DAY, DAY + HOUR)]
    hours = [joined(LEVELS[2], [block]) for block in blocks]
    assert [len(block.best_in_stock) for block in hours] == [1, 1]
    assert len(joined(LEVELS[3], hours).best_in_stock) == 1


@given(rolled_up())
def test_no_cell_lies_in_two_spans(
    history: tuple[list[Row], list[list[Block]]],
) -> None:
    _, (blocks, *_) = history
    once = joined(LEVELS[2], blocks) if blocks else None
    if once is None:
        return
    for series in (once.best_in_stock, *once.offers.values()):
        assert all(a[0] < b[0] for a, b in pairwise(series))
        for piece in series:
            if isinstance(piece, Cell):
                assert piece.begins // DAY == (piece.ends - 1) // DAY


@given(rolled_up())
@example(([], [[Block(0, 9, [Cell(0, 9, TOP, TOP, 0, TOP, 0, TOP, 9, 9 * TOP)], None, {})]]))
def test_packed_blocks_are_read_back(history: tuple[list[Row], list[list[Block]]]) -> None:
    _, levels = history
    for level, block in ((level, block) for level, blocks in zip(LEVELS, levels, strict=False) for block in blocks):
        assert apart(stored(block, block.best_in_stock, level.cell).pieces) == block.best_in_stock
        offers = unpack_offers(pack_offers(block.offers, block.begins, level.offer_cell), block.begins)
        assert {number: apart(pieces) for number, pieces in offers.items()} == block.offers


@given(rolled_up())
def test_a_cell_replayed_looks_the_same_from_outside(history: tuple[list[Row], list[list[Block]]]) -> None:
    _, levels = history
    length = LEVELS[0].cell
    pieces = [piece for block in levels[0] for piece in stored(block, block.best_in_stock, length).pieces]
    for cell in [piece.cells()[0] for piece in pieces if isinstance(piece, Run)]:
        run = Run.of([cell], length)
        changes = replay(cell)
        wanted = wanted_of(Window(cell.begins, cell.ends), 300)
        told = [TrendBuilder(wanted.window, wanted.cut) for _ in range(2)]
        told[0].add([run])
        told[1].add(changes)
        cell_trend, replayed = told[0].finish(), told[1].finish()
        assert (cell_trend.start, cell_trend.end) == (replayed.start, replayed.end)
        assert (cell_trend.lowest, cell_trend.highest) == (replayed.lowest, replayed.highest)
