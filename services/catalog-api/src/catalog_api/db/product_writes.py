"""Changes to products, each within the caller's transaction. Never commits by itself."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog_api.db.columns import PRODUCT_COLUMNS, PRODUCT_TABLES
from catalog_api.domain.errors import ProductNotFoundError
from catalog_api.domain.product import Product, ProductText, Registration, new_product_id
from catalog_api.domain.search import words

# One statement for any number of products: the second table's row is made with the first's, so that reads join two rows
# that always exist.
_INSERT: Final = sa.text(
    """
    WITH created AS (
        INSERT INTO products (id, name, description, search)
        SELECT id, name, description, array_to_tsvector(string_to_array(words, ' '))
        FROM unnest(CAST(:ids AS uuid[]), CAST(:names AS text[]), CAST(:descriptions AS text[]), CAST(:words AS text[]))
            AS t (id, name, description, words)
        RETURNING id
    ), without_offers AS (
        INSERT INTO product_offers (product_id) SELECT id FROM created
    )
    SELECT now()
    """
)
_LOCK: Final = sa.text(
    f"SELECT {PRODUCT_COLUMNS}, clock_timestamp() FROM {PRODUCT_TABLES} WHERE p.id = :id FOR UPDATE OF p"  # noqa: S608
)
_UPDATE: Final = sa.text(
    """
    UPDATE products SET
        name = :name, description = :description, version = :version, updated_at = :updated_at,
        search = array_to_tsvector(string_to_array(:words, ' ')), registration = :registration,
        registration_changed_at = CASE WHEN registration = :registration THEN registration_changed_at END
    WHERE id = :id
    """
)
_DELETE: Final = sa.text("DELETE FROM products WHERE id = :id")


async def insert(connection: AsyncConnection, texts: Sequence[ProductText]) -> list[Product]:
    """Create a product for each text, in order."""
    ids = [new_product_id() for _ in texts]
    at: datetime = (
        await connection.execute(
            _INSERT,
            {
                "ids": ids,
                "names": [text.name for text in texts],
                "descriptions": [text.description for text in texts],
                "words": [_search(text) for text in texts],
            },
        )
    ).scalar_one()
    return [
        Product(id_, text.name, text.description, 1, at, at, Registration.PENDING, None, 0, None)
        for id_, text in zip(ids, texts, strict=True)
    ]


async def lock(connection: AsyncConnection, product_id: UUID) -> tuple[Product, datetime]:
    """The product, which nobody else changes before this transaction ends, and the time by the database's clock.

    Raises:
        ProductNotFoundError: there is none with this id.
    """
    row = (await connection.execute(_LOCK, {"id": product_id})).one_or_none()
    if row is None:
        raise ProductNotFoundError(product_id)
    *fields, at = row
    return Product(*fields), at


async def update(connection: AsyncConnection, product: Product) -> None:
    """Store the next version of a product that is locked."""
    await connection.execute(
        _UPDATE,
        {
            "id": product.id,
            "name": product.name,
            "description": product.description,
            "version": product.version,
            "updated_at": product.updated_at,
            "words": _search(product.text),
            "registration": product.registration,
        },
    )


async def delete(connection: AsyncConnection, product_id: UUID) -> None:
    """Remove a product that is locked, and its offers with it."""
    await connection.execute(_DELETE, {"id": product_id})


def _search(text: ProductText) -> str:
    return " ".join(words(f"{text.name} {text.description}"))
