"""Cells: what a price did in a span of time, so that nothing asked about the whole span needs the changes in it.

A price is a list of pieces in their order, each a change or a cell (or many cells, a run); after a piece its last price
holds until the next one begins. Instants are whole microseconds; None stands for "no price".
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, pairwise
from operator import itemgetter, sub
from typing import Final, Generic, NamedTuple, Self, TypeAlias, TypeVar

CONDENSED_FROM: Final = 4
"""Changes in one span that are worth a cell: fewer take less room as they are, and say more. Of a cell any more is."""

Hold: TypeAlias = tuple[int | None, int, int]
"""`(price, begins, ends)`: in effect from `begins` up to `ends`, where the next one begins. The last one of a window is
in effect at its end as well, and may begin there."""

_price: Final = itemgetter(0)


class PriceAt(NamedTuple):
    """A price, and an instant at which it was in effect (as the last one of a span: or until which)."""

    price: int
    at: int


class Cell(NamedTuple):
    """A price from `begins` up to `ends`: there is one at the very beginning and at the very end, if not all the time.

    `lowest_at` and `highest_at` are the first instants at which those prices were in effect. `priced` is for how long
    there was a price, in microseconds; `weighted` the sum of each price times how long it was in effect.
    """

    begins: int
    ends: int
    first: int
    lowest: int
    lowest_at: int
    highest: int
    highest_at: int
    last: int
    priced: int
    weighted: int


Change: TypeAlias = tuple[int, int | None]
"""`(at, price)`: in effect from `at` on."""

Piece: TypeAlias = Change | Cell


class Details(NamedTuple):
    """What only parts of a run are asked for, column by column.

    `…_after` are counted from the beginning of the cell; `unpriced` is for how long there was no price.
    """

    first: list[int]
    lowest_after: list[int]
    highest_after: list[int]
    unpriced: list[int]
    weighted: list[int]


class Run(NamedTuple):
    """Cells that follow each other without a gap, one in each span of `length`, whole multiples of it since 1970.

    Column by column, as they are stored: going over them costs a third of what as many objects cost. `prices` are the
    last ones; `whole` is all of it as one cell.
    """

    begins: int
    length: int
    whole: Cell
    prices: list[int]
    lowest: list[int]
    highest: list[int]
    details: Callable[[], Details]

    @classmethod
    def of(cls, cells: Sequence[Cell], length: int) -> Self:
        """Of cells that follow each other."""
        begins, ends, first, lowest, lowest_at, highest, highest_at, last, priced, weighted = map(
            list, zip(*cells, strict=True)
        )
        lowest_after, highest_after = (list(map(sub, ats, begins)) for ats in (lowest_at, highest_at))
        unpriced = list(map(sub, map(sub, ends, begins), priced))
        details = Details(first, lowest_after, highest_after, unpriced, weighted)
        whole = _whole([*begins, ends[-1]], last, lowest, highest, details)
        return cls(begins[0], length, whole, last, lowest, highest, lambda: details)

    def part(self, begin: int, end: int) -> "Run":
        """The cells from one number up to another."""
        bounds, details = self.bounds()[begin : end + 1], Details._make(column[begin:end] for column in self.details())
        prices, lowest, highest = (column[begin:end] for column in (self.prices, self.lowest, self.highest))
        whole = _whole(bounds, prices, lowest, highest, details)
        return Run(bounds[0], self.length, whole, prices, lowest, highest, lambda: details)

    @property
    def ends(self) -> int:
        """Where the last cell ends."""
        return self.whole.ends

    @property
    def last(self) -> int:
        """The price at its end."""
        return self.whole.last

    def bounds(self) -> list[int]:
        """Where each cell begins, and where the last one ends."""
        second = (self.begins // self.length + 1) * self.length
        return [self.begins, *range(second, self.ends, self.length), self.ends]

    def cells(self) -> list[Cell]:
        """The cells one by one."""
        columns = zip(pairwise(self.bounds()), self.prices, self.lowest, self.highest, *self.details(), strict=True)
        return [
            Cell(
                begins,
                ends,
                first,
                lowest,
                begins + lowest_after,
                highest,
                begins + highest_after,
                last,
                ends - begins - unpriced,
                weighted,
            )
            for (begins, ends), last, lowest, highest, first, lowest_after, highest_after, unpriced, weighted in columns
        ]


def _whole(bounds: list[int], prices: list[int], lowest: list[int], highest: list[int], details: Details) -> Cell:
    first, lowest_after, highest_after, unpriced, weighted = details
    low, high = lowest.index(min(lowest)), highest.index(max(highest))
    return Cell(
        bounds[0],
        bounds[-1],
        first[0],
        lowest[low],
        bounds[low] + lowest_after[low],
        highest[high],
        bounds[high] + highest_after[high],
        prices[-1],
        bounds[-1] - bounds[0] - sum(unpriced),
        sum(weighted),
    )


Span = TypeVar("Span", Cell, Run)
_SPANS: Final = (Cell, Run)


class Laid(NamedTuple, Generic[Span]):
    """Pieces laid end to end: the cells or runs, what was held between them, and the last price and since when."""

    holds: list[Hold]
    spans: list[Span]
    price: int | None
    since: int


def lay(pieces: Iterable[Change | Span], price: int | None, since: int) -> Laid[Span]:
    """Lay pieces after a price that is in effect since an instant; a change that repeats the price is none.

    Changes before `since` say what is in effect then; cells and runs lie after it, and don't overlap.
    """
    holds: list[Hold] = []
    spans: list[Span] = []
    for piece in pieces:
        if isinstance(piece, _SPANS):
            if piece.begins > since:
                holds.append((price, since, piece.begins))
            spans.append(piece)
            price, since = piece.last, piece.ends
            continue
        at, new_price = piece
        if new_price == price:
            continue
        if at > since:
            holds.append((price, since, at))
            since = at
        price = new_price
    return Laid(holds, spans, price, since)


class Tally:
    """What prices amount to over a span of time.

    It may be told of them in any order, but that what holds at the very end of the span comes last.
    """

    def __init__(self) -> None:
        self.start: PriceAt | None = None
        self.end: PriceAt | None = None
        self.lowest: PriceAt | None = None
        self.highest: PriceAt | None = None
        self.priced = 0
        self.weighted = 0

    def take(self, holds: Sequence[Hold]) -> None:
        """Count holds, in their order."""
        priced = [(price, begins, ends) for price, begins, ends in holds if price is not None]
        if not priced:
            return
        # The first of equals, as holds come in their order.
        first, low, high, last = priced[0], min(priced, key=_price), max(priced, key=_price), priced[-1]
        self.add(
            Cell(
                first[1],
                last[2],
                first[0],
                *low[:2],
                *high[:2],
                last[0],
                sum(ends - begins for _, begins, ends in priced),
                sum(price * (ends - begins) for price, begins, ends in priced),
            )
        )

    def add(self, cell: Cell) -> None:
        """Count a cell."""
        begins, ends, first, lowest, lowest_at, highest, highest_at, last, priced, weighted = cell
        if self.start is None or begins < self.start.at:
            self.start = PriceAt(first, begins)
        if self.end is None or ends >= self.end.at:
            self.end = PriceAt(last, ends)
        if self.lowest is None or (lowest, lowest_at) < self.lowest:
            self.lowest = PriceAt(lowest, lowest_at)
        if self.highest is None or (-highest, highest_at) < (-self.highest.price, self.highest.at):
            self.highest = PriceAt(highest, highest_at)
        self.priced += priced
        self.weighted += weighted

    def cell(self) -> Cell:
        """All of it as one cell.

        Raises:
            ValueError: there was no price.
        """
        start, end = self.start, self.end
        if start is None or end is None or self.lowest is None or self.highest is None:
            raise ValueError("there was no price")
        return Cell(start.at, end.at, start.price, *self.lowest, *self.highest, end.price, self.priced, self.weighted)


def condense(pieces: Sequence[Piece], ends: int, length: int) -> list[Piece]:
    """The same series, up to `ends`, with a cell for each span in which much happens.

    Spans are of `length`, whole multiples of it since 1970. A cell covers its span, with the price carried into it; one
    that has no price at first or in the end covers no more than it has a price for.
    """
    condensed: list[Piece] = []
    price: int | None = None
    for index, grouped in groupby(pieces, key=lambda piece: piece[0] // length):
        group = list(grouped)
        if group[0][1] is None and (price is None or group[0][0] == index * length):
            price = None
            condensed.append(group.pop(0))
        if not group:
            continue
        laid: Laid[Cell] = lay(group, price, group[0][0] if price is None else index * length)
        price = laid.price
        changes = sum(CONDENSED_FROM if isinstance(piece, Cell) else 1 for piece in group)
        if len(group) == 1 or changes < CONDENSED_FROM:
            condensed += group
            continue
        tally = Tally()
        tally.take(laid.holds)
        for span in laid.spans:
            tally.add(span)
        until = min((index + 1) * length, ends)
        if price is not None and until > laid.since:
            tally.take([(price, laid.since, until)])
        condensed.append(tally.cell())
        if price is None:
            condensed.append((laid.since, None))
    return condensed


def replay(cell: Cell) -> list[Change]:
    """Changes that look like the cell from outside, for whoever needs to see inside it and can't.

    Its first, lowest and highest price when each of them first was in effect, its last one at the very end.
    """
    told = {cell.begins: cell.first, cell.lowest_at: cell.lowest, cell.highest_at: cell.highest}
    changes: list[Change] = sorted(told.items())
    if changes[-1][1] != cell.last:
        changes.append((cell.ends - 1, cell.last))
    return changes
