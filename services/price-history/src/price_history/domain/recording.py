"""How an observed list of offers becomes history: the guard against old news, the diff, and the row to store."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from price_history.domain.offers import KnownOffer, OfferChange, compare

KEYFRAME_EVERY: Final = 64
"""Rows of a product from one keyframe to the next: how far back one must read to know every price at an instant."""

_MICROSECOND: Final = timedelta(microseconds=1)


class ObservedList(NamedTuple):
    """A product's full list of offers, `(id, price, items in stock)`, as observed at one moment."""

    revision: int
    observed_at: datetime
    offers: list[tuple[str, int, int]]


class KnownProduct(NamedTuple):
    """What is known of a product; `revision` is 0 and the times are None until its first list."""

    product_no: int
    product_id: UUID
    deleted: bool
    revision: int
    observed_at: datetime | None
    last_change_at: datetime | None
    change_rows: int
    next_offer_no: int
    offers: dict[str, KnownOffer]


class ChangeRow(NamedTuple):
    """The recorded changes of one observation, with the best prices from then on (None where there is none).

    `best_out_of_stock` is the lowest price of all offers where it is lower than the best in stock, else None: the
    best price of all is the one of the two that is not None, `best_out_of_stock` first. `state` is, in a keyframe
    only, the price of every offer by its number.
    """

    at: datetime
    best_in_stock: int | None
    best_out_of_stock: int | None
    changes: list[OfferChange]
    state: dict[int, int] | None


class Recorded(NamedTuple):
    """The product from now on and before, the row to store if anything recorded changed, and new offers by id."""

    product: KnownProduct
    row: ChangeRow | None
    appeared: dict[str, int]
    before: KnownProduct


def record(product: KnownProduct, observed: ObservedList) -> Recorded | None:
    """What the list makes of the product; None when it is not newer than what is known, or the product is deleted.

    A change is dated a microsecond after the product's last one if the observer's clock says otherwise: the revision
    gives the order, so that history never runs backwards.
    """
    number, product_id, deleted, _, _, last_change_at, change_rows, next_offer_no, known = product
    if deleted or not _is_newer(product, observed):
        return None
    revision, observed_at, listed = observed
    offers, changes, appeared, best, in_stock = compare(known, listed, next_offer_no)
    row = None
    if changes:
        at = observed_at
        if last_change_at is not None and at <= last_change_at:
            at = last_change_at + _MICROSECOND
        is_keyframe = change_rows % KEYFRAME_EVERY == 0
        state = {offer[0]: offer[1] for offer in offers.values()} if is_keyframe else None
        row = ChangeRow(at, in_stock, None if best == in_stock else best, changes, state)
        last_change_at = at
        change_rows += 1
        next_offer_no += len(appeared)
    return Recorded(
        KnownProduct(
            number, product_id, deleted, revision, observed_at, last_change_at, change_rows, next_offer_no, offers
        ),
        row,
        appeared,
        product,
    )


def _is_newer(product: KnownProduct, observed: ObservedList) -> bool:
    if observed.revision != product.revision:
        return observed.revision > product.revision
    return product.observed_at is None or observed.observed_at > product.observed_at
