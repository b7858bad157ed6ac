"""What history must hold, from what was published: written from the contract, sharing no code with price-history."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from tests.faults.laboratory.record import BestPriceChange, PublishedList

Offers = dict[str, tuple[int, int]]


class Change(NamedTuple):
    """A recorded change; price and stock are None when the offer ended."""

    at: datetime
    offer_id: str
    price: int | None
    stock: int | None


def changes(published: Iterable[PublishedList], recorded_at: Collection[datetime]) -> list[Change]:
    """Every change that the published lists of one product make, as the contract tells a consumer to read them.

    A list may be missing from history (have no change at its time in `recorded_at`) only if the contract lets every
    consumer ignore it: another list of the same revision took its place, which means that its publisher had no confirm
    and published again; or a newer one was published before it. A change is dated after the product's last one.
    """
    found: list[Change] = []
    known: Offers = {}
    last_at: datetime | None = None
    for update, may_be_ignored in _in_true_order(list(published)):
        at = update.observed_at
        if last_at is not None and at <= last_at:
            at = last_at + timedelta(microseconds=1)
        if may_be_ignored and at not in recorded_at:
            continue
        different = _different(known, update.offers)
        known = update.offers
        if different:
            last_at = at
            found += [Change(at, *difference) for difference in different]
    return found


def best_price_changes(recorded: Iterable[Change]) -> Iterator[BestPriceChange]:
    """What is to be told of best prices, from what history holds of one product."""
    offers: dict[str, tuple[int, int]] = {}
    best: int | None = None
    for at, together in groupby(sorted(recorded, key=lambda change: change.at), key=lambda change: change.at):
        for change in together:
            if change.price is None or change.stock is None:
                del offers[change.offer_id]
            else:
                offers[change.offer_id] = (change.price, change.stock)
        before, best = best, min((price for price, stock in offers.values() if stock), default=None)
        if best != before:
            yield BestPriceChange(at, before, best)


def _in_true_order(published: list[PublishedList]) -> Iterator[tuple[PublishedList, bool]]:
    """Each list once, with whether a consumer may ignore it."""
    overtaken: set[tuple[int, datetime]] = set()
    newest: tuple[int, datetime] | None = None
    lists: dict[tuple[int, datetime], PublishedList] = {}
    for update in published:
        position = (update.revision, update.observed_at)
        if position not in lists and newest is not None and position < newest:
            overtaken.add(position)
        newest = position if newest is None else max(newest, position)
        lists[position] = update
    last_of_revision = dict(sorted(lists))
    for position in sorted(lists):
        replaced = position[1] != last_of_revision[position[0]]
        yield lists[position], replaced or position in overtaken


def _different(before: Offers, after: Offers) -> list[tuple[str, int | None, int | None]]:
    different: list[tuple[str, int | None, int | None]] = [
        (offer_id, None, None) for offer_id in before if offer_id not in after
    ]
    for offer_id, (price, stock) in after.items():
        known = before.get(offer_id)
        if known is None or known[0] != price or (known[1] == 0) != (stock == 0):
            different.append((offer_id, price, stock))
    return sorted(different, key=lambda difference: difference[0])
