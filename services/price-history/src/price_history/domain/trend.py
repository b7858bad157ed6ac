"""The trend of a price over a window, from the price carried into it and the changes in it.

A price is a step function of time: each observed price holds until the next change. None stands for "no price".
Instants are whole microseconds. A window includes its end, where a price may begin that is in effect for no time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from operator import itemgetter
from typing import Final, Literal, NamedTuple, TypeAlias

from price_history.domain.errors import InvalidParameterError
from price_history.domain.instants import SECOND
from price_history.domain.resolution import MAX_POINTS, Buckets
from price_history.domain.window import Window

Hold: TypeAlias = tuple[int | None, int, int]
"""`(price, begins, ends)`: in effect from `begins` up to `ends`, where the next one begins. The last one of a window is
in effect at its end as well, and may begin there."""

_price: Final = itemgetter(0)

Reason = Literal["no_price_in_period", "zero_start_price"]


class Point(NamedTuple):
    """A change, or a bucket: the last price in effect in it, and the lowest and highest ones."""

    at: int
    price: int | None
    lowest: int | None
    highest: int | None


class PriceAt(NamedTuple):
    """A price, and an instant at which it was in effect (for `Trend.end`: or until which)."""

    price: int
    at: int


@dataclass(frozen=True, slots=True)
class Trend:
    """What happened to a price in a window; field by field as in the contract's section "Trends".

    `average` has two decimals and is None where the price was in effect for no time at all, which includes a
    price that appears at the window's very end.
    """

    window: Window
    buckets: Buckets | None
    points: list[Point]
    start: PriceAt | None
    end: PriceAt | None
    lowest: PriceAt | None
    highest: PriceAt | None
    average: Decimal | None

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
    """Builds a trend from changes as they are read, in memory that grows with the points, not with the changes.

    Feed it the changes in order: the last one at or before the window's start, if there is one, then those in it.

    Args:
        window: the span of time.
        cut: the buckets that cover the window, or None for a point for each change.
    """

    def __init__(self, window: Window, cut: Buckets | None) -> None:
        self._window = window
        self._cut = cut
        self._points: _RawPoints | _BucketPoints = _RawPoints(window) if cut is None else _BucketPoints(cut)
        self._summary = _Summary()
        self._price: int | None = None
        self._since = window.start

    def add(self, changes: Iterable[tuple[int, int | None]]) -> None:
        """Take the next `(at, price)` pairs; a pair that repeats the price in effect is no change.

        Raises:
            InvalidParameterError: more points than are given at once.
        """
        price, since = self._price, self._since
        holds: list[Hold] = []
        for at, new_price in changes:
            if new_price == price:
                continue
            if at > since:
                holds.append((price, since, at))
                since = at
            price = new_price
        self._price, self._since = price, since
        self._take(holds)

    def finish(self) -> Trend:
        """The trend, with the last price in effect up to and including the window's end."""
        self._take([(self._price, self._since, self._window.end)])
        summary = self._summary
        return Trend(
            window=self._window,
            buckets=self._cut,
            points=self._points.collect(),
            start=summary.start,
            end=summary.end,
            lowest=summary.lowest,
            highest=summary.highest,
            average=summary.average(),
        )

    def _take(self, holds: list[Hold]) -> None:
        self._points.take(holds)
        self._summary.take(holds)


class _RawPoints:
    """One point for the price carried in, and one for each change."""

    def __init__(self, window: Window) -> None:
        self._start = window.start
        self._points: list[Point] = []

    def take(self, holds: list[Hold]) -> None:
        self._points += [
            Point(begins, price, price, price)
            for price, begins, _ in holds
            if price is not None or begins > self._start
        ]
        if len(self._points) > MAX_POINTS:
            raise InvalidParameterError(
                "resolution", f"raw gives more than {MAX_POINTS} points in this period: ask for a shorter one, or auto"
            )

    def collect(self) -> list[Point]:
        return self._points


class _BucketPoints:
    """One point for each bucket."""

    def __init__(self, cut: Buckets) -> None:
        self._first = cut.first
        self._length = cut.seconds * SECOND
        self._prices: list[int | None] = [None] * cut.count
        self._lowest: list[int | None] = [None] * cut.count
        self._highest: list[int | None] = [None] * cut.count

    def take(self, holds: list[Hold]) -> None:
        origin, length, prices, lowest, highest = self._first, self._length, self._prices, self._lowest, self._highest
        end = len(prices) - 1
        for price, begins, ends in holds:
            # The window's end may lie on a boundary; it belongs to the last bucket all the same.
            first = min((begins - origin) // length, end)
            last = min((ends - 1 - origin) // length, end)
            for bucket in range(first, last + 1):
                prices[bucket] = price
                if price is None:
                    continue
                low, high = lowest[bucket], highest[bucket]
                if low is None or price < low:
                    lowest[bucket] = price
                if high is None or price > high:
                    highest[bucket] = price

    def collect(self) -> list[Point]:
        starts = range(self._first, self._first + len(self._prices) * self._length, self._length)
        return list(map(Point, starts, self._prices, self._lowest, self._highest))


class _Summary:
    """What the whole window amounts to."""

    def __init__(self) -> None:
        self.start: PriceAt | None = None
        self.end: PriceAt | None = None
        self.lowest: PriceAt | None = None
        self.highest: PriceAt | None = None
        self._priced_time = 0
        self._weighted = 0

    def take(self, holds: list[Hold]) -> None:
        priced = [(price, begins, ends) for price, begins, ends in holds if price is not None]
        if not priced:
            return
        price, begins, _ = priced[0]
        if self.start is None:
            self.start = self.lowest = self.highest = PriceAt(price, begins)
        price, _, ends = priced[-1]
        self.end = PriceAt(price, ends)
        # The first of equals, as holds come in their order.
        price, begins, _ = min(priced, key=_price)
        if self.lowest is None or price < self.lowest.price:
            self.lowest = PriceAt(price, begins)
        price, begins, _ = max(priced, key=_price)
        if self.highest is None or price > self.highest.price:
            self.highest = PriceAt(price, begins)
        self._priced_time += sum(ends - begins for _, begins, ends in priced)
        self._weighted += sum(price * (ends - begins) for price, begins, ends in priced)

    def average(self) -> Decimal | None:
        return two_decimals(self._weighted, self._priced_time) if self._priced_time else None


def two_decimals(numerator: int, denominator: int) -> Decimal:
    """The exact quotient rounded half-even to two decimals, without trailing zeros."""
    hundredths = round(Fraction(100 * numerator, denominator))
    whole, rest = divmod(hundredths, 100)
    return Decimal(whole) if rest == 0 else (Decimal(hundredths) / 100).normalize()
