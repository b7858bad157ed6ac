"""When an alert fires: by examples, and by properties over any series of prices."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog_api.domain.alert_evaluation import FACTS, NOTHING_KNOWN, SLOTS, Firing, State, evaluate
from catalog_api.domain.alerts import (
    BackInStockAgain,
    BestPriceAtOrBelow,
    Condition,
    Drop,
    NewLowOver,
    Rise,
    Rule,
    window_length,
)
from catalog_api.domain.price_facts import BackInStock, Before, BestPriceChange, Fact, FactsOfSeries, NewLow

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
Series = Sequence[tuple[float, int | None]]


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def rule(condition: Condition, cooldown: int = 0, hysteresis: float = 1.0) -> Rule:
    return Rule(condition, cooldown, hysteresis)


def facts(series: Series, start: int | None = None, before: Before | None = None) -> list[Fact]:
    """What happens when prices change to these at these minutes."""
    told = FactsOfSeries(start, before or Before())
    return list(told.take([(at(minutes), price) for minutes, price in series]))


def run(given_rule: Rule, happened: Sequence[Fact]) -> tuple[State, list[Firing]]:
    state, fired = NOTHING_KNOWN, []
    for fact in happened:
        if isinstance(fact, FACTS[type(given_rule.condition)]):
            state, firing = evaluate(given_rule, state, fact)
            fired += [firing] if firing else []
    return state, fired


def prices(given_rule: Rule, series: Series, start: int | None = None) -> list[tuple[float, int]]:
    """At which minutes and prices the alert fires."""
    _, fired = run(given_rule, facts(series, start))
    return [((firing.at - NOON) / timedelta(minutes=1), firing.price) for firing in fired]


class TestBestPriceAtOrBelow:
    below = rule(BestPriceAtOrBelow(1000))

    def test_fires_when_the_price_comes_to_it(self) -> None:
        assert prices(self.below, [(1, 1001), (2, 1000)], 1100) == [(2, 1000)]

    def test_fires_at_the_next_change_where_it_held_already(self) -> None:
        assert prices(self.below, [(1, 899), (2, 898)], 900) == [(1, 899)]

    def test_the_first_price_ever_counts(self) -> None:
        assert prices(self.below, [(1, 900)]) == [(1, 900)]

    def test_jitter_around_the_price_fires_once(self) -> None:
        assert prices(self.below, [(n, 1000 + (-1) ** n * 9) for n in range(50)], 1100) == [(1, 991)]

    def test_it_fires_again_once_the_price_was_away_by_the_hysteresis(self) -> None:
        assert prices(self.below, [(1, 1000), (2, 1009), (3, 1000)], 1100) == [(1, 1000)]
        assert prices(self.below, [(1, 1000), (2, 1010), (3, 1000)], 1100) == [(1, 1000), (3, 1000)]

    def test_without_hysteresis_any_price_above_is_away(self) -> None:
        none = rule(BestPriceAtOrBelow(1000), hysteresis=0)
        assert prices(none, [(1, 1000), (2, 999), (3, 1001), (4, 1000)], 1100) == [(1, 1000), (4, 1000)]

    def test_being_out_of_stock_is_neither_here_nor_there(self) -> None:
        assert prices(self.below, [(1, 900), (2, None), (3, 900), (4, None)], 1100) == [(1, 900)]

    def test_a_price_of_zero_is_a_price(self) -> None:
        assert prices(rule(BestPriceAtOrBelow(0)), [(1, 0), (2, 1), (3, 0)], 5) == [(1, 0), (3, 0)]

    def test_the_reference_is_the_price_asked_for(self) -> None:
        assert run(self.below, facts([(1, 5)]))[1] == [Firing(at(1), 5, 1000)]


class TestCooldown:
    def test_within_it_nothing_fires_and_afterwards_the_next_change_does(self) -> None:
        series = [(0, 1000), (10, 1100), (20, 990), (59, 989), (60, 988), (61, 987)]
        assert prices(rule(BestPriceAtOrBelow(1000), cooldown=3600), series, 1100) == [(0, 1000), (60, 988)]

    def test_its_end_alone_fires_nothing(self) -> None:
        series = [(0, 1000), (10, 1100), (20, 990), (90, 1100)]
        assert prices(rule(BestPriceAtOrBelow(1000), cooldown=3600), series, 1100) == [(0, 1000)]


class TestDropAndRise:
    drop = rule(Drop(10, "100m"))
    rise = rule(Rise(10, "100m"))

    def test_a_drop_is_from_the_highest_price_of_the_window(self) -> None:
        series = [(1, 1000), (2, 950), (3, 901), (4, 900)]
        assert prices(self.drop, series, 990) == [(4, 900)]
        assert run(self.drop, facts(series, 990))[1][0].reference == 1000

    def test_a_rise_is_from_the_lowest_price_of_the_window(self) -> None:
        series = [(1, 1000), (2, 1050), (3, 1099), (4, 1100)]
        assert prices(self.rise, series, 1010) == [(4, 1100)]
        assert run(self.rise, facts(series, 1010))[1][0].reference == 1000

    def test_the_price_in_effect_as_the_window_begins_counts(self) -> None:
        assert prices(self.drop, [(0, 1000), (200, 900)]) == [(200, 900)]

    def test_prices_that_ended_before_the_window_do_not(self) -> None:
        # NOON is a whole multiple of a slot, which is a minute, so the window of 102 begins at 2 exactly.
        assert prices(self.drop, [(2, 950), (102, 900)], 1000) == []
        assert prices(self.drop, [(2.001, 950), (102, 900)], 1000) == [(102, 900)]
        assert prices(self.drop, [(2.001, 950), (102.999, 900)], 1000) == [(102.999, 900)]
        assert prices(self.drop, [(2.001, 950), (103, 900)], 1000) == []

    def test_a_price_that_goes_on_falling_fires_once_until_the_window_has_slid(self) -> None:
        series = [(n, 1000 - n) for n in range(1, 400)]
        assert [minute for minute, _ in prices(self.drop, series, 1000)] == [100]
        # Over all that time the price is within 10% of what it was at the window's start, then further away.
        later = [(400.0, 601), (600.0, 600), (601.0, 540)]
        assert [minute for minute, _ in prices(self.drop, [*series, *later], 1000)] == [100, 601]

    def test_a_price_that_stays_put_until_the_window_is_past_its_drop_has_left_it(self) -> None:
        week = 7 * 24 * 60
        steps = [1000, 800, 600, 450, 300, 200]
        falling = [(n * week, price) for n, price in enumerate(steps)]
        assert prices(rule(Drop(10, "24h")), falling) == falling[1:]
        growing = [(n * week, price) for n, price in enumerate(reversed(steps))]
        assert prices(rule(Rise(10, "24h")), growing) == growing[1:]

    def test_what_moved_within_the_window_is_left_as_what_is_higher_slides_out_of_it(self) -> None:
        series = [(0, 1000), (5, 960), (50, 900)]
        # 900 still is a drop from 1000 at 104, and no longer one from 960 at 110; at 155 there is nothing before it.
        assert prices(self.drop, [*series, (104, 855)]) == [(50, 900)]
        assert prices(self.drop, [*series, (110, 864)]) == [(50, 900), (110, 864)]
        assert prices(self.drop, [*series, (155, 810)]) == [(50, 900), (155, 810)]

    def test_a_price_that_stays_put_within_the_hysteresis_or_without_stock_has_not_left(self) -> None:
        assert prices(self.drop, [(0, 1000), (5, 993), (50, 900), (110, 890)]) == [(50, 900)]
        assert prices(self.drop, [(0, 1000), (50, 900), (60, None), (90, 890)]) == [(50, 900)]

    def test_a_price_after_a_gap_is_compared_with_those_before_it(self) -> None:
        assert prices(self.drop, [(1, None), (50, 900)], 1000) == [(50, 900)]
        assert prices(self.drop, [(1, None), (200, 900)], 1000) == []

    def test_no_percentage_leads_from_zero_to_anywhere(self) -> None:
        assert prices(self.rise, [(1, 5), (2, 50)], 0) == []
        assert prices(self.drop, [(1, 0), (2, 0)], 0) == []
        assert prices(rule(Drop(100, "1h")), [(1, 1), (2, 0)], 10) == [(2, 0)]

    def test_however_often_a_price_changes_a_hundred_and_one_are_known_of_it(self) -> None:
        falling = [(n / 600, 100_000 - n) for n in range(4000)]
        for condition in (Drop(1, "1m"), Rise(1, "1m")):
            state, _ = run(rule(condition), facts(falling, 100_000))
            assert len(state.extremes) <= SLOTS + 1

    def test_hundredths_of_a_percent_are_exact(self) -> None:
        assert prices(rule(Drop(0.07, "1h")), [(1, 99931)], 100_000) == []
        assert prices(rule(Drop(0.07, "1h")), [(1, 99930)], 100_000) == [(1, 99930)]

    def test_the_largest_prices_are_compared_exactly(self) -> None:
        top = 2**63 - 1
        assert prices(rule(Drop(50, "1h")), [(1, top // 2 + 1)], top) == []
        assert prices(rule(Drop(50, "1h")), [(1, top // 2)], top) == [(1, top // 2)]


class TestNewLow:
    def test_it_goes_by_the_days_before_and_by_all_time(self) -> None:
        before = Before(90, ((NOON.date() - timedelta(days=29), 100), (NOON.date(), 120)))
        happened = facts([(1, 99), (2, 89)], 120, before)
        assert [fact for fact in happened if isinstance(fact, NewLow)] == [
            NewLow(at(1), 99, 100, 90),
            NewLow(at(2), 89, 99, 90),
        ]
        assert run(rule(NewLowOver("30d")), happened)[1] == [Firing(at(1), 99, 100), Firing(at(2), 89, 99)]
        assert run(rule(NewLowOver("ever")), happened)[1] == [Firing(at(2), 89, 90)]

    def test_the_first_price_is_none(self) -> None:
        assert prices(rule(NewLowOver("ever")), [(1, 100), (2, 110), (3, 100)]) == []

    def test_lows_that_are_hardly_lower_than_the_one_told_are_not_told(self) -> None:
        series = [(n, 1000 - n) for n in range(1, 22)]
        assert prices(rule(NewLowOver("30d")), series, 1000) == [(1, 999), (11, 989), (21, 979)]

    def test_a_low_of_thirty_days_may_be_higher_than_the_one_told_before(self) -> None:
        days = 24 * 60
        series = [(0, 500), (1, 900), (40 * days, 890)]
        assert prices(rule(NewLowOver("30d")), series, 1000) == [(0, 500), (40 * days, 890)]
        assert prices(rule(NewLowOver("ever")), series, 1000) == [(0, 500)]

    def test_a_day_is_forgotten_thirty_days_later(self) -> None:
        midnight = 12 * 60
        month = 29 * 24 * 60
        assert prices(rule(NewLowOver("30d")), [(1, 900), (midnight + month - 1, 890)], 500) == []
        assert prices(rule(NewLowOver("30d")), [(1, 900), (midnight + month, 890)], 500) == [(midnight + month, 890)]


class TestBackInStock:
    def test_each_return_fires_outside_of_the_cooldown(self) -> None:
        series = [(1, None), (2, 10), (3, None), (4, 10), (70, None), (71, 9)]
        assert prices(rule(BackInStockAgain()), series, 10) == [(2, 10), (4, 10), (71, 9)]
        assert prices(rule(BackInStockAgain(), cooldown=3600), series, 10) == [(2, 10), (71, 9)]

    def test_the_first_price_ever_is_no_return(self) -> None:
        assert prices(rule(BackInStockAgain()), [(1, 10)]) == []
        _, fired = run(rule(BackInStockAgain()), facts([(1, 10)], None, Before(low_ever=5)))
        assert fired == [Firing(at(1), 10, None)]


def test_a_condition_is_given_only_the_facts_that_it_goes_by() -> None:
    with pytest.raises(TypeError, match="Drop does not go by BackInStock"):
        evaluate(rule(Drop(10, "1h")), NOTHING_KNOWN, BackInStock(NOON, 1))


@pytest.mark.parametrize("window", ["0m", "31d", "721h", "43201m", "1", "h", "1w", "-1h", "1.5h", "1H", "", "1h\n"])
def test_windows_of_another_form_or_length_are_refused(window: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        window_length(window)


conditions: st.SearchStrategy[Condition] = st.one_of(
    st.integers(0, 30).map(BestPriceAtOrBelow),
    st.builds(Drop, st.integers(1, 10_000).map(lambda n: n / 100), st.sampled_from(["1m", "100m", "7h"])),
    st.builds(Rise, st.integers(1, 100_000).map(lambda n: n / 100), st.sampled_from(["1m", "100m", "7h"])),
    st.sampled_from([NewLowOver("30d"), NewLowOver("ever"), BackInStockAgain()]),
)
rules = st.builds(Rule, conditions, st.sampled_from([0, 60, 7200]), st.sampled_from([0.0, 1.0, 12.34, 100.0]))
any_price = st.none() | st.integers(0, 30)


@st.composite
def any_series(draw: Any) -> list[tuple[float, int | None]]:
    gaps = draw(st.lists(st.sampled_from([0.001, 0.5, 1, 7, 99, 100, 101, 1440, 50_000]), max_size=40))
    minute, series = 0.0, []
    for gap in gaps:
        minute += gap
        series.append((minute, draw(any_price)))
    return series


@given(rules, any_series(), any_price)
def test_two_firings_are_at_least_a_cooldown_apart(given_rule: Rule, series: Series, start: int | None) -> None:
    _, fired = run(given_rule, facts(series, start))
    for earlier, later in pairwise(fired):
        assert later.at - earlier.at >= timedelta(seconds=given_rule.cooldown_seconds)


@given(st.lists(st.none() | st.integers(0, 1009)))
def test_whatever_happens_within_the_hysteresis_fires_once(jitter: list[int | None]) -> None:
    series = [(n, price) for n, price in enumerate(jitter)]
    assert len(prices(rule(BestPriceAtOrBelow(1000), hysteresis=1), series, 1100)) <= 1


@given(rules, any_series(), any_price)
def test_what_comes_again_without_having_changed_anything_changes_nothing(
    given_rule: Rule, series: Series, start: int | None
) -> None:
    state = NOTHING_KNOWN
    for fact in facts(series, start):
        if not isinstance(fact, FACTS[type(given_rule.condition)]):
            continue
        after, firing = evaluate(given_rule, state, fact)
        if after == state:
            assert firing is None
            assert evaluate(given_rule, after, fact) == (state, None)
        state = after


@given(any_series(), any_price, st.sampled_from(["1m", "100m", "7h"]))
def test_the_extremes_are_those_of_all_prices_in_effect_in_the_window(
    series: Series, start: int | None, window: str
) -> None:
    length = window_length(window)
    slot = length / SLOTS
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    drop, rise = rule(Drop(1, window)), rule(Rise(1, window))
    falling, growing = NOTHING_KNOWN, NOTHING_KNOWN
    changes = [fact for fact in facts(series, start) if isinstance(fact, BestPriceChange)]
    for index, change in enumerate(changes):
        falling, _ = evaluate(drop, falling, change)
        growing, _ = evaluate(rise, growing, change)
        begins = epoch + (change.at - length - epoch) // slot * slot
        ended = [fact.old_price for fact in changes[: index + 1] if fact.at > begins and fact.old_price is not None]
        assert (falling.extremes[0][1] if falling.extremes else None) == max(ended, default=None)
        assert (growing.extremes[0][1] if growing.extremes else None) == min(ended, default=None)
        assert max(len(falling.extremes), len(growing.extremes)) <= SLOTS + 1


@given(any_series(), any_price, st.integers(0, 40))
def test_a_series_in_parts_makes_the_same_facts(series: Series, start: int | None, cut: int) -> None:
    told = FactsOfSeries(start, Before())
    moments = [(at(minutes), price) for minutes, price in series]
    assert [*told.take(moments[:cut]), *told.take(moments[cut:])] == facts(series, start)
