"""What each event about a product means here."""

from aggregator_contracts import ProductCreated, ProductDeleted, ProductUpdated
from offers_sync.domain.products import DeletedProduct, Product
from offers_sync.use_cases.record_products import RecordProducts

ProductEvent = ProductCreated | ProductUpdated | ProductDeleted


class ProductEvents:
    """The handler of the subscription `SYNC_PRODUCTS`.

    Duplicates and disorder: idempotent, guarded by version; a deletion is final.
    """

    def __init__(self, record: RecordProducts) -> None:
        self._record = record

    async def __call__(self, event: ProductEvent) -> None:
        """Store it; acked when that is committed."""
        if isinstance(event, ProductDeleted):
            await self._record(DeletedProduct(event.data.product_id, event.data.version))
        else:
            state = event.data
            await self._record(Product(state.product_id, state.version, state.name, state.description))
