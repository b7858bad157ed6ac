"""What history must hold, from what was published: written from the contract, sharing no code with price-history."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from tests.faults.laboratory.record import PublishedList

Offers = dict[str, tuple[int, int]]


class Change(NamedTuple):
    """A recorded change; price and stock are None when the offer ended."""

    at: datetime
    offer_id: str
    price: int | None
    stock: int | None


def changes(published: Iterable[PublishedList]) -> list[Change]:
    """Every change that the published lists of one product make, as the contract tells a consumer to read them.

    What is not newer than what came before it is ignored; a change is dated after the product's last one.
    """
    found: list[Change] = []
    known: Offers = {}
    newest: tuple[int, datetime] | None = None
    last_at: datetime | None = None
    for update in published:
        position = (update.revision, update.observed_at)
        if newest is not None and position <= newest:
            continue
        newest = position
        different = _different(known, update.offers)
        known = update.offers
        if different:
            at = update.observed_at
            if last_at is not None and at <= last_at:
                at = last_at + timedelta(microseconds=1)
            last_at = at
            found += [Change(at, *difference) for difference in different]
    return found


def _different(before: Offers, after: Offers) -> list[tuple[str, int | None, int | None]]:
    different: list[tuple[str, int | None, int | None]] = [
        (offer_id, None, None) for offer_id in before if offer_id not in after
    ]
    for offer_id, (price, stock) in after.items():
        known = before.get(offer_id)
        if known is None or known[0] != price or (known[1] == 0) != (stock == 0):
            different.append((offer_id, price, stock))
    return sorted(different, key=lambda difference: difference[0])
