"""How an observed list of offers becomes history: the guard against old news, the diff, and the row to store."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Self
from uuid import UUID

import msgspec

from price_history.domain.chunks import is_full
from price_history.domain.derived import Derived, derive
from price_history.domain.instants import to_instant
from price_history.domain.offers import (
    KnownOffers,
    ListedOffers,
    OfferChange,
    best_prices,
    compare,
    pack_known,
    unpack_known,
)
from price_history.domain.track_record import TrackRecord, pack_track_record, unpack_track_record

_MICROSECOND: Final = timedelta(microseconds=1)


class ObservedList(msgspec.Struct, frozen=True, gc=False):
    """A product's full list of offers as observed at one moment."""

    revision: int
    observed_at: datetime
    offers: ListedOffers

    @classmethod
    def of(cls, revision: int, observed_at: datetime, offers: Sequence[tuple[str, int, int]]) -> Self:
        """From `(id, price, items in stock)` of each offer."""
        ids, prices, stocks = zip(*offers, strict=True) if offers else ((), (), ())
        return cls(revision, observed_at, (ids, prices, stocks))


class KnownProduct(msgspec.Struct, frozen=True, gc=False):
    """What is known of a product; `revision` is 0 and the times are None until its first list.

    `version` counts how often it was stored. `head_rows` and `head_changes` are the observations in its head, and the
    changes of offers in these. `packed_offers` is its list as last observed, as `pack_known` packs it;
    `packed_track_record` what is kept of its best prices, empty before the first one.
    """

    product_no: int
    product_id: UUID
    deleted: bool
    version: int
    revision: int
    observed_at: datetime | None
    last_change_at: datetime | None
    next_offer_no: int
    head_rows: int
    head_changes: int
    packed_offers: bytes
    packed_track_record: bytes

    @property
    def offers(self) -> KnownOffers:
        """Its list as last observed."""
        known: KnownOffers = unpack_known(self.packed_offers)
        return known

    def track_record(self, price: int | None) -> TrackRecord | None:
        """What is kept of its best prices, the last of which is `price`; None where there was none yet."""
        if self.packed_track_record:
            return unpack_track_record(self.packed_track_record)
        if price is None or self.last_change_at is None:
            return None
        # Recorded before track records were kept: what is known for sure is that this price holds since then.
        return TrackRecord(to_instant(self.last_change_at), price)


class ChangeRow(msgspec.Struct, frozen=True, gc=False):
    """The recorded changes of one observation, with the best prices from then on (None where there is none).

    `best_out_of_stock` is the lowest price of all offers where it is lower than the best in stock, else None: the
    best price of all is the one of the two that is not None, `best_out_of_stock` first.
    """

    at: datetime
    best_in_stock: int | None
    best_out_of_stock: int | None
    changes: list[OfferChange]


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """The product from now on and before, the row to store if anything recorded changed, and what is to be told of it.

    `appeared` are the numbers of new offers by id, `ended` those of offers that ended. `derived` is None where the best
    price stays.
    """

    product: KnownProduct
    row: ChangeRow | None
    appeared: dict[str, int]
    ended: list[int]
    before: KnownProduct
    derived: Derived | None

    @property
    def opens_head(self) -> bool:
        """Whether the row is the first one of a new head."""
        return self.row is not None and self.product.head_rows == 1


def record(product: KnownProduct, observed: ObservedList, *, deriving: bool = True) -> Recorded | None:
    """What the list makes of the product; None when it is not newer than what is known, or the product is deleted.

    Where nothing is derived from best prices the track record ends: it begins anew with the first one that is.

    A change is dated a microsecond after the product's last one if the observer's clock says otherwise: the revision
    gives the order, so that history never runs backwards.
    """
    if product.deleted or not _is_newer(product, observed):
        return None
    revision, observed_at = observed.revision, observed.observed_at
    last_change_at, next_offer_no = product.last_change_at, product.next_offer_no
    head_rows, head_changes = product.head_rows, product.head_changes
    known = product.offers
    compared = compare(known, observed.offers, next_offer_no)
    changes = compared.changes
    row, derived, packed_track_record = None, None, product.packed_track_record
    if changes:
        at = observed_at
        if last_change_at is not None and at <= last_change_at:
            at = last_change_at + _MICROSECOND
        best, in_stock = compared.best, compared.best_in_stock
        row = ChangeRow(at, in_stock, None if best == in_stock else best, changes)
        last_change_at = at
        next_offer_no += len(compared.appeared)
        # What a full head gives way to begins anew.
        if is_full(head_rows, head_changes, len(known[0])):
            head_rows = head_changes = 0
        head_rows += 1
        head_changes += len(changes)
        _, price = best_prices(known[2], known[3])
        if in_stock != price and not deriving:
            packed_track_record = b""
        elif in_stock != price:
            place = (product.product_id, revision, at)
            derived = derive(place, (known, price), (compared.offers, in_stock), product.track_record(price))
            packed_track_record = pack_track_record(derived.track_record)
    after = KnownProduct(
        product.product_no,
        product.product_id,
        False,
        product.version + 1,
        revision,
        observed_at,
        last_change_at,
        next_offer_no,
        head_rows,
        head_changes,
        pack_known(compared.offers),
        packed_track_record,
    )
    return Recorded(after, row, compared.appeared, compared.ended, product, derived)


def _is_newer(product: KnownProduct, observed: ObservedList) -> bool:
    if observed.revision != product.revision:
        return observed.revision > product.revision
    return product.observed_at is None or observed.observed_at > product.observed_at
