"""What an observed list of offers makes of a product's history."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from price_history.db.packing import pack_row, pack_state, unpack_rows, unpack_state
from price_history.domain.chunks import CHUNK_CHANGES, CHUNK_ROWS, State, state_of
from price_history.domain.offers import NO_OFFERS, KnownOffers, pack_known, unpack_known
from price_history.domain.recording import ChangeRow, KnownProduct, ObservedList, record

PRODUCT = UUID("01939e3c-0000-7000-8000-000000000001")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NEW = KnownProduct(1, PRODUCT, False, 0, 0, None, None, 0, 0, 0, pack_known(NO_OFFERS), b"")

Listed = list[tuple[str, int, int]]


def after(lists: Iterable[Listed], product: KnownProduct = NEW) -> tuple[KnownProduct, list[ChangeRow | None]]:
    """The product after lists observed a minute apart, and the row that each of them made."""
    rows = []
    for revision, listed in enumerate(lists, start=product.revision + 1):
        recorded = record(product, ObservedList.of(revision, NOON + revision * timedelta(minutes=1), listed))
        assert recorded is not None
        product = recorded.product
        rows.append(recorded.row)
    return product, rows


def changes(*lists: Listed) -> list[tuple[int, int | None, int | None]]:
    """What the last list changed."""
    _, rows = after(lists)
    return [] if rows[-1] is None else rows[-1].changes


class TestWhatIsRecorded:
    def test_an_offer_that_appears(self) -> None:
        assert changes([("a", 10, 5), ("b", 20, 0)]) == [(0, 10, 5), (1, 20, 0)]

    def test_a_price_that_changes(self) -> None:
        assert changes([("a", 10, 5), ("b", 20, 5)], [("a", 10, 5), ("b", 21, 5)]) == [(1, 21, 5)]

    def test_stock_that_goes_to_zero_and_comes_back(self) -> None:
        assert changes([("a", 10, 5)], [("a", 10, 0)]) == [(0, 10, 0)]
        assert changes([("a", 10, 5)], [("a", 10, 0)], [("a", 10, 7)]) == [(0, 10, 7)]

    def test_any_other_stock_is_known_but_not_recorded(self) -> None:
        product, rows = after([[("a", 10, 5)], [("a", 10, 4)]])
        assert rows[-1] is None
        assert product.offers == (("a",), (0,), (10,), (4,))
        assert product.revision == 2

    def test_an_offer_that_ends(self) -> None:
        assert changes([("a", 10, 5), ("b", 20, 5)], [("b", 20, 5)]) == [(0, None, None)]

    def test_an_offer_that_returns_has_another_life(self) -> None:
        assert changes([("a", 10, 5)], [], [("a", 10, 5)]) == [(1, 10, 5)]

    def test_an_empty_first_list_changes_nothing(self) -> None:
        product, rows = after([[]])
        assert rows == [None]
        assert product.last_change_at is None

    def test_changes_are_ordered_by_offer_id(self) -> None:
        assert changes([("b", 1, 1), ("d", 1, 1)], [("a", 1, 1), ("c", 1, 1), ("d", 2, 1)]) == [
            (2, 1, 1),
            (0, None, None),
            (3, 1, 1),
            (1, 2, 1),
        ]

    def test_an_id_listed_twice_counts_once(self) -> None:
        product, _ = after([[("a", 10, 5), ("a", 11, 5)]])
        assert product.offers == (("a",), (0,), (10,), (5,))
        assert changes([("a", 10, 5), ("a", 11, 5)]) == [(0, 10, 5)]


class TestBestPrices:
    def row(self, listed: Listed) -> tuple[int | None, int | None]:
        _, rows = after([[("x", 1, 1)], listed])
        assert rows[-1] is not None
        return rows[-1].best_in_stock, rows[-1].best_out_of_stock

    def test_the_lowest_in_stock_is_the_best_of_all(self) -> None:
        assert self.row([("a", 10, 5), ("b", 20, 0)]) == (10, None)

    def test_a_cheaper_one_is_out_of_stock(self) -> None:
        assert self.row([("a", 10, 0), ("b", 20, 5)]) == (20, 10)

    def test_none_is_in_stock(self) -> None:
        assert self.row([("a", 10, 0), ("b", 20, 0)]) == (None, 10)

    def test_there_are_no_offers(self) -> None:
        assert self.row([]) == (None, None)

    def test_zero_is_a_price(self) -> None:
        assert self.row([("a", 0, 5), ("b", 20, 5)]) == (0, None)


class TestOrder:
    def test_what_is_not_newer_is_ignored(self) -> None:
        product, _ = after([[("a", 10, 5)], [("a", 11, 5)]])
        at = product.observed_at
        assert at is not None
        for stale in (
            ObservedList.of(1, at + timedelta(hours=1), []),
            ObservedList.of(2, at, []),
            ObservedList.of(2, NOON, []),
        ):
            assert record(product, stale) is None

    def test_the_same_revision_observed_later_is_newer(self) -> None:
        product, _ = after([[("a", 10, 5)]])
        assert product.observed_at is not None
        assert record(product, ObservedList.of(1, product.observed_at + MICROSECOND, [])) is not None

    def test_a_deleted_product_takes_nothing(self) -> None:
        assert record(structs.replace(NEW, deleted=True), ObservedList.of(1, NOON, [("a", 10, 5)])) is None

    @pytest.mark.parametrize("at", [NOON - timedelta(days=1), NOON + timedelta(minutes=1)])
    def test_a_clock_that_runs_behind_or_stands_does_not_turn_history_back(self, at: datetime) -> None:
        product, _ = after([[("a", 10, 5)]])
        recorded = record(product, ObservedList.of(2, at, [("a", 11, 5)]))
        assert recorded is not None
        assert recorded.row is not None
        assert product.last_change_at is not None
        assert recorded.row.at == product.last_change_at + MICROSECOND
        assert recorded.product.observed_at == at


offer_lists = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, 3), st.integers(0, 2)), max_size=6, unique_by=lambda o: o[0]
).map(sorted)


@given(st.lists(offer_lists, max_size=30))
def test_rows_replay_to_every_list(lists: list[Listed]) -> None:
    """Each row's changes turn the recorded state before into the one after, and its best prices are those then."""
    numbers: dict[int, str] = {}
    state: dict[str, tuple[int, bool]] = {}
    product = NEW
    for revision, listed in enumerate(lists, start=1):
        recorded = record(product, ObservedList.of(revision, NOON + revision * MICROSECOND, listed))
        assert recorded is not None
        product = recorded.product
        numbers |= {number: offer_id for offer_id, number in recorded.appeared.items()}
        before = dict(state)
        for number, price, stock in recorded.row.changes if recorded.row else []:
            if price is None or stock is None:
                del state[numbers[number]]
            else:
                state[numbers[number]] = (price, stock > 0)
        assert state == {offer_id: (price, stock > 0) for offer_id, price, stock in listed}
        assert (recorded.row is None) == (before == state)
        if recorded.row is not None:
            best = recorded.row.best_out_of_stock
            assert recorded.row.best_in_stock == min((p for p, stocked in state.values() if stocked), default=None)
            assert (recorded.row.best_in_stock if best is None else best) == min(
                (p for p, _ in state.values()), default=None
            )


