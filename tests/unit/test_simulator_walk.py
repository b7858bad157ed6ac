"""The market is a pure function of seed, product and tick, and looks like the one that real clients met."""

import re
import uuid
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offers_simulator.market.steady import steady_offers_at
from offers_simulator.market.walk import Offer, offers_at

PRODUCT = "0190aaaa-0000-7000-8000-000000000001"
TICK = 29_000_000
PRODUCTS = [str(uuid.UUID(int=number)) for number in range(300)]
seeds = st.integers(0, 2**32)
product_ids = st.uuids().map(str)
ticks = st.integers(0, 2**53)


def walk(product: str, first: int, count: int) -> list[list[Offer]]:
    return [offers_at(1, product, tick, uuid_like=False) for tick in range(first, first + count)]


def test_the_walk_is_the_same_in_every_release() -> None:
    assert [
        (offer.id, offer.price, offer.items_in_stock) for offer in offers_at(1, PRODUCT, TICK, uuid_like=False)
    ] == [
        (1473505440, 43313, 455),
        (2080806545, 45519, 630),
        (869064562, 46781, 262),
        (1125011555, 51789, 311),
        (210426580, 53239, 69),
        (1692955221, 52059, 9),
        (2112416134, 47134, 395),
    ]


@given(seed=seeds, product=product_ids, tick=ticks, uuid_like=st.booleans())
def test_offers_are_in_the_documented_ranges(seed: int, product: str, tick: int, *, uuid_like: bool) -> None:
    offers = offers_at(seed, product, tick, uuid_like=uuid_like)
    assert offers == offers_at(seed, product, tick, uuid_like=uuid_like)
    assert len(offers) == 0 or 5 <= len(offers) <= 10
    assert len({offer.id for offer in offers}) == len(offers)
    assert all(10_000 <= offer.price < 100_000 and 0 <= offer.items_in_stock <= 1000 for offer in offers)
    assert all(isinstance(offer.id, str if uuid_like else int) for offer in offers)


def test_seed_product_and_tick_each_make_another_list() -> None:
    here = offers_at(1, PRODUCT, TICK, uuid_like=False)
    assert here != offers_at(2, PRODUCT, TICK, uuid_like=False)
    assert here != offers_at(1, PRODUCTS[0], TICK, uuid_like=False)
    assert here != offers_at(1, PRODUCT, TICK + 1, uuid_like=False)


def test_prices_take_small_steps_nearly_every_tick() -> None:
    steps: list[float] = []
    for product in PRODUCTS[:50]:
        lists = walk(product, TICK, 30)
        for before, after in pairwise(lists):
            old = {offer.id: offer.price for offer in before}
            steps += [abs(offer.price / old[offer.id] - 1) for offer in after if offer.id in old]
    assert sum(step > 0 for step in steps) > 0.95 * len(steps)
    assert sum(steps) / len(steps) < 0.005
    assert max(steps) < 0.15


def test_an_offer_sells_out_and_one_with_a_new_id_takes_its_place() -> None:
    lists = [offers for offers in walk(PRODUCT, TICK, 200) if offers]
    seen: set[int | str] = set()
    gone: set[int | str] = set()
    for before, after in pairwise(lists):
        now = {offer.id for offer in after}
        ended = {offer for offer in before if offer.id not in now}
        assert all(offer.items_in_stock == 0 for offer in ended), "what goes has sold out"
        gone |= {offer.id for offer in ended}
        seen |= now
        assert not gone & now, "an id does not come back"
    assert len(gone) > 10
    assert len(seen) > len(gone)


def test_the_number_of_offers_differs_and_is_sometimes_none() -> None:
    counts = Counter(
        len(offers_at(1, product, TICK + tick, uuid_like=False)) for product in PRODUCTS for tick in range(20)
    )
    assert set(counts) == {0, *range(5, 11)}
    assert counts[0] < 0.02 * counts.total()


def test_ids_of_generation_2_look_like_uuids_but_are_not_version_4() -> None:
    for product in PRODUCTS:
        for offer in offers_at(1, product, TICK, uuid_like=True):
            assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(offer.id))
            assert uuid.UUID(str(offer.id)).version != 4


@pytest.mark.parametrize("value", [lambda offer: offer.price, lambda offer: offer.items_in_stock])
def test_both_generations_have_the_same_market(value: Callable[[Offer], int]) -> None:
    numbers, strings = (offers_at(1, PRODUCT, TICK, uuid_like=uuid_like) for uuid_like in (False, True))
    assert [value(offer) for offer in numbers] == [value(offer) for offer in strings]


@given(seed=seeds, product=product_ids, tick=ticks, count=st.integers(1, 16))
def test_in_a_steady_market_every_price_moves_at_each_tick(seed: int, product: str, tick: int, count: int) -> None:
    now, then = (steady_offers_at(seed, product, moment, count, uuid_like=False) for moment in (tick, tick + 1))
    assert [offer.id for offer in now] == [offer.id for offer in then]
    assert len({offer.id for offer in now}) == count
    assert all(before.price != after.price for before, after in zip(now, then, strict=True))
    assert all(offer.items_in_stock > 0 for offer in now)
