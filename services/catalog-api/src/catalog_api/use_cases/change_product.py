"""Changes and removes products, under the caller's precondition."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from aggregator_contracts import ProductDeleted, ProductUpdated
from catalog_api.db import product_writes
from catalog_api.db.database import Database
from catalog_api.domain.errors import VersionMismatchError
from catalog_api.domain.product import Product, ProductText
from catalog_api.use_cases.create_products import state_of
from outbox import enqueue

Precondition = Callable[[int], bool]
"""Whether a product of this version may be changed."""


@dataclass(frozen=True, slots=True)
class ChangeProduct:
    """Changes what a product's user says of it. A change that changes nothing makes no version and tells nobody."""

    database: Database

    async def __call__(
        self, product_id: UUID, change: Callable[[ProductText], ProductText], accepts: Precondition
    ) -> Product:
        """The product after the change.

        Raises:
            ProductNotFoundError: there is none with this id.
            VersionMismatchError: `accepts` refused its version.
        """
        async with self.database.transaction() as connection:
            product, now = await product_writes.lock(connection, product_id)
            if not accepts(product.version):
                raise VersionMismatchError(product.version)
            text = change(product.text)
            if text == product.text:
                return product
            changed = product.after_change(text, now)
            await product_writes.update(connection, changed)
            await enqueue(connection, [ProductUpdated.of(state_of(product_id, changed.version, text))])
            return changed


@dataclass(frozen=True, slots=True)
class DeleteProduct:
    """Removes a product and its offers; the deletion counts as its last version."""

    database: Database

    async def __call__(self, product_id: UUID, accepts: Precondition) -> None:
        """Delete the product.

        Raises:
            ProductNotFoundError: there is none with this id.
            VersionMismatchError: `accepts` refused its version.
        """
        async with self.database.transaction() as connection:
            product, _ = await product_writes.lock(connection, product_id)
            if not accepts(product.version):
                raise VersionMismatchError(product.version)
            await product_writes.delete(connection, product_id)
            await enqueue(connection, [ProductDeleted.of(product_id, product.version + 1)])
