"""The trend of a price: by hand, and against a second implementation that asks for the price instant by instant."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from price_history.domain.cells import PriceAt
from price_history.domain.errors import InvalidParameterError
from price_history.domain.instants import SECOND, to_datetime, to_instant
from price_history.domain.resolution import MAX_POINTS, buckets
from price_history.domain.trend import Trend, TrendBuilder, two_decimals
from price_history.domain.window import Window

Changes = list[tuple[int, int | None]]


class Point(NamedTuple):
    at: int
    price: int | None
    lowest: int | None
    highest: int | None


def points_of(trend: Trend) -> list[Point]:
    return list(map(Point, *trend.points))


def trend_of(window: Window, changes: Changes, seconds: int | None) -> Trend:
    builder = TrendBuilder(window, None if seconds is None else buckets(window, seconds))
    builder.add(changes)
    return builder.finish()


def seconds(*pairs: tuple[float, int | None]) -> Changes:
    return [(round(at * SECOND), price) for at, price in pairs]


TEN_SECONDS = Window(100 * SECOND, 110 * SECOND)


class TestRaw:
    def test_begins_with_the_price_in_effect_at_from(self) -> None:
        trend = trend_of(TEN_SECONDS, seconds((50, 7), (104, 9)), None)
        assert points_of(trend) == [Point(100 * SECOND, 7, 7, 7), Point(104 * SECOND, 9, 9, 9)]
        assert trend.start_is_carried

    def test_a_change_exactly_at_from_is_in_effect_there(self) -> None:
        trend = trend_of(TEN_SECONDS, seconds((50, 7), (100, 8)), None)
        assert points_of(trend) == [Point(100 * SECOND, 8, 8, 8)]
        assert trend.start == PriceAt(8, 100 * SECOND)
        assert trend.start_is_carried

    def test_a_change_exactly_at_to_is_included(self) -> None:
        trend = trend_of(TEN_SECONDS, seconds((50, 7), (110, 8)), None)
        assert trend.points.prices == [7, 8]
        assert trend.end == PriceAt(8, 110 * SECOND)
        assert trend.highest == PriceAt(8, 110 * SECOND)
        assert trend.average == 7

    def test_has_no_point_at_from_where_no_price_was_in_effect(self) -> None:
        trend = trend_of(TEN_SECONDS, seconds((103, 5)), None)
        assert points_of(trend) == [Point(103 * SECOND, 5, 5, 5)]
        assert not trend.start_is_carried

    def test_tells_where_a_price_ended(self) -> None:
        trend = trend_of(TEN_SECONDS, seconds((50, 7), (104, None), (107, 9)), None)
        assert trend.points.prices == [7, None, 9]

    def test_repeated_prices_are_one_change(self) -> None:
        trend = trend_of(TEN_SECONDS, seconds((50, 7), (103, 7), (104, 8), (105, 8)), None)
        assert list(trend.points.at) == [100 * SECOND, 104 * SECOND]

    def test_an_end_before_any_price_is_no_change(self) -> None:
        assert points_of(trend_of(TEN_SECONDS, seconds((103, None)), None)) == []

    def test_more_points_than_are_given_are_refused_while_reading(self) -> None:
        window = Window(0, MAX_POINTS * 2 * SECOND)
        changes: Changes = [(at * SECOND, at) for at in range(1, MAX_POINTS + 1)]
        assert len(trend_of(window, changes, None).points.at) == MAX_POINTS
        with pytest.raises(InvalidParameterError, match="resolution"):
            trend_of(window, [*changes, ((MAX_POINTS + 1) * SECOND, 0)], None)


class TestBuckets:
    def test_are_aligned_and_the_first_begins_before_from(self) -> None:
        trend = trend_of(Window(103 * SECOND, 112 * SECOND), seconds((50, 7)), 5)
        assert list(trend.points.at) == [100 * SECOND, 105 * SECOND, 110 * SECOND]

    def test_the_last_one_ends_at_to_and_includes_it(self) -> None:
        trend = trend_of(TEN_SECONDS, seconds((50, 7), (110, 8)), 5)
        assert points_of(trend) == [Point(100 * SECOND, 7, 7, 7), Point(105 * SECOND, 8, 7, 8)]

    def test_a_change_on_a_boundary_belongs_to_the_bucket_that_it_begins(self) -> None:
        trend = trend_of(TEN_SECONDS, seconds((50, 7), (105, 8)), 5)
        assert points_of(trend) == [Point(100 * SECOND, 7, 7, 7), Point(105 * SECOND, 8, 8, 8)]

    def test_the_first_counts_from_from(self) -> None:
        trend = trend_of(Window(103 * SECOND, 110 * SECOND), seconds((100.5, 1), (101, 2), (102, 3)), 5)
        assert points_of(trend)[0] == Point(100 * SECOND, 3, 3, 3)

    def test_lowest_and_highest_take_in_the_price_carried_in(self) -> None:
        trend = trend_of(TEN_SECONDS, seconds((50, 1), (101, 9), (102, 5)), 5)
        assert points_of(trend) == [Point(100 * SECOND, 5, 1, 9), Point(105 * SECOND, 5, 5, 5)]

    def test_a_price_that_ended_in_a_bucket_is_null_there_with_its_extremes(self) -> None:
        trend = trend_of(TEN_SECONDS, seconds((50, 4), (102, None)), 5)
        assert points_of(trend) == [Point(100 * SECOND, None, 4, 4), Point(105 * SECOND, None, None, None)]

    def test_one_may_be_longer_than_the_window(self) -> None:
        trend = trend_of(TEN_SECONDS, seconds((50, 4), (108, 6)), 86_400)
        assert points_of(trend) == [Point(0, 6, 4, 6)]

    def test_a_change_a_microsecond_before_a_boundary_is_the_last_of_its_bucket(self) -> None:
        trend = trend_of(TEN_SECONDS, [(0, 4), (105 * SECOND - 1, 6)], 5)
        assert points_of(trend) == [Point(100 * SECOND, 6, 4, 6), Point(105 * SECOND, 6, 6, 6)]


class TestSummary:
    def test_the_contracts_example(self) -> None:
        # 1000 for 4 s, 990 for 1 s, none for 2 s, 995 for 3 s: (4000 + 990 + 2985) / 8 = 996.875
        trend = trend_of(TEN_SECONDS, seconds((90, 1000), (104, 990), (105, None), (107, 995)), None)
        assert (trend.start, trend.start_is_carried) == (PriceAt(1000, 100 * SECOND), True)
        assert trend.end == PriceAt(995, 110 * SECOND)
        assert (trend.change, str(trend.change_percent), trend.reason) == (-5, "-0.5", None)
        assert trend.lowest == PriceAt(990, 104 * SECOND)
        assert trend.highest == PriceAt(1000, 100 * SECOND)
        assert str(trend.average) == "996.88"

    def test_the_end_is_when_the_last_price_ended(self) -> None:
        trend = trend_of(TEN_SECONDS, seconds((103, 5), (104, 6), (106, None)), 5)
        assert trend.start == PriceAt(5, 103 * SECOND)
        assert trend.end == PriceAt(6, 106 * SECOND)
        assert trend.change == 1

    def test_extremes_are_dated_at_their_first_instant(self) -> None:
        trend = trend_of(TEN_SECONDS, seconds((50, 5), (102, 3), (103, 5), (104, 3), (105, 9), (106, 9), (107, 5)), 5)
        assert trend.lowest == PriceAt(3, 102 * SECOND)
        assert trend.highest == PriceAt(9, 105 * SECOND)

    def test_nothing_in_the_window(self) -> None:
        trend = trend_of(TEN_SECONDS, [], 5)
        assert (trend.start, trend.end, trend.lowest, trend.highest, trend.average) == (None,) * 5
        assert (trend.change, trend.change_percent, trend.reason) == (None, None, "no_price_in_period")
        assert trend.points.prices == [None, None]

    def test_what_ended_exactly_at_from_is_not_in_the_window(self) -> None:
        assert trend_of(TEN_SECONDS, seconds((50, 5), (100, None)), 5).reason == "no_price_in_period"

    def test_a_start_at_zero_gives_no_percentage(self) -> None:
        trend = trend_of(TEN_SECONDS, seconds((50, 0), (105, 10)), 5)
        assert (trend.change, trend.change_percent, trend.reason) == (None, None, "zero_start_price")
        assert trend.lowest == PriceAt(0, 100 * SECOND)
        assert trend.average == 5

    def test_a_price_that_appears_at_the_very_end_has_no_average(self) -> None:
        trend = trend_of(TEN_SECONDS, seconds((110, 5)), 5)
        assert (trend.start, trend.end) == (PriceAt(5, 110 * SECOND), PriceAt(5, 110 * SECOND))
        assert trend.average is None
        assert [trend.change, trend.change_percent] == [0, 0]

    def test_the_largest_prices_stay_exact(self) -> None:
        top = 2**63 - 1
        trend = trend_of(TEN_SECONDS, seconds((50, top), (105, top - 1)), None)
        assert str(trend.average) == "9223372036854775806.5"
        assert [trend.change, trend.change_percent] == [-1, 0]
        rise = trend_of(TEN_SECONDS, seconds((50, 1), (105, top)), None)
        assert str(rise.change_percent) == str(100 * (top - 1))

    @pytest.mark.parametrize(
        ("numerator", "denominator", "expected"),
        [
            (1, 200, "0"),
            (3, 200, "0.02"),
            (-1, 200, "0"),
            (-3, 200, "-0.02"),
            (1, 3, "0.33"),
            (2, 3, "0.67"),
            (10, 1, "10"),
            (1050, 100, "10.5"),
            (-1, 2, "-0.5"),
            (-150, 100, "-1.5"),
            (1000, 1, "1000"),
        ],
    )
    def test_two_decimals_are_half_even_without_trailing_zeros(
        self, numerator: int, denominator: int, expected: str
    ) -> None:
        assert str(two_decimals(numerator, denominator)) == expected


# The second implementation: it knows one thing, the price at an instant, and asks for it.


@dataclass
class Naive:
    window: Window
    changes: Changes

    def price(self, instant: int) -> int | None:
        known = [price for at, price in self.changes if at <= instant]
        return known[-1] if known else None

    def instants(self, first: int, last: int) -> list[int]:
        """Every instant from first to last at which the price may differ from the microsecond before."""
        return sorted({first, *(at for at, _ in self.changes if first <= at <= last)})

    def prices(self, first: int, last: int) -> list[tuple[int, int]]:
        return [(price, at) for at in self.instants(first, last) if (price := self.price(at)) is not None]

    def raw(self) -> list[tuple[int, int | None]]:
        points: list[tuple[int, int | None]] = []
        for at in self.instants(self.window.start, self.window.end):
            before = self.price(at - 1) if at > self.window.start else None
            if self.price(at) != before:
                points.append((at, self.price(at)))
        return points

    def bucket_points(self, seconds: int) -> list[Point]:
        points = []
        length = seconds * SECOND
        at = self.window.start - self.window.start % length
        while at < self.window.end:
            first = max(at, self.window.start)
            last = self.window.end if at + length >= self.window.end else at + length - 1
            priced = [price for price, _ in self.prices(first, last)]
            points.append(Point(at, self.price(last), min(priced, default=None), max(priced, default=None)))
            at += length
        return points

    def average(self) -> Decimal | None:
        instants = [*self.instants(self.window.start, self.window.end), self.window.end]
        spans = [(b - a, price) for a, b in itertools.pairwise(instants) if (price := self.price(a)) is not None]
        priced = sum(span for span, _ in spans)
        return rounded(Fraction(sum(span * price for span, price in spans), priced)) if priced else None


def rounded(exact: Fraction) -> Decimal:
    with localcontext() as context:
        context.prec = 80
        return (Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(Decimal("0.01"), ROUND_HALF_EVEN)


# Half seconds and their neighbours, so that changes, boundaries and ends often meet.
instant = st.builds(lambda half, off: half * SECOND // 2 + off, st.integers(2, 60), st.sampled_from([0, 0, 0, -1, 1]))
price = st.one_of(st.none(), st.integers(0, 5), st.integers(0, 2**63 - 1))


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start, end = sorted(draw(st.lists(instant, min_size=2, max_size=2, unique=True)))
    return Window(start, end)


@st.composite
def histories(draw: st.DrawFn) -> Changes:
    times = draw(st.lists(instant, unique=True, max_size=25))
    return [(at, draw(price)) for at in sorted(times)]


def from_carried(window: Window, changes: Changes) -> Changes:
    """As the database gives them: the last change at or before the window's start, and those in the window."""
    before = [change for change in changes if change[0] <= window.start]
    return before[-1:] + [change for change in changes if window.start < change[0] <= window.end]


