"""How an observed list of offers becomes history: the guard against old news, the diff, and the row to store."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from price_history.domain.chunks import is_full
from price_history.domain.offers import KnownOffer, OfferChange, compare

_MICROSECOND: Final = timedelta(microseconds=1)


class ObservedList(NamedTuple):
    """A product's full list of offers, `(id, price, items in stock)`, as observed at one moment."""

    revision: int
    observed_at: datetime
    offers: list[tuple[str, int, int]]


class KnownProduct(NamedTuple):
    """What is known of a product; `revision` is 0 and the times are None until its first list.

    `version` counts how often it was stored. `head_rows` and `head_changes` are the observations in its head, and the
    changes of offers in these.
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
    offers: dict[str, KnownOffer]


class ChangeRow(NamedTuple):
    """The recorded changes of one observation, with the best prices from then on (None where there is none).

    `best_out_of_stock` is the lowest price of all offers where it is lower than the best in stock, else None: the
    best price of all is the one of the two that is not None, `best_out_of_stock` first.
    """

    at: datetime
    best_in_stock: int | None
    best_out_of_stock: int | None
    changes: list[OfferChange]


class Recorded(NamedTuple):
    """The product from now on and before, the row to store if anything recorded changed, and new offers by id."""

    product: KnownProduct
    row: ChangeRow | None
    appeared: dict[str, int]
    before: KnownProduct

    @property
    def opens_head(self) -> bool:
        """Whether the row is the first one of a new head."""
        return self.row is not None and self.product.head_rows == 1


def record(product: KnownProduct, observed: ObservedList) -> Recorded | None:
    """What the list makes of the product; None when it is not newer than what is known, or the product is deleted.

    A change is dated a microsecond after the product's last one if the observer's clock says otherwise: the revision
    gives the order, so that history never runs backwards.
    """
    (
        number,
        product_id,
        deleted,
        version,
        known_revision,
        known_observed_at,
        last_change_at,
        next_offer_no,
        head_rows,
        head_changes,
        known,
    ) = product
    revision, observed_at, listed = observed
    if deleted or revision < known_revision:
        return None
    if revision == known_revision and known_observed_at is not None and observed_at <= known_observed_at:
        return None
    offers, changes, appeared, best, in_stock = compare(known, listed, next_offer_no)
    row = None
    if changes:
        at = observed_at
        if last_change_at is not None and at <= last_change_at:
            at = last_change_at + _MICROSECOND
        row = ChangeRow(at, in_stock, None if best == in_stock else best, changes)
        last_change_at = at
        next_offer_no += len(appeared)
        # What a full head gives way to begins anew.
        if is_full(head_rows, head_changes, len(known)):
            head_rows = head_changes = 0
        head_rows += 1
        head_changes += len(changes)
    return Recorded(
        KnownProduct(
            number,
            product_id,
            deleted,
            version + 1,
            revision,
            observed_at,
            last_change_at,
            next_offer_no,
            head_rows,
            head_changes,
            offers,
        ),
        row,
        appeared,
        product,
    )
