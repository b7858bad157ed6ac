"""Which pieces tell a window, and what is left to be looked up more closely."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from price_history.domain.cells import Change, Run, replay
from price_history.domain.instants import SECOND
from price_history.domain.resolution import Buckets
from price_history.domain.rollups import LEVELS
from price_history.domain.window import Window

Gap: TypeAlias = tuple[int, int]
"""The instants from the first up to the second."""


class SeriesBlock(NamedTuple):
    """One series of a block."""

    begins: int
    ends: int
    pieces: Sequence[Change | Run]


class Part(NamedTuple):
    """A span in which blocks of a level may be needed. It begins earlier if the blocks of level `after` end earlier."""

    level: int
    begins: int
    ends: int
    after: int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A window, how it is cut, and since when every single change is kept (None: always)."""

    window: Window
    cut: Buckets | None
    kept_since: int | None

    def levels(self, cells: Sequence[int]) -> list[int]:
        """The levels to be read, the coarsest first, of those with cells of these lengths (microseconds)."""
        length = 0 if self.cut is None else self.cut.seconds * SECOND
        fitting = [level.number for level, cell in zip(LEVELS, cells, strict=True) if length and length % cell == 0]
        # The same blocks with longer cells will do.
        fitting = [number for number in fitting if not (number + 1 in fitting and LEVELS[number].joins == 1)]
        if not fitting and self.forgotten_at_start:
            return [1]
        return fitting[::-1]

    def parts(self, cells: Sequence[int]) -> list[Part]:
        """Where blocks of the levels that are to be read may be needed, before it is known which blocks there are.

        Of the coarsest level in all of the window; of each finer one after the last block of the level before, and
        where a longer cell may reach out of the window: of levels with the same cells, the one with the shortest
        blocks. Where changes are forgotten, of each level in all of it.
        """
        levels = self.levels(cells)
        begins, ends = self.window.start, self.window.end + 1
        if self.forgotten_at_start:
            return [Part(level, begins, ends, None) for level in levels]
        parts = [Part(level, begins, ends, None) for level in levels[:1]]
        for coarser, level in pairwise(levels):
            cell = cells[level - 1]
            longer = min((cells[other - 1] for other in levels if cells[other - 1] > cell), default=0)
            if longer and cell not in cells[: level - 1]:
                parts.append(Part(level, begins, min(begins + longer, ends), None))
            parts.append(Part(level, max(ends - cells[coarser - 1], begins), ends, coarser))
        return parts

    def fits(self, cell: int) -> bool:
        """Whether a cell of this length never lies in two buckets."""
        return self.cut is not None and self.cut.seconds * SECOND % cell == 0

    @property
    def forgotten_at_start(self) -> bool:
        """Whether the single changes at the window's start are no longer kept."""
        return self.kept_since is not None and self.window.start < self.kept_since

    def gaps(self) -> list[Gap]:
        """All of the window. Its end stands apart, so that no cell goes beyond it."""
        return [(self.window.start, self.window.end), (self.window.end, self.window.end + 1)]


class Covered(NamedTuple):
    """The pieces that were found, and what they leave open."""

    pieces: list[Change | Run]
    gaps: list[Gap]


def cover(gaps: Sequence[Gap], blocks: Sequence[SeriesBlock], wanted: Wanted, cell_length: int) -> Covered:
    """Fill gaps from blocks that follow each other, as far as they go."""
    fits = wanted.fits(cell_length)
    covered = Covered([], [])
    for begins, ends in gaps:
        reached = begins
        for block in blocks:
            if block.ends <= reached or block.begins >= ends:
                continue
            if block.begins > reached:
                covered.gaps.append((reached, block.begins))
            reached = min(block.ends, ends)
            if fits and begins <= block.begins and block.ends <= ends:
                covered.pieces.extend(block.pieces)
            else:
                _take_part(covered, block.pieces, (begins, ends), fits=fits, kept_since=wanted.kept_since or 0)
        if reached < ends:
            covered.gaps.append((reached, ends))
    return covered


def _take_part(covered: Covered, pieces: Iterable[Change | Run], gap: Gap, *, fits: bool, kept_since: int) -> None:
    """Take what lies in the gap.

    A cell that reaches out of it, or doesn't fit in a bucket, is replayed where the single changes are forgotten, and
    else leaves a gap.
    """
    begins, ends = gap
    for piece in pieces:
        if not isinstance(piece, Run):
            if begins <= piece[0] < ends:
                covered.pieces.append(piece)
            continue
        bounds = piece.bounds()
        # From the first cell that touches the gap to the last one, and those among them that lie in it.
        first, last = bisect_right(bounds, begins, 1) - 1, bisect_left(bounds, ends, 0, len(bounds) - 1)
        inside = range(bisect_left(bounds, begins), bisect_right(bounds, ends) - 1) if fits else range(0)
        if inside:
            covered.pieces.append(piece.part(inside.start, inside.stop))
        for number in range(first, last):
            if number in inside:
                continue
            if bounds[number] < kept_since:
                cell = piece.part(number, number + 1).whole
                covered.pieces.extend(change for change in replay(cell) if change[0] < ends)
            else:
                covered.gaps.append((max(bounds[number], begins), min(bounds[number + 1], ends)))
