"""How a newly observed list of offers takes the place of the one before."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from catalog_api.domain.offers import ObservedOffer, Offer, best_price, merge

START = datetime(2026, 11, 22, tzinfo=UTC)

prices = st.integers(0, 3) | st.integers(0, 2**63 - 1)
stocks = st.integers(0, 2) | st.integers(0, 2**31 - 1)
observations = st.lists(
    st.builds(ObservedOffer, id=st.sampled_from("abcdef"), price=prices, items_in_stock=stocks),
    unique_by=lambda offer: offer.id,
)


def after_each(lists: Sequence[Sequence[ObservedOffer]]) -> list[list[Offer]]:
    states: list[list[Offer]] = [[]]
    for minute, observed in enumerate(lists):
        states.append(merge(states[-1], observed, START + timedelta(minutes=minute)))
    return states


@given(st.lists(observations, min_size=1, max_size=6))
def test_the_list_is_what_was_observed_last_cheapest_first(lists: list[list[ObservedOffer]]) -> None:
    final = after_each(lists)[-1]
    expected = sorted(lists[-1], key=lambda offer: (offer.price, offer.id))
    assert [(o.id, o.price, o.items_in_stock) for o in final] == [(o.id, o.price, o.items_in_stock) for o in expected]


@given(st.lists(observations, min_size=1, max_size=6))
def test_times_tell_the_present_run_and_the_last_change(lists: list[list[ObservedOffer]]) -> None:
    for offer in after_each(lists)[-1]:
        history = [{o.id: (o.price, o.items_in_stock) for o in observed}.get(offer.id) for observed in lists]
        first = max((minute + 1 for minute, value in enumerate(history) if value is None), default=0)
        changed = max([first, *(m for m in range(first + 1, len(history)) if history[m] != history[m - 1])])
        assert offer.first_seen_at == START + timedelta(minutes=first)
        assert offer.changed_at == START + timedelta(minutes=changed)


@given(observations, observations)
def test_the_same_list_again_changes_nothing(before: list[ObservedOffer], observed: list[ObservedOffer]) -> None:
    once = after_each([before, observed])[-1]
    assert merge(once, reversed(observed), START + timedelta(days=1)) == once


@given(observations)
def test_the_best_price_is_the_lowest_in_stock(observed: list[ObservedOffer]) -> None:
    in_stock = [offer.price for offer in observed if offer.items_in_stock]
    assert best_price(merge([], observed, START)) == (min(in_stock) if in_stock else None)
