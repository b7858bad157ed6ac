"""What a new list of offers means for the product's best price: field by field what the contract's events tell.

The best price is the lowest among the offers in stock; None where there is none.
"""

from datetime import datetime
from typing import Literal, TypeAlias, cast
from uuid import UUID

import msgspec

from price_history.domain.instants import to_datetime, to_instant
from price_history.domain.offers import KnownOffers
from price_history.domain.rounding import hundredths
from price_history.domain.track_record import TrackRecord

Cause: TypeAlias = Literal["repriced", "appeared", "ended", "stock"]


class BestPriceChange(msgspec.Struct, frozen=True, gc=False):
    """The contract's `BestPriceChange`."""

    product_id: UUID
    revision: int
    at: datetime
    old_price: int | None
    new_price: int | None
    change_percent: float | None
    offer_id: str | None
    cause: Cause
    cause_offer_id: str


class LowReached(msgspec.Struct, frozen=True, gc=False):
    """The contract's `LowReached`."""

    product_id: UUID
    revision: int
    at: datetime
    price: int
    offer_id: str
    previous_low_30_days: int | None
    lowest_ever: bool
    previous_low_ever: int
    watched_since: datetime


class StockReturned(msgspec.Struct, frozen=True, gc=False):
    """The contract's `StockReturned`."""

    product_id: UUID
    revision: int
    at: datetime
    price: int
    offer_id: str
    out_of_stock_since: datetime


class StockEnded(msgspec.Struct, frozen=True, gc=False):
    """The contract's `StockEnded`."""

    product_id: UUID
    revision: int
    at: datetime
    last_price: int


Entry: TypeAlias = BestPriceChange | LowReached | StockReturned | StockEnded


class Derived(msgspec.Struct, frozen=True, gc=False):
    """What is to be told of a list, and the track record from then on."""

    track_record: TrackRecord
    entries: list[Entry]


Place: TypeAlias = tuple[UUID, int, datetime]
"""Whose list it is, its revision, and when it is dated in the product's history."""
Priced: TypeAlias = tuple[KnownOffers, int | None]
"""Offers and the best price among them."""


def derive(place: Place, before: Priced, after: Priced, track_record: TrackRecord | None) -> Derived:
    """What follows from a best price that is not the one before; without a track record there never was one."""
    (_, old), (offers, new) = before, after
    offer_id = None if new is None else _holder(offers, new)
    cause, cause_offer_id = _cause(before, after, offer_id)
    entries: list[Entry] = [
        BestPriceChange(*place, old, new, _percent(old, new), offer_id, cause, cause_offer_id),
    ]
    at = to_instant(place[2])
    if track_record is None:
        return Derived(TrackRecord(at, cast("int", new)), entries)
    then = track_record.followed(at, old, new)
    if new is None or offer_id is None:
        entries.append(StockEnded(*place, cast("int", old)))
        return Derived(then, entries)
    if track_record.out_of_stock_since is not None:
        entries.append(StockReturned(*place, new, offer_id, to_datetime(track_record.out_of_stock_since)))
    lowest, lowest_in_days = track_record.lowest, then.lowest_in_days
    if new < (lowest if lowest_in_days is None else lowest_in_days):
        since = to_datetime(track_record.watched_since)
        entries.append(LowReached(*place, new, offer_id, lowest_in_days, new < lowest, lowest, since))
    return Derived(then, entries)


def _holder(offers: KnownOffers, price: int) -> str:
    """The offer in stock that has this price, which one does; the first of several."""
    ids, _, prices, stocks = offers
    number = prices.index(price)
    while not stocks[number]:
        number = prices.index(price, number + 1)
    return ids[number]


def _stock(offers: KnownOffers, offer_id: str) -> int | None:
    """How many items of an offer are in stock; None when it is not listed."""
    ids, _, _, stocks = offers
    return stocks[ids.index(offer_id)] if offer_id in ids else None


def _cause(before: Priced, after: Priced, offer_id: str | None) -> tuple[Cause, str]:
    """What happened to which offer: to the new holder of a price that fell or came, or else to the holder before."""
    (offers_before, old), (offers, new) = before, after
    if offer_id is not None and (old is None or cast("int", new) < old):
        stock = _stock(offers_before, offer_id)
        return ("appeared" if stock is None else "repriced" if stock else "stock"), offer_id
    holder = _holder(offers_before, cast("int", old))
    stock = _stock(offers, holder)
    return ("ended" if stock is None else "repriced" if stock else "stock"), holder


def _percent(old: int | None, new: int | None) -> float | None:
    """The exact change in percent, rounded half-even to two decimals."""
    if not old or new is None:
        return None
    return hundredths(100 * (new - old), old) / 100
