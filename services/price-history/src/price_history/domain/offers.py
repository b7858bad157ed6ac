"""What changed between two lists of a product's offers.

A recorded change: an offer appeared, its price changed, its stock went to or from zero, or it ended. Any other change
of stock moves the known list on and is not recorded.

Plain tuples, because ten thousand products a second pass here: with named ones it takes three times as long.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

KnownOffers: TypeAlias = tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Offers as last seen in the order of their ids, column by column: ids, numbers, prices, items in stock. A number names
one life of an offer within its product: an id that ended and returns gets another."""

ListedOffers: TypeAlias = tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]
"""A list of offers column by column: ids, prices, items in stock."""

OfferChange: TypeAlias = tuple[int, int | None, int | None]
"""`(number, price, items in stock)` from now on; price and stock are None when the offer ended."""

NO_OFFERS: Final[KnownOffers] = ((), (), (), ())

pack_known: Final = msgspec.msgpack.Encoder().encode
"""Known offers as they are kept in memory and in the database: a fifth of the room, and nothing to do for the garbage
collector."""
unpack_known: Final = msgspec.msgpack.Decoder(KnownOffers).decode


class ListChange(msgspec.Struct, frozen=True, gc=False):
    """A product's new list, what in it is recorded, and the best prices.

    `appeared` are the numbers of new offers by id, `ended` those of offers that ended.
    """

    offers: KnownOffers
    changes: list[OfferChange]
    appeared: dict[str, int]
    ended: list[int]
    best: int | None
    best_in_stock: int | None


def compare(known: KnownOffers, listed: ListedOffers, next_number: int) -> ListChange:
    """Compare the known offers with a full list; changes are ordered by offer id.

    An id that is listed twice counts as it stands first.
    """
    ids, prices, stocks = listed
    known_ids, numbers, known_prices, known_stocks = known
    if ids != known_ids:
        return _compare_others(known, listed, next_number)
    # As nearly always: the same offers, in the order of their ids.
    changes: list[OfferChange] = [
        (number, price, stock)
        for number, price, stock, price_before, stock_before in zip(
            numbers, prices, stocks, known_prices, known_stocks, strict=True
        )
        if price != price_before or (stock == 0) != (stock_before == 0)
    ]
    return ListChange((known_ids, numbers, prices, stocks), changes, {}, [], *best_prices(prices, stocks))


def best_prices(prices: Sequence[int], stocks: Sequence[int]) -> tuple[int | None, int | None]:
    """The lowest price of all offers, and of those in stock."""
    best = min(prices, default=None)
    if 0 not in stocks:
        return best, best
    return best, min((price for price, stock in zip(prices, stocks, strict=True) if stock), default=None)


def _compare_others(known: KnownOffers, listed: ListedOffers, next_number: int) -> ListChange:
    """Compare where others are listed than are known."""
    before = {offer_id: (number, price, stock) for offer_id, number, price, stock in zip(*known, strict=True)}
    offers: dict[str, tuple[int, int, int]] = {}
    changed: list[tuple[str, OfferChange]] = []
    appeared: dict[str, int] = {}
    for offer_id, price, stock in zip(*listed, strict=True):
        if offer_id in offers:
            continue
        if offer_id in before:
            number, price_before, stock_before = before.pop(offer_id)
            if price != price_before or (stock == 0) != (stock_before == 0):
                changed.append((offer_id, (number, price, stock)))
        else:
            number = appeared[offer_id] = next_number + len(appeared)
            changed.append((offer_id, (number, price, stock)))
        offers[offer_id] = (number, price, stock)
    changed += [(offer_id, (number, None, None)) for offer_id, (number, _, _) in before.items()]
    changed.sort()
    columns = zip(*((offer_id, *offer) for offer_id, offer in sorted(offers.items())), strict=True)
    ids, numbers, prices, stocks = columns if offers else NO_OFFERS
    return ListChange(
        (ids, numbers, prices, stocks),
        [change for _, change in changed],
        appeared,
        [number for number, _, _ in before.values()],
        *best_prices(prices, stocks),
    )
