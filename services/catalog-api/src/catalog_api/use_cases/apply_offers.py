"""Brings the offers read model up to what offers-sync observed."""

from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter

from catalog_api.db import offers
from catalog_api.db.database import Database
from catalog_api.db.offers import StoredOffers
from catalog_api.domain.offers import ObservedOffer, merge
from event_bus import ReceivedOffersUpdated, ReceivedUpdate

updates_total: Final = Counter(
    "aggregator_catalog_offers_updates_total",
    "Products in OffersUpdated: applied, stale (not newer than what is stored), or unknown (not in the catalog)",
    ["outcome"],
)


@dataclass(frozen=True, slots=True)
class ApplyOffers:
    """Handles `OffersUpdated`: the whole message in one transaction of two statements.

    Duplicate messages: what is not newer than what is stored is ignored, so this is idempotent.
    """

    database: Database

    async def __call__(self, event: ReceivedOffersUpdated) -> None:
        """Store the lists that are newer than those known; products that are not in the catalog are ignored."""
        updates = event.data.updates
        async with self.database.transaction() as connection:
            stored = await offers.lock(connection, [update.product_id for update in updates])
            newer = [
                (stored[update.product_id], update)
                for update in updates
                if update.product_id in stored
                and stored[update.product_id].is_older_than(update.revision, update.observed_at)
            ]
            if newer:
                await offers.store(connection, [_after(before, update) for before, update in newer])
        updates_total.labels("applied").inc(len(newer))
        updates_total.labels("stale").inc(len(stored) - len(newer))
        updates_total.labels("unknown").inc(len(updates) - len(stored))


def _after(before: StoredOffers, update: ReceivedUpdate) -> StoredOffers:
    observed = (ObservedOffer(offer.id, offer.price, offer.items_in_stock) for offer in update.offers)
    merged = merge(before.offers, observed, update.observed_at)
    return StoredOffers(update.product_id, update.revision, update.observed_at, merged)
