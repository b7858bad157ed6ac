"""Adds products to the catalog."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from aggregator_contracts import ProductCreated, ProductState
from catalog_api.db import product_writes
from catalog_api.db.database import Database
from catalog_api.domain.product import Product, ProductText, Registration, new_product_id
from connection_pool import Connection


@dataclass(frozen=True, slots=True)
class CreateProducts:
    """Creates any number of products, all or none, and tells of each."""

    database: Database

    async def __call__(self, texts: Sequence[ProductText]) -> list[Product]:
        """The new products, in the order of `texts`."""
        async with self.database.writing() as connection:
            return await self.over(connection, texts)

    async def over(self, connection: Connection, texts: Sequence[ProductText]) -> list[Product]:
        """As a call, over a connection of the caller's, which may be in a transaction."""
        if not texts:
            return []
        states = [state_of(new_product_id(), 1, text) for text in texts]
        at = await product_writes.create(connection, [ProductCreated.of(state) for state in states])
        return [
            Product(state.product_id, text.name, text.description, 1, at, at, Registration.PENDING, None, 0, None)
            for state, text in zip(states, texts, strict=True)
        ]


def state_of(product_id: UUID, version: int, text: ProductText) -> ProductState:
    """A product as events tell of it; its parts have been checked, so they are not checked again."""
    return ProductState.model_construct(
        product_id=product_id, version=version, name=text.name, description=text.description
    )
