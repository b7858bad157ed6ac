"""What lists of offers mean for a product's best price, held against a model that keeps all lists and has no tricks."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from price_history.domain.derived import BestPriceChange, Derived, LowReached, StockEnded, StockReturned
from price_history.domain.offers import NO_OFFERS, pack_known
from price_history.domain.recording import KnownProduct, ObservedList, record
from price_history.domain.track_record import LOW_DAYS, unpack_track_record

PRODUCT = UUID("01939e3c-0000-7000-8000-000000000001")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NEW = KnownProduct(1, PRODUCT, False, 0, 0, None, None, 0, 0, 0, pack_known(NO_OFFERS), b"")

Listed = list[tuple[str, int, int]]
Told = list[tuple[str, dict[str, Any]]]


def recorded(lists: Iterable[tuple[datetime, Listed]], product: KnownProduct = NEW) -> Iterator[Told]:
    """What is told of each list."""
    for revision, (at, listed) in enumerate(lists, start=product.revision + 1):
        found = record(product, ObservedList.of(revision, at, listed))
        assert found is not None
        product = found.product
        yield told(found.derived)


def told(derived: Derived | None) -> Told:
    entries = [] if derived is None else derived.entries
    return sorted((type(entry).__name__, structs.asdict(entry)) for entry in entries)


def each_minute(*lists: Listed) -> list[Told]:
    return list(recorded((NOON + number * MINUTE, listed) for number, listed in enumerate(lists)))


def each_day(*prices: int | None) -> list[Told]:
    """At noon of each day a price of the one offer, which is sold out where there is none."""
    lists = [(NOON + day * DAY, [("a", price or 0, int(price is not None))]) for day, price in enumerate(prices)]
    return list(recorded(lists))


def only(entries: Told, kind: type[Any]) -> Any:
    """The entry of this kind, as fields that can be read."""
    [fields] = [fields for name, fields in entries if name == kind.__name__]
    return kind(**fields)


def kinds(entries: Told) -> list[str]:
    return [name for name, _ in entries]


class TestCause:
    @pytest.mark.parametrize(
        ("before", "after", "expected"),
        [
            # A price that comes or falls: what made the new holder the cheapest.
            ([], [("b", 10, 1)], (None, 10, "b", "appeared", "b")),
            ([("a", 10, 0)], [("a", 10, 3)], (None, 10, "a", "stock", "a")),
            ([("a", 10, 1)], [("a", 9, 1)], (10, 9, "a", "repriced", "a")),
            ([("a", 10, 1), ("b", 20, 1)], [("a", 10, 1), ("b", 9, 1)], (10, 9, "b", "repriced", "b")),
            ([("a", 10, 1)], [("a", 10, 1), ("b", 9, 1)], (10, 9, "b", "appeared", "b")),
            ([("a", 10, 1), ("b", 9, 0)], [("a", 10, 1), ("b", 9, 1)], (10, 9, "b", "stock", "b")),
            ([("a", 10, 1), ("b", 12, 0)], [("a", 10, 1), ("b", 9, 1)], (10, 9, "b", "stock", "b")),
            ([("a", 10, 1)], [("b", 9, 1)], (10, 9, "b", "appeared", "b")),
            # A price that rises or goes: what became of the old holder.
            ([("a", 10, 1)], [("a", 11, 1)], (10, 11, "a", "repriced", "a")),
            ([("a", 10, 1), ("b", 20, 1)], [("a", 21, 1), ("b", 20, 1)], (10, 20, "b", "repriced", "a")),
            ([("a", 10, 1), ("b", 20, 1)], [("b", 20, 1)], (10, 20, "b", "ended", "a")),
            ([("a", 10, 1), ("b", 20, 1)], [("a", 10, 0), ("b", 20, 1)], (10, 20, "b", "stock", "a")),
            ([("a", 10, 1)], [("a", 12, 0)], (10, None, None, "stock", "a")),
            ([("a", 10, 1)], [], (10, None, None, "ended", "a")),
            # Of several with the same price the lowest id.
            ([("a", 30, 1)], [("a", 10, 0), ("b", 10, 1), ("c", 10, 1)], (30, 10, "b", "appeared", "b")),
            ([("a", 10, 0), ("b", 10, 1), ("c", 10, 1)], [("a", 10, 0), ("b", 11, 1)], (10, 11, "b", "repriced", "b")),
        ],
    )
    def test_is_what_happened_to_the_offer_that_made_it_so(
        self, before: Listed, after: Listed, expected: tuple[Any, ...]
    ) -> None:
        change = only(each_minute(before, after)[1], BestPriceChange)
        assert (change.old_price, change.new_price, change.offer_id, change.cause, change.cause_offer_id) == expected
        assert (change.product_id, change.revision, change.at) == (PRODUCT, 2, NOON + MINUTE)


class TestNothing:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ([("a", 10, 1), ("b", 20, 1)], [("a", 10, 1), ("b", 15, 1)]),
            ([("a", 10, 1), ("b", 20, 1)], [("b", 10, 1)]),
            ([("a", 10, 1)], [("a", 10, 1), ("b", 5, 0)]),
            ([("a", 10, 1)], [("a", 10, 7)]),
            ([], [("a", 10, 0)]),
        ],
    )
    def test_is_told_while_the_best_price_stays(self, before: Listed, after: Listed) -> None:
        assert each_minute(before, after)[1] == []


class TestPercent:
    @pytest.mark.parametrize(
        ("old", "new", "percent"),
        [
            (1000, 995, -0.5),
            (25490, 24990, -1.96),
            (80_000, 80_001, 0.0),  # 0.00125, down
            (80_000, 80_004, 0.0),  # 0.005, a half, to the even
            (80_000, 80_012, 0.02),  # 0.015, a half, to the even
            (80_000, 79_996, 0.0),
            (80_000, 79_988, -0.02),
            (3, 1, -66.67),
            (1, 2**63 - 1, 922337203685477580600.0),
            (0, 5, None),
            (5, 0, -100.0),
        ],
    )
    def test_is_exact_and_rounded_half_even(self, old: int, new: int, percent: float | None) -> None:
        assert only(each_minute([("a", old, 1)], [("a", new, 1)])[1], BestPriceChange).change_percent == percent

    def test_is_none_where_a_price_comes_or_goes(self) -> None:
        for entries in each_minute([("a", 10, 1)], [], [("a", 10, 1)]):
            assert only(entries, BestPriceChange).change_percent is None


class TestNewLow:
    def test_is_below_every_price_of_the_last_thirty_days(self) -> None:
        *_, last = each_day(100, 90, 95, 89)
        low = only(last, LowReached)
        assert (low.price, low.previous_low_30_days, low.previous_low_ever) == (89, 90, 90)
        assert low.lowest_ever
        assert low.watched_since == NOON

    def test_is_not_told_of_the_first_price_nor_of_an_equal_one(self) -> None:
        assert [kinds(entries) for entries in each_day(100, 110, 100)] == [["BestPriceChange"]] * 3

    def test_counts_a_price_on_its_last_day_and_not_after_it(self) -> None:
        """90 ended on the third day, which is the first of thirty on the thirty-second."""
        prices = [100, 90, *([120, 110] * 15)]
        assert "LowReached" not in kinds(each_day(*prices[:31], 95)[-1])
        low = only(each_day(*prices, 95)[-1], LowReached)
        assert (low.previous_low_30_days, low.lowest_ever, low.previous_low_ever) == (110, False, 90)

    def test_counts_the_price_that_was_in_effect_as_the_days_began(self) -> None:
        lists = [(NOON, [("a", 50, 1)]), (NOON + 90 * DAY, [("a", 60, 1)]), (NOON + 91 * DAY, [("a", 55, 1)])]
        assert [kinds(entries) for entries in recorded(lists)][2] == ["BestPriceChange"]

    def test_after_thirty_days_without_a_price_only_the_lowest_ever_is_one(self) -> None:
        nothing = [None] * 31
        assert kinds(each_day(100, *nothing, 100)[-1]) == ["BestPriceChange", "StockReturned"]
        low = only(each_day(100, *nothing, 99)[-1], LowReached)
        assert (low.previous_low_30_days, low.lowest_ever, low.previous_low_ever) == (None, True, 100)


class TestStock:
    def test_that_ends_and_returns_is_told_with_since_when(self) -> None:
        first, ended, _, returned = each_day(100, None, None, 100)
        assert kinds(first) == ["BestPriceChange"]
        assert kinds(ended) == ["BestPriceChange", "StockEnded"]
        assert only(ended, StockEnded).last_price == 100
        assert kinds(returned) == ["BestPriceChange", "StockReturned"]
        assert only(returned, StockReturned).out_of_stock_since == NOON + DAY

    def test_is_not_said_to_return_when_there_was_never_any(self) -> None:
        assert [kinds(entries) for entries in each_day(None, None, 100)] == [[], [], ["BestPriceChange"]]

    def test_may_return_at_a_new_low(self) -> None:
        assert kinds(each_day(100, None, 99)[-1]) == ["BestPriceChange", "LowReached", "StockReturned"]


class TestRecordedBefore:
    """A product that was recorded before track records were kept."""

    def product(self, listed: Listed) -> KnownProduct:
        found = record(NEW, ObservedList.of(1, NOON, listed))
        assert found is not None
        return structs.replace(found.product, packed_track_record=b"")

    def test_is_watched_since_its_last_change(self) -> None:
        [entries] = recorded([(NOON + DAY, [("a", 9, 1)])], self.product([("a", 10, 1)]))
        low = only(entries, LowReached)
        assert (low.watched_since, low.previous_low_30_days, low.previous_low_ever) == (NOON, 10, 10)

    def test_has_its_first_price_when_none_is_known(self) -> None:
        [entries] = recorded([(NOON + DAY, [("a", 9, 1)])], self.product([("a", 10, 0)]))
        assert kinds(entries) == ["BestPriceChange"]


gaps = st.one_of(
    st.sampled_from([timedelta(microseconds=1), MINUTE, HOUR, 12 * HOUR, DAY, 29 * DAY, 30 * DAY, 31 * DAY]),
    st.integers(0, 45 * 24).map(lambda hours: hours * HOUR),
)
offer_lists = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 9), st.integers(0, 2)),
    max_size=4,
    unique_by=lambda offer: offer[0],
).map(sorted)


@settings(max_examples=400)
@given(st.lists(st.tuples(gaps, offer_lists), max_size=40))
@example([(12 * HOUR, [("a", 5, 1)]), (12 * HOUR, [("a", 6, 1)]), (29 * DAY, [("a", 5, 1)]), (HOUR, [("a", 4, 1)])])
def test_it_tells_what_a_model_finds_that_keeps_everything(steps: list[tuple[timedelta, Listed]]) -> None:
    product, at, lists = NEW, NOON, []
    for revision, (gap, listed) in enumerate(steps, start=1):
        at += gap
        found = record(product, ObservedList.of(revision, at, listed))
        assert found is not None
        product = found.product
        dated = at if found.row is None else found.row.at
        lists.append((dated, listed))
        assert told(found.derived) == modelled(lists, revision)
        if product.packed_track_record:
            lows = unpack_track_record(product.packed_track_record).lows
            assert len(lows) <= LOW_DAYS
            assert all(day < later and price < higher for (day, price), (later, higher) in pairwise(lows))


def modelled(lists: list[tuple[datetime, Listed]], revision: int) -> Told:
    """What is to be told of the last list, worked out from all of them."""
    at, listed = lists[-1]
    before = lists[-2][1] if len(lists) > 1 else []
    (new, holder), (old, old_holder) = best(listed), best(before)
    if new == old:
        return []
    falls = new is not None and (old is None or new < old)
    cause_offer = holder if falls else old_holder
    assert cause_offer is not None
    place = {"product_id": PRODUCT, "revision": revision, "at": at}
    change = {
        "old_price": old,
        "new_price": new,
        "change_percent": float(round(Fraction(100 * (new - old), old), 2)) if old and new is not None else None,
        "offer_id": holder,
        "cause": became(cause_offer, *((listed, before, "appeared") if falls else (before, listed, "ended"))),
        "cause_offer_id": cause_offer,
    }
    entries: Told = [("BestPriceChange", place | change)]
    past = [(began, best(offers)[0]) for began, offers in lists[:-1]]
    ever = [price for _, price in past if price is not None]
    if new is None:
        entries.append(("StockEnded", place | {"last_price": old}))
    elif ever:
        lately = in_effect(past, datetime.combine(at.date() - 29 * DAY, time(), UTC), at)
        if new < min(lately or ever):
            low = {
                "price": new,
                "offer_id": holder,
                "previous_low_30_days": min(lately, default=None),
                "lowest_ever": new < min(ever),
                "previous_low_ever": min(ever),
                "watched_since": next(began for began, price in past if price is not None),
            }
            entries.append(("LowReached", place | low))
        if old is None:
            ends = [began for (_, price), (began, then) in pairwise(past) if price is not None and then is None]
            returned = {"price": new, "offer_id": holder, "out_of_stock_since": ends[-1]}
            entries.append(("StockReturned", place | returned))
    return entries


def best(listed: Listed) -> tuple[int | None, str | None]:
    """The best price, and the lowest id that has it."""
    return min(((price, offer_id) for offer_id, price, stock in listed if stock), default=(None, None))


def became(offer_id: str, there: Listed, elsewhere: Listed, missing: str) -> str:
    """What happened to an offer that is in stock in one list, by how it is in the other."""
    assert any(stock for listed_id, _, stock in there if listed_id == offer_id)
    found = [stock for listed_id, _, stock in elsewhere if listed_id == offer_id]
    return missing if not found else "repriced" if found[0] else "stock"


def in_effect(past: list[tuple[datetime, int | None]], begins: datetime, ends: datetime) -> list[int]:
    """The prices in effect at any instant from `begins` until `ends`."""
    until = [*(began for began, _ in past[1:]), ends]
    return [price for (_, price), end in zip(past, until, strict=True) if price is not None and end > begins]