@given(windows(), histories(), st.sampled_from([None, 1, 2, 3, 7, 60]))
@example(Window(SECOND, 2 * SECOND), [(2 * SECOND, 1)], 1)
def test_a_trend_equals_what_asking_for_every_instant_gives(
    window: Window, changes: Changes, resolution: int | None
) -> None:
    trend = trend_of(window, from_carried(window, changes), resolution)
    naive = Naive(window, changes)
    if resolution is None:
        assert list(zip(trend.points.at, trend.points.prices, strict=True)) == naive.raw()
    else:
        assert points_of(trend) == naive.bucket_points(resolution)
    priced = naive.prices(window.start, window.end)
    if not priced:
        assert (trend.start, trend.end, trend.lowest, trend.highest) == (None,) * 4
        assert trend.reason == "no_price_in_period"
        return
    assert trend.start == PriceAt(*priced[0])
    assert trend.start_is_carried == (naive.price(window.start) is not None)
    assert trend.lowest == PriceAt(*min(priced))
    assert trend.highest == PriceAt(*min(priced, key=lambda found: (-found[0], found[1])))
    assert trend.average == naive.average()
    assert trend.end is not None
    if (last := naive.price(window.end)) is not None:
        assert trend.end == PriceAt(last, window.end)
    else:
        assert naive.price(trend.end.at) is None
        assert naive.price(trend.end.at - 1) == trend.end.price == priced[-1][0]
    if priced[0][0] == 0:
        assert (trend.change, trend.change_percent, trend.reason) == (None, None, "zero_start_price")
    else:
        change = trend.end.price - priced[0][0]
        assert trend.change == change
        assert trend.change_percent == rounded(Fraction(100 * change, priced[0][0]))


@given(windows(), histories(), st.sampled_from([None, 1, 7]), st.integers(1, 5))
def test_reading_in_pages_changes_nothing(window: Window, changes: Changes, resolution: int | None, size: int) -> None:
    changes = from_carried(window, changes)
    builder = TrendBuilder(window, None if resolution is None else buckets(window, resolution))
    for first in range(0, len(changes), size):
        builder.add(changes[first : first + size])
    paged, whole = builder.finish(), trend_of(window, changes, resolution)
    assert paged == whole


@given(windows(), histories())
def test_earlier_changes_than_the_one_carried_in_do_no_harm(window: Window, changes: Changes) -> None:
    until_end = [change for change in changes if change[0] <= window.end]
    assert trend_of(window, until_end, 2) == trend_of(window, from_carried(window, changes), 2)


@given(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds UTC
def test_instants_are_exact(moment: datetime) -> None:
    assert to_datetime(to_instant(moment)) == moment
    assert to_instant(moment + timedelta(microseconds=1) if moment < datetime.max.replace(tzinfo=UTC) else moment) - (
        to_instant(moment)
    ) in {0, 1}
