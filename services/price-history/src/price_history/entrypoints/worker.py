"""`price-history work`: follows offers and products, and keeps the partitions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from aggregator_contracts import Event, ProductCreated, ProductDeleted
from event_bus import ReceivedOffersUpdated, Together
from price_history import metrics
from price_history.domain.recording import ObservedList
from price_history.use_cases.known_products import AddProduct, DeleteProduct
from price_history.use_cases.record_offers import RecordOffers, observed_lists


class OffersHandler:
    """Records `OffersUpdated` in the order of arrival. Duplicate messages: idempotent, by revision.

    Messages that have arrived while others were being recorded are recorded together, in one transaction: its commit is
    most of what a small message costs. While the database is away the queue, which is ordered, has them tried again
    before any other: a list that overtook them would make them old news, and their changes would be missing.
    """

    def __init__(self, record_offers: RecordOffers) -> None:
        self._record_offers = record_offers
        self._together = Together(self._record)

    async def __call__(self, event: ReceivedOffersUpdated) -> None:
        """Return when all of it is stored.

        Raises:
            DatabaseUnavailableError: handle it again later, before any that came after it.
        """
        await self._together(observed_lists(event))

    async def _record(self, observed: Mapping[UUID, ObservedList]) -> None:
        result = await self._record_offers(observed)
        metrics.lists.labels("applied").inc(result.applied)
        metrics.lists.labels("stale").inc(result.stale)
        metrics.changes.inc(result.changes)
        metrics.best_price_changes.inc(result.best_price_changes)
        if result.observed_first is not None:
            # Clocks differ between machines: a lag below zero says nothing more than zero does.
            lag = (datetime.now(UTC) - result.observed_first).total_seconds()
            metrics.stored_after.observe(max(0.0, lag))


class ProductsHandler:
    """Follows `ProductCreated` and `ProductDeleted`. Duplicate and reordered messages: idempotent."""

    def __init__(self, add_product: AddProduct, delete_product: DeleteProduct) -> None:
        self._add_product = add_product
        self._delete_product = delete_product

    async def __call__(self, event: Event) -> None:
        """Return when it is stored.

        Raises:
            DatabaseUnavailableError: handle it again later.
        """
        match event:
            case ProductCreated():
                await self._add_product(event.data.product_id)
                metrics.products.labels("created").inc()
            case ProductDeleted():
                await self._delete_product(event.data.product_id, event.time)
                metrics.products.labels("deleted").inc()