@given(st.lists(offer_lists, min_size=1, max_size=3 * CHUNK_ROWS))
def test_each_chunk_begins_from_the_state_before_it(lists: list[Listed]) -> None:
    product, rows, changes = NEW, 0, 0
    prices: dict[int, int] = {}
    times = [NOON]
    for revision, listed in enumerate(lists, start=1):
        before = product
        recorded = record(product, ObservedList.of(revision, NOON + revision * timedelta(minutes=1), listed))
        assert recorded is not None
        product = recorded.product
        assert product.version == before.version + 1
        if recorded.row is None:
            assert (product.head_rows, product.head_changes) == (before.head_rows, before.head_changes)
            continue
        if recorded.opens_head:
            assert rows in {0, CHUNK_ROWS} or changes >= CHUNK_CHANGES
            rows = changes = 0
            assert state_of(before.offers).prices == prices
        rows, changes = rows + 1, changes + len(recorded.row.changes)
        assert (product.head_rows, product.head_changes) == (rows, changes)
        assert rows <= CHUNK_ROWS
        for number, price, _ in recorded.row.changes:
            if price is None:
                del prices[number]
            else:
                prices[number] = price
        times.append(recorded.row.at)
        state = state_of(product.offers)
        assert (state.best_in_stock, state.best_out_of_stock) == (
            recorded.row.best_in_stock,
            recorded.row.best_out_of_stock,
        )
    assert all(b > a for a, b in pairwise(times))


def test_a_product_of_many_offers_fills_a_chunk_with_as_many_changes() -> None:
    offers = [(f"{number:04}", 1, 1) for number in range(1_000)]
    product, _ = after([offers, [("0000", 2, 1), *offers[1:]]])
    assert (product.head_rows, product.head_changes) == (1, 1), "a thousand changes at once are a chunk of their own"
    product, rows = after([[("0000", price, 1), *offers[1:]] for price in range(3, 3 + CHUNK_ROWS)], product)
    assert (product.head_rows, len(rows)) == (1, CHUNK_ROWS)


number = st.integers(0, 2**31 - 1)
big = st.integers(0, 2**63 - 1)
offer_changes = st.lists(st.one_of(st.tuples(number, big, number), st.tuples(number, st.none(), st.none())))
packed_rows = st.tuples(big, st.none() | big, st.none() | big, offer_changes)


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=20), number, big, number), min_size=1),
    st.lists(packed_rows, max_size=20),
    st.builds(State, st.none() | big, st.none() | big, st.dictionaries(number, big)),
)
def test_packed_documents_are_read_back(
    offers: list[tuple[str, int, int, int]],
    rows: list[tuple[int, int | None, int | None, list[tuple[int, int | None, int | None]]]],
    state: State,
) -> None:
    ids, numbers, prices, stocks = zip(*offers, strict=True)
    known: KnownOffers = (ids, numbers, prices, stocks)
    assert unpack_known(pack_known(known)) == known
    packed = b"".join(pack_row(*row) for row in rows)
    found = unpack_rows(len(rows), packed)
    assert [(row.after, row.best_in_stock, row.best_out_of_stock, row.changes) for row in found] == rows
    assert unpack_state(pack_state(state)) == state


def test_an_observation_takes_few_bytes() -> None:
    minute = 60_000_000
    assert len(pack_row(minute, 30_000, None, [(number, 30_000 + number, 500) for number in range(5)])) <= 50
    assert len(pack_row(minute, 30_000, None, [(0, 30_000, 5)])) <= 16
