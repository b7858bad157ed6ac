"""The trend of a price over a window, from the price carried into it and the changes or cells in it.

A price is a step function of time: each observed price holds until the next change. None stands for "no price".
Instants are whole microseconds. A window includes its end, where a price may begin that is in effect for no time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Literal, NamedTuple

from price_history.domain.cells import Change, Hold, Laid, PriceAt, Run, Tally, lay
from price_history.domain.errors import InvalidParameterError
from price_history.domain.instants import SECOND
from price_history.domain.resolution import MAX_POINTS, Buckets
from price_history.domain.rounding import hundredths
from price_history.domain.window import Window

Reason = Literal["no_price_in_period", "zero_start_price"]


class Points(NamedTuple):
    """Changes, or buckets, column by column: the last price in effect in each, and the lowest and highest ones."""

    at: Sequence[int]
    prices: Sequence[int | None]
    lowest: Sequence[int | None]
    highest: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class Trend:
    """What happened to a price in a window; field by field as in the contract's section "Trends".

    `average` has two decimals and is None where the price was in effect for no time at all, which includes a
    price that appears at the window's very end. `kept_since` is the instant since when every single change is kept
    (None: always); what is told of the time before is made of the extremes of spans, and the prices at their ends.
    """

    window: Window
    buckets: Buckets | None
    points: Points
    start: PriceAt | None
    end: PriceAt | None
    lowest: PriceAt | None
    highest: PriceAt | None
    average: Decimal | None
    kept_since: int | None = field(default=None, compare=False)

    @property
    def start_is_carried(self) -> bool:
        """Whether the first price was in effect at the window's start already."""
        return self.start is not None and self.start.at == self.window.start

    @property
    def reason(self) -> Reason | None:
        """Why there is no change to speak of."""
        if self.start is None or self.end is None:
            return "no_price_in_period"
        return "zero_start_price" if self.start.price == 0 else None

    @property
    def change(self) -> int | None:
        """End price minus start price."""
        if self.start is None or self.end is None or self.reason is not None:
            return None
        return self.end.price - self.start.price

    @property
    def change_percent(self) -> Decimal | None:
        """The change in percent of the start price, two decimals."""
        if self.start is None or self.change is None:
            return None
        return two_decimals(100 * self.change, self.start.price)


class TrendBuilder:
    """Builds a trend from pieces as they are read, in memory that grows with the points, not with the changes.

    Feed it the pieces in order: the last change at or before the window's start, if there is one, then what lies in the
    window, cells wholly in it and in one bucket each.

    Args:
        window: the span of time.
        cut: the buckets that cover the window, or None for a point for each change.
    """

    def __init__(self, window: Window, cut: Buckets | None) -> None:
        self._window = window
        self._cut = cut
        self._points: _RawPoints | _BucketPoints = _RawPoints(window) if cut is None else _BucketPoints(cut)
        self._tally = Tally()
        self._price: int | None = None
        self._since = window.start

    def add(self, pieces: Iterable[Change | Run]) -> None:
        """Take the next pieces; a change that repeats the price in effect is none.

        Raises:
            InvalidParameterError: more points than are given at once.
            ValueError: a cell, where a point for each change is wanted.
        """
        laid: Laid[Run] = lay(pieces, self._price, self._since)
        self._price, self._since = laid.price, laid.since
        if laid.spans:
            self._points.take_cells(laid.spans)
        self._points.take(laid.holds)
        self._tally.take(laid.holds)
        for run in laid.spans:
            self._tally.add(run.whole)

    def finish(self, kept_since: int | None = None) -> Trend:
        """The trend, with the last price in effect up to and including the window's end; see `Trend.kept_since`."""
        last = [(self._price, self._since, self._window.end)]
        self._points.take(last)
        self._points.close(self._price)
        self._tally.take(last)
        tally = self._tally
        return Trend(
            window=self._window,
            buckets=self._cut,
            points=self._points.collect(),
            start=tally.start,
            end=tally.end,
            lowest=tally.lowest,
            highest=tally.highest,
            average=two_decimals(tally.weighted, tally.priced) if tally.priced else None,
            kept_since=kept_since,
        )


