"""Adds products to the catalog."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from aggregator_contracts import ProductCreated, ProductState
from catalog_api.db import product_writes
from catalog_api.db.database import Database
from catalog_api.domain.product import Product, ProductText
from outbox import enqueue


@dataclass(frozen=True, slots=True)
class CreateProducts:
    """Creates any number of products, all or none, and tells of each."""

    database: Database

    async def __call__(self, texts: Sequence[ProductText]) -> list[Product]:
        """The new products, in the order of `texts`."""
        async with self.database.transaction() as connection:
            return await self.within(connection, texts)

    async def within(self, connection: AsyncConnection, texts: Sequence[ProductText]) -> list[Product]:
        """As a call, in a transaction that is the caller's."""
        if not texts:
            return []
        products = await product_writes.insert(connection, texts)
        await enqueue(connection, [ProductCreated.of(state_of(product)) for product in products])
        return products


def state_of(product: Product) -> ProductState:
    """The product as events tell of it; its parts have been checked, so they are not checked again."""
    return ProductState.model_construct(
        product_id=product.id, version=product.version, name=product.name, description=product.description
    )
