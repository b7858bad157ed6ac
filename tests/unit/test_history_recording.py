"""What an observed list of offers makes of a product's history."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from price_history.db.packing import pack_changes, pack_known, pack_state, unpack_changes, unpack_known, unpack_state
from price_history.domain.keyframes import StoredChange, state_after
from price_history.domain.recording import KEYFRAME_EVERY, ChangeRow, KnownProduct, ObservedList, record

PRODUCT = UUID("01939e3c-0000-7000-8000-000000000001")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NEW = KnownProduct(1, PRODUCT, False, 0, None, None, 0, 0, {})

Listed = list[tuple[str, int, int]]


def after(lists: Iterable[Listed], product: KnownProduct = NEW) -> tuple[KnownProduct, list[ChangeRow | None]]:
    """The product after lists observed a minute apart, and the row that each of them made."""
    rows = []
    for revision, listed in enumerate(lists, start=product.revision + 1):
        recorded = record(product, ObservedList(revision, NOON + revision * timedelta(minutes=1), listed))
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
        assert product.offers == {"a": (0, 10, 4)}
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
        assert product.offers == {"a": (0, 10, 5)}
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
        for stale in (ObservedList(1, at + timedelta(hours=1), []), ObservedList(2, at, []), ObservedList(2, NOON, [])):
            assert record(product, stale) is None

    def test_the_same_revision_observed_later_is_newer(self) -> None:
        product, _ = after([[("a", 10, 5)]])
        assert product.observed_at is not None
        assert record(product, ObservedList(1, product.observed_at + MICROSECOND, [])) is not None

    def test_a_deleted_product_takes_nothing(self) -> None:
        assert record(NEW._replace(deleted=True), ObservedList(1, NOON, [("a", 10, 5)])) is None

    @pytest.mark.parametrize("at", [NOON - timedelta(days=1), NOON + timedelta(minutes=1)])
    def test_a_clock_that_runs_behind_or_stands_does_not_turn_history_back(self, at: datetime) -> None:
        product, _ = after([[("a", 10, 5)]])
        recorded = record(product, ObservedList(2, at, [("a", 11, 5)]))
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
        recorded = record(product, ObservedList(revision, NOON + revision * MICROSECOND, listed))
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


@given(st.lists(offer_lists, min_size=1, max_size=2 * KEYFRAME_EVERY + 5))
def test_the_state_at_any_row_follows_from_the_last_keyframe(lists: list[Listed]) -> None:
    product, made = after(lists)
    rows = [row for row in made if row is not None]
    for keyframe, row in enumerate(rows):
        if row.state is None:
            continue
        for last in range(keyframe, min(keyframe + KEYFRAME_EVERY, len(rows))):
            stored = [StoredChange(r.best_in_stock, r.best_out_of_stock, r.changes, r.state) for r in rows]
            assert state_after(stored[keyframe : last + 1]) == state_after(stored[: last + 1])
    assert all(b.at > a.at for a, b in pairwise(rows))
    assert [index % KEYFRAME_EVERY == 0 for index in range(len(rows))] == [row.state is not None for row in rows]
    if rows:
        stored = [StoredChange(r.best_in_stock, r.best_out_of_stock, r.changes, r.state) for r in rows]
        assert state_after(stored).prices == {number: price for number, price, _ in product.offers.values()}


number = st.integers(0, 2**31 - 1)
big = st.integers(0, 2**63 - 1)


@given(
    st.dictionaries(st.text(min_size=1, max_size=20), st.tuples(number, big, number)),
    st.lists(st.one_of(st.tuples(number, big, number), st.tuples(number, st.none(), st.none()))),
    st.dictionaries(number, big),
)
def test_packed_documents_are_read_back(
    known: dict[str, tuple[int, int, int]],
    changes: list[tuple[int, int | None, int | None]],
    state: dict[int, int],
) -> None:
    assert unpack_known(pack_known(known)) == known
    assert unpack_changes(pack_changes(changes)) == changes
    assert unpack_state(pack_state(state)) == state


def test_five_changed_offers_take_about_forty_bytes() -> None:
    assert len(pack_changes([(number, 30_000 + number, 500) for number in range(5)])) <= 40
