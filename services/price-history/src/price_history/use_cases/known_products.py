"""Keeps up with the catalog: which products exist, and which were deleted."""

from datetime import datetime
from uuid import UUID

from price_history.db.engine import Database
from price_history.db.recording import add_products, bury_product


class AddProduct:
    """Makes a product known before its first offers. Idempotent; a product deleted before stays deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, product_id: UUID) -> None:
        """Raises `DatabaseUnavailableError`: call again later."""
        async with self._database.transaction() as connection:
            await add_products(connection, [product_id])


class DeleteProduct:
    """Leaves a tombstone: the product is unknown from now on, and what arrives late about it is ignored. Idempotent."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, product_id: UUID, deleted_at: datetime) -> bool:
        """Whether it was not deleted before. Raises `DatabaseUnavailableError`: call again later."""
        async with self._database.transaction() as connection:
            return await bury_product(connection, product_id, deleted_at)
