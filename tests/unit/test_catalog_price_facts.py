"""The facts that a series of prices makes are those that price-history tells of it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from catalog_api.domain.price_facts import BackInStock, Before, BestPriceChange, Fact, FactsOfSeries, NewLow
from price_history.domain.derived import BestPriceChange as PublishedChange
from price_history.domain.derived import Entry, LowReached, StockReturned, derive
from price_history.domain.offers import NO_OFFERS
from price_history.domain.track_record import TrackRecord

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
Series = Sequence[tuple[datetime, int | None]]


@st.composite
def any_series(draw: Any) -> Series:
    at, series = NOON, []
    for minutes in draw(st.lists(st.sampled_from([0.001, 7, 720, 1440, 2000, 20_000, 50_000]), max_size=40)):
        at += timedelta(minutes=minutes)
        series.append((at, draw(st.none() | st.integers(0, 30))))
    return series


def facts(series: Series) -> list[Fact]:
    return list(FactsOfSeries(None, Before()).take(series))


@given(any_series(), st.integers(0, 40))
def test_a_series_makes_the_facts_that_price_history_tells(series: Series, cut: int) -> None:
    """From the first price on, and as well from any later one, if what was before is known."""
    told: list[Fact] = []
    record: TrackRecord | None = None
    offers, price = NO_OFFERS, None
    for at, after in series:
        listed = NO_OFFERS if after is None else (("1",), (0,), (after,), (1,))
        if after != price:
            derived = derive((UUID(int=1), 1, at), (offers, price), (listed, after), record)
            record = derived.track_record
            told += [fact for fact in map(fact_of, derived.entries) if fact is not None]
        offers, price = listed, after
    assert sorted(facts(series), key=repr) == sorted(told, key=repr)
    changes = [fact for fact in facts(series) if isinstance(fact, BestPriceChange)]
    if not changes[:cut]:
        return
    # A moment after the last change of those before.
    begins = changes[:cut][-1].at + timedelta(microseconds=1)
    known = before_of(changes[:cut], begins)
    later = FactsOfSeries(changes[:cut][-1].price, known).take([(fact.at, fact.price) for fact in changes[cut:]])
    assert sorted(later, key=repr) == sorted([fact for fact in told if fact.at > begins], key=repr)


def fact_of(entry: Entry) -> Fact | None:
    match entry:
        case PublishedChange():
            return BestPriceChange(entry.at, entry.old_price, entry.new_price)
        case LowReached():
            return NewLow(entry.at, entry.price, entry.previous_low_30_days, entry.previous_low_ever)
        case StockReturned():
            return BackInStock(entry.at, entry.price)
    return None


def before_of(changes: Sequence[BestPriceChange], until: datetime) -> Before:
    """What is known of the time before, day by day, worked out the long way."""
    ever = [change.price for change in changes if change.price is not None]
    days = [until.date() - timedelta(days=n) for n in range(29, -1, -1)]
    lows = []
    for day in days:
        begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
        ends = min(begins + timedelta(days=1), until)
        in_effect = [
            change.price
            for change, following in zip(changes, [*[after.at for after in changes[1:]], until], strict=True)
            if change.price is not None and change.at < ends and following > begins
        ]
        if in_effect:
            lows.append((day, min(in_effect)))
    return Before(min(ever, default=None), tuple(lows))
