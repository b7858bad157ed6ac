"""What changed between two lists of a product's offers.

A recorded change: an offer appeared, its price changed, its stock went to or from zero, or it ended. Any other change
of stock moves the known list on and is not recorded.

Plain tuples, because ten thousand products a second pass here: with named ones it takes three times as long.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

KnownOffer: TypeAlias = tuple[int, int, int]
"""`(number, price, items in stock)` as last seen. The number names one life of an offer within its product: an id
that ended and returns gets another."""

OfferChange: TypeAlias = tuple[int, int | None, int | None]
"""`(number, price, items in stock)` from now on; price and stock are None when the offer ended."""


class ListChange(NamedTuple):
    """A product's new list, what in it is recorded, the numbers of the offers that appeared, and the best prices."""

    offers: dict[str, KnownOffer]
    changes: list[OfferChange]
    appeared: dict[str, int]
    best: int | None
    best_in_stock: int | None


def compare(known: Mapping[str, KnownOffer], listed: Iterable[tuple[str, int, int]], next_number: int) -> ListChange:
    """Compare the known offers with a full list of `(id, price, items in stock)`; changes are ordered by offer id.

    An id that is listed twice counts as it stands first.
    """
    offers: dict[str, KnownOffer] = {}
    changed: list[tuple[str, OfferChange]] = []
    appeared: dict[str, int] = {}
    best: int | None = None
    best_in_stock: int | None = None
    for offer_id, price, stock in listed:
        if offer_id in offers:
            continue
        before = known.get(offer_id)
        if before is None:
            number = appeared[offer_id] = next_number + len(appeared)
            changed.append((offer_id, (number, price, stock)))
        else:
            number, price_before, stock_before = before
            if price != price_before or (stock == 0) != (stock_before == 0):
                changed.append((offer_id, (number, price, stock)))
        offers[offer_id] = (number, price, stock)
        if best is None or price < best:
            best = price
        if stock > 0 and (best_in_stock is None or price < best_in_stock):
            best_in_stock = price
    if len(known) > len(offers) - len(appeared):
        ended = known.keys() - offers.keys()
        changed += [(offer_id, (known[offer_id][0], None, None)) for offer_id in ended]
    changed.sort()
    return ListChange(offers, [change for _, change in changed], appeared, best, best_in_stock)
