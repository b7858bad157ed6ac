"""Brings the offers read model up to what offers-sync observed."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from prometheus_client import Counter

from catalog_api.db import offers
from catalog_api.db.database import Database
from catalog_api.db.offers import StoredOffers
from catalog_api.domain.offers import ObservedOffer, merge
from event_bus import ReceivedOffersUpdated, ReceivedUpdate, Together

updates_total: Final = Counter(
    "aggregator_catalog_offers_updates_total",
    "Products in OffersUpdated: applied, stale (not newer than what is stored), or unknown (not in the catalog)",
    ["outcome"],
)


class ApplyOffers:
    """Handles `OffersUpdated`: the messages that wait in one transaction of two statements.

    Duplicate messages: what is not newer than what is stored is ignored, so this is idempotent.

    Attributes:
        applied: lists that were newer, since the start.
        stale: lists that were not.
    """

    def __init__(self, database: Database) -> None:
        self.applied = self.stale = 0
        self._database = database
        self._together = Together(self._apply)

    async def __call__(self, event: ReceivedOffersUpdated) -> None:
        """Store the lists that are newer than those known; products that are not in the catalog are ignored."""
        await self._together({update.product_id: update for update in event.data.updates})

    async def _apply(self, updates: Mapping[UUID, ReceivedUpdate]) -> None:
        async with self._database.transaction() as connection:
            stored = await offers.lock(connection, list(updates))
            newer = [
                _after(before, updates[product_id])
                for product_id, before in stored.items()
                if before.is_older_than(updates[product_id].revision, updates[product_id].observed_at)
            ]
            if newer:
                await offers.store(connection, newer)
        self.applied += len(newer)
        self.stale += len(stored) - len(newer)
        updates_total.labels("applied").inc(len(newer))
        updates_total.labels("stale").inc(len(stored) - len(newer))
        updates_total.labels("unknown").inc(len(updates) - len(stored))


def _after(before: StoredOffers, update: ReceivedUpdate) -> StoredOffers:
    observed = (ObservedOffer(offer.id, offer.price, offer.items_in_stock) for offer in update.offers)
    merged = merge(before.offers, observed, update.observed_at)
    return StoredOffers(update.product_id, update.revision, update.observed_at, merged)
