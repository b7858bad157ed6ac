"""The offers read model: one row for each product, whatever the number of its offers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog_api.domain.offers import Offer, best_price


class StoredOffers(msgspec.Struct, frozen=True):
    """A product's offers with the observation that they are from; revision 0 before the first."""

    product_id: UUID
    revision: int
    observed_at: datetime | None
    offers: list[Offer]

    def is_older_than(self, revision: int, observed_at: datetime) -> bool:
        """Whether an observation takes the place of this one."""
        return self.observed_at is None or (self.revision, self.observed_at) < (revision, observed_at)


_decoder = msgspec.json.Decoder(list[Offer])

# In the order of ids, so that two transactions that share products wait for each other instead of deadlocking.
_LOCK: Final = sa.text(
    """
    SELECT product_id, revision, observed_at, CAST(offers AS text) FROM product_offers
    WHERE product_id = ANY(CAST(:ids AS uuid[])) ORDER BY product_id FOR UPDATE
    """
)
_STORE: Final = sa.text(
    """
    UPDATE product_offers o SET revision = u.revision, observed_at = u.observed_at, best_price = u.best_price,
        offers_count = u.offers_count, offers = CAST(u.offers AS json)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:revisions AS bigint[]), CAST(:observed AS timestamptz[]),
        CAST(:prices AS bigint[]), CAST(:counts AS integer[]), CAST(:offers AS text[]))
        AS u (product_id, revision, observed_at, best_price, offers_count, offers)
    WHERE o.product_id = u.product_id
    """
)

_SPAN: Final = sa.text(
    """
    SELECT least(
        min(observed_at),
        (SELECT min(CAST(offer ->> 'first_seen_at' AS timestamptz))
         FROM product_offers CROSS JOIN json_array_elements(offers) AS offer)
    ), max(observed_at) FROM product_offers
    """
)
_FORGET_ALL: Final = sa.text(
    """
    UPDATE product_offers SET revision = DEFAULT, observed_at = DEFAULT, best_price = DEFAULT, offers_count = DEFAULT,
        offers = DEFAULT
    WHERE revision > 0
    """
)


async def span(connection: AsyncConnection) -> tuple[datetime, datetime] | None:
    """The earliest time in all that is stored, and when the last of it was observed; None if nothing is."""
    oldest, newest = (await connection.execute(_SPAN)).one()
    return None if newest is None else (oldest, newest)


async def forget_all(connection: AsyncConnection) -> None:
    """Have every product as it was before its first observation."""
    await connection.execute(_FORGET_ALL)


async def lock(connection: AsyncConnection, product_ids: Sequence[UUID]) -> dict[UUID, StoredOffers]:
    """What is stored for these products, locked; those that are not in the catalog are missing."""
    rows = await connection.execute(_LOCK, {"ids": product_ids})
    return {row[0]: StoredOffers(row[0], row[1], row[2], _decoder.decode(row[3])) for row in rows}


async def store(connection: AsyncConnection, updates: Sequence[StoredOffers]) -> None:
    """Replace the offers of products that are locked."""
    await connection.execute(
        _STORE,
        {
            "ids": [update.product_id for update in updates],
            "revisions": [update.revision for update in updates],
            "observed": [update.observed_at for update in updates],
            "prices": [best_price(update.offers) for update in updates],
            "counts": [len(update.offers) for update in updates],
            "offers": [msgspec.json.encode(update.offers).decode() for update in updates],
        },
    )
