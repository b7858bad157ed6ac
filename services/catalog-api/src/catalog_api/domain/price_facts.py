"""What happened to a product's best price: as events tell it, or as it follows from a series of recorded prices.

The definitions are those of the events `prices.best-price-changed.v1`, `prices.new-low.v1` and
`prices.back-in-stock.v1`. None stands for "no price": no offer is in stock.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import Final

import msgspec

LOW_DAYS: Final = 30
"""A new low is looked for in so many days in UTC, of which the price's own is the last."""
_INSTANT: Final = timedelta(microseconds=1)


class BestPriceChange(msgspec.Struct, frozen=True, gc=False):
    """From `at` on another price is the best one, or there is none; the prices are never the same."""

    at: datetime
    old_price: int | None
    price: int | None


class NewLow(msgspec.Struct, frozen=True, gc=False):
    """The price of `at` is lower than any in 30 days; `low_30_days` is None where there was none in them."""

    at: datetime
    price: int
    low_30_days: int | None
    low_ever: int

    @property
    def is_lowest_ever(self) -> bool:
        """Whether it is lower than any before."""
        return self.price < self.low_ever


class BackInStock(msgspec.Struct, frozen=True, gc=False):
    """There is a price again at `at`, after there was one before, and none last."""

    at: datetime
    price: int


Fact = BestPriceChange | NewLow | BackInStock


class Before(msgspec.Struct, frozen=True):
    """What is to be known of the time before a series.

    Attributes:
        low_ever: the lowest price there ever was; None if there never was one.
        daily_lows: the lowest price in effect on each day in UTC, oldest first, for the 29 days before the series
            begins, and for its own day until then. A day without a price is left out.
    """

    low_ever: int | None = None
    daily_lows: tuple[tuple[date, int], ...] = ()


class FactsOfSeries:
    """Tells the facts of a product's series of prices, part by part.

    Args:
        price: the one in effect when the series begins.
        before: what happened until then. Without it, new lows and returns into stock are told only as far as the
            series itself shows them.
    """

    def __init__(self, price: int | None, before: Before) -> None:
        self._price = price
        self._low_ever = _lower(before.low_ever, price)
        # The lows of days, growing: a day's low that a later day undercuts is never the lowest of days to come.
        self._lows: deque[tuple[date, int]] = deque()
        for day, low in before.daily_lows:
            self._note_low(day, low)

    def take(self, changes: Iterable[tuple[datetime, int | None]]) -> Iterator[Fact]:
        """The facts that these changes make: time in UTC and price, in order. One that repeats the price is none."""
        for at, price in changes:
            old = self._price
            if price == old:
                continue
            if old is not None:
                self._note_low((at - _INSTANT).date(), old)
            yield BestPriceChange(at, old, price)
            if price is not None and self._low_ever is not None:
                if old is None:
                    yield BackInStock(at, price)
                low = self._low_30_days(at.date())
                if price < (self._low_ever if low is None else low):
                    yield NewLow(at, price, low, self._low_ever)
            self._price = price
            self._low_ever = _lower(self._low_ever, price)

    def _note_low(self, day: date, low: int) -> None:
        while self._lows and self._lows[-1][1] >= low:
            self._lows.pop()
        self._lows.append((day, low))

    def _low_30_days(self, today: date) -> int | None:
        first = today - timedelta(days=LOW_DAYS - 1)
        while self._lows and self._lows[0][0] < first:
            self._lows.popleft()
        return self._lows[0][1] if self._lows else None


def _lower(one: int | None, other: int | None) -> int | None:
    return min((price for price in (one, other) if price is not None), default=None)
