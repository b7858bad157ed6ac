"""Changes to products, over the caller's connection."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from aggregator_contracts import ProductCreated
from catalog_api.db.columns import PRODUCT_COLUMNS, PRODUCT_TABLES
from catalog_api.domain.errors import ProductNotFoundError
from catalog_api.domain.product import Product
from catalog_api.domain.search import words
from connection_pool import Connection
from event_bus import OutgoingEvent
from outbox import WAKE_RELAY, event_columns, storing_events

# One statement for any number of products and their events, so it needs no transaction around it: four round trips
# less. The second table's row is made with the first's, so that reads join two rows that always exist.
_CREATE: Final = f"""
    WITH created AS (
        INSERT INTO products (id, name, description, search)
        SELECT id, name, description, array_to_tsvector(string_to_array(words, ' '))
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS t (id, name, description, words)
        RETURNING id
    ), without_offers AS (
        INSERT INTO product_offers (product_id) SELECT id FROM created
    ), told AS ({storing_events("$5", "$6", "$7")})
    SELECT now(), {WAKE_RELAY}
"""  # noqa: S608 - constants
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


async def create(connection: Connection, created: Sequence[ProductCreated]) -> datetime:
    """Add the products that these events tell of, and the events, all or none; when, by the database's clock."""
    states = [event.data for event in created]
    at: datetime = await connection.fetchval(
        _CREATE,
        [state.product_id for state in states],
        [state.name for state in states],
        [state.description for state in states],
        [_search(state.name, state.description) for state in states],
        *event_columns([OutgoingEvent.of(event) for event in created]),
    )
    return at


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
            "words": _search(product.name, product.description),
            "registration": product.registration,
        },
    )


async def delete(connection: AsyncConnection, product_id: UUID) -> None:
    """Remove a product that is locked, and its offers with it."""
    await connection.execute(_DELETE, {"id": product_id})


def _search(name: str, description: str) -> str:
    return " ".join(words(f"{name} {description}"))
