"""A product's list of offers, and how a newly observed list takes the place of the one before."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec


class Offer(msgspec.Struct, frozen=True, gc=False):
    """One offer as the catalog shows it. `price` is the Offers MS's integer; the id its id as a string."""

    id: str
    price: int
    items_in_stock: int
    first_seen_at: datetime
    changed_at: datetime


class ObservedOffer(msgspec.Struct, frozen=True, gc=False):
    """One offer as it was observed."""

    id: str
    price: int
    items_in_stock: int


class OfferList(msgspec.Struct, frozen=True):
    """The contract's answer: a product's offers as JSON text, sorted; `observed_at` is None before the first look."""

    product_id: UUID
    observed_at: datetime | None
    items: str


def merge(current: Iterable[Offer], observed: Iterable[ObservedOffer], at: datetime) -> list[Offer]:
    """The list after a complete observation, cheapest first, then by id.

    An offer that stays keeps `first_seen_at`; `changed_at` moves when its price or its stock does. What is missing has
    ended, so an offer that comes back is new.
    """
    known = {offer.id: offer for offer in current}
    latest = {offer.id: offer for offer in observed}
    return sorted((_next(known.get(offer.id), offer, at) for offer in latest.values()), key=_cheapest_first)


def best_price(offers: Sequence[Offer]) -> int | None:
    """The lowest price among the offers in stock; None without one."""
    return min((offer.price for offer in offers if offer.items_in_stock > 0), default=None)


def _next(known: Offer | None, observed: ObservedOffer, at: datetime) -> Offer:
    if known is None:
        return Offer(observed.id, observed.price, observed.items_in_stock, at, at)
    if (known.price, known.items_in_stock) == (observed.price, observed.items_in_stock):
        return known
    return Offer(observed.id, observed.price, observed.items_in_stock, known.first_seen_at, at)


def _cheapest_first(offer: Offer) -> tuple[int, str]:
    return offer.price, offer.id