class _RawPoints:
    """One point for the price carried in, and one for each change."""

    def __init__(self, window: Window) -> None:
        self._start = window.start
        self._at: list[int] = []
        self._prices: list[int | None] = []

    def take(self, holds: Sequence[Hold]) -> None:
        told = [(begins, price) for price, begins, _ in holds if price is not None or begins > self._start]
        self._at += [begins for begins, _ in told]
        self._prices += [price for _, price in told]
        if len(self._at) > MAX_POINTS:
            raise InvalidParameterError(
                "resolution", f"raw gives more than {MAX_POINTS} points in this period: ask for a shorter one, or auto"
            )

    def take_cells(self, runs: Sequence[Run]) -> None:
        raise ValueError(f"{len(runs)} runs of cells do not tell their changes")

    def close(self, price: int | None) -> None:
        pass

    def collect(self) -> Points:
        return Points(self._at, self._prices, self._prices, self._prices)


class _BucketPoints:
    """One point for each bucket. Its price is told by the one piece that reaches its end."""

    def __init__(self, cut: Buckets) -> None:
        self._first = cut.first
        self._length = cut.seconds * SECOND
        self._prices: list[int | None] = [None] * cut.count
        self._lowest = self._prices.copy()
        self._highest = self._prices.copy()

    def take(self, holds: Sequence[Hold]) -> None:
        origin, length, prices, lowest, highest = self._first, self._length, self._prices, self._lowest, self._highest
        for price, begins, ends in holds:
            last = (ends - 1 - origin) // length
            # The window's end, where one may begin, may lie on a boundary; it belongs to the last bucket all the same.
            first = min((begins - origin) // length, last)
            for bucket in range(first, last + 1):
                if bucket < last or ends - origin == (last + 1) * length:
                    prices[bucket] = price
                if price is None:
                    continue
                low, high = lowest[bucket], highest[bucket]
                if low is None or price < low:
                    lowest[bucket] = price
                if high is None or price > high:
                    highest[bucket] = price

    def take_cells(self, runs: Sequence[Run]) -> None:
        """Cells that lie in one bucket each, in their order; before the holds between them, some of which end a bucket.

        Whole columns at once where there is one cell to a bucket.
        """
        for run in runs:
            first, last = ((at - self._first) // self._length for at in (run.begins, run.ends - 1))
            prices, lowest, highest = run.prices, run.lowest, run.highest
            if first == last:
                prices, lowest, highest = [run.last], [run.whole.lowest], [run.whole.highest]
            # No cell is left out between them, so as many cells as buckets are one in each.
            elif len(prices) != last - first + 1:
                each = self._length // run.length
                cuts = range(each - run.begins // run.length % each, len(prices), each)
                parts = [slice(*cut) for cut in pairwise([0, *cuts, len(prices)])]
                prices = [prices[part.stop - 1] for part in parts]
                lowest = [min(lowest[part]) for part in parts]
                highest = [max(highest[part]) for part in parts]
            # Only in the first bucket may something have been before.
            low, high = self._lowest[first], self._highest[first]
            self._prices[first : last + 1] = prices
            self._lowest[first : last + 1] = lowest
            self._highest[first : last + 1] = highest
            if low is not None:
                self._lowest[first] = min(low, lowest[0])
            if high is not None:
                self._highest[first] = max(high, highest[0])

    def close(self, price: int | None) -> None:
        """Tell the price in effect at the window's end."""
        self._prices[-1] = price

    def collect(self) -> Points:
        starts = range(self._first, self._first + len(self._prices) * self._length, self._length)
        return Points(starts, self._prices, self._lowest, self._highest)


def two_decimals(numerator: int, denominator: int) -> Decimal:
    """The exact quotient rounded half-even to two decimals, without trailing zeros."""
    rounded = hundredths(numerator, denominator)
    whole, rest = divmod(rounded, 100)
    return Decimal(whole) if rest == 0 else (Decimal(rounded) / 100).normalize()
