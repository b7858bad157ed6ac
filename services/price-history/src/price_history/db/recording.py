"""Writes history: products known by their locked rows, and what a message changes by a few statements over arrays."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from price_history.db.packing import pack_changes, pack_known, pack_state, unpack_known
from price_history.db.rolling import forget_rollups, queue_keyframes
from price_history.domain.recording import ChangeRow, KnownProduct, Recorded

_ADD: Final = sa.text("""
INSERT INTO products (product_id)
SELECT id FROM unnest(CAST(:ids AS uuid[])) AS id ORDER BY id
ON CONFLICT DO NOTHING
""")

# The locks are taken above the sort, so every transaction takes them in the same order and none waits in a circle.
_LOCK: Final = sa.text("""
SELECT product_no, product_id, deleted_at IS NOT NULL, revision, observed_at, last_change_at, change_rows,
       next_offer_no, offers
FROM products WHERE product_id = ANY(CAST(:ids AS uuid[]))
ORDER BY product_id FOR NO KEY UPDATE
""")

_CHANGE_COLUMNS: Final = ("product_no", "at", "best_in_stock", "best_out_of_stock", "changes", "state")

_STORE_OFFERS: Final = sa.text("""
INSERT INTO offers (product_no, offer_no, offer_id)
SELECT * FROM unnest(CAST(:product_nos AS int[]), CAST(:offer_nos AS int[]), CAST(:offer_ids AS text[]))
""")

_END_OFFERS: Final = sa.text("""
UPDATE offers SET ended_at = ended.at
FROM unnest(CAST(:product_nos AS int[]), CAST(:offer_nos AS int[]), CAST(:ats AS timestamptz[]))
  AS ended (product_no, offer_no, at)
WHERE offers.product_no = ended.product_no AND offers.offer_no = ended.offer_no
""")

# Guarded by what was known, so that a product needs no lock before: half the CPU of locking, reading and writing it.
_STORE_PRODUCTS: Final = """
UPDATE products SET revision = new.revision, observed_at = new.observed_at, last_change_at = new.last_change_at,
                    change_rows = new.change_rows, next_offer_no = new.next_offer_no, offers = new.offers
FROM unnest($1::int[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::int[],
            $8::int[], $9::bytea[])
  AS new (product_no, was_revision, was_observed_at, revision, observed_at, last_change_at, change_rows, next_offer_no,
          offers)
WHERE products.product_no = new.product_no AND products.deleted_at IS NULL
  AND products.revision = new.was_revision AND products.observed_at IS NOT DISTINCT FROM new.was_observed_at
"""

_BURY: Final = sa.text("""
INSERT INTO products (product_id, deleted_at) VALUES (:id, :deleted_at)
ON CONFLICT (product_id) DO UPDATE SET deleted_at = excluded.deleted_at, offers = DEFAULT
WHERE products.deleted_at IS NULL
RETURNING product_no
""")

_FORGET_OFFERS: Final = sa.text("DELETE FROM offers WHERE product_no = :product_no")


class OvertakenError(Exception):
    """Someone else has recorded or deleted a product since it was read."""


async def add_products(connection: AsyncConnection, ids: Sequence[UUID]) -> None:
    """Make rows for those that have none; a deleted product keeps its tombstone."""
    await connection.execute(_ADD, {"ids": ids})


async def lock_products(connection: AsyncConnection, ids: Sequence[UUID]) -> list[KnownProduct]:
    """What is known of these products, locked until the transaction ends; those without a row are left out."""
    rows = await connection.execute(_LOCK, {"ids": ids})
    return [KnownProduct._make((*row[:-1], unpack_known(row[-1]))) for row in rows]


async def store(connection: AsyncConnection, recorded: Sequence[Recorded]) -> None:
    """Store what was recorded.

    Raises:
        OvertakenError: a product is no longer as it was known; roll back.
    """
    await _store_products(connection, recorded)
    rows = [(result.product.product_no, result.row) for result in recorded if result.row is not None]
    if rows:
        await store_changes(connection, rows)
    # In front of a product's first keyframe there is nothing to roll up.
    keyframes = [
        (known.product_no, row.at)
        for known, row, _, before in recorded
        if row is not None and row.state is not None and before.change_rows
    ]
    if keyframes:
        await queue_keyframes(connection, keyframes)
    appeared = [(known.product_no, no, offer_id) for known, _, ids, _ in recorded for offer_id, no in ids.items()]
    if appeared:
        await connection.execute(_STORE_OFFERS, _columns(("product_nos", "offer_nos", "offer_ids"), appeared))
    ended = [
        (product_no, offer_no, row.at)
        for product_no, row in rows
        for offer_no, price, _ in row.changes
        if price is None
    ]
    if ended:
        await connection.execute(_END_OFFERS, _columns(("product_nos", "offer_nos", "ats"), ended))


async def store_changes(connection: AsyncConnection, rows: Sequence[tuple[int, ChangeRow]]) -> None:
    """Store rows by product number, and nothing else about their products."""
    # COPY on the driver's connection, inside the transaction: half the CPU of INSERT … unnest on both sides.
    driver: Any = (await connection.get_raw_connection()).driver_connection
    assert driver.is_in_transaction()  # noqa: S101 - else each statement would be committed by itself
    await driver.copy_records_to_table(
        "price_changes",
        columns=_CHANGE_COLUMNS,
        records=[
            (
                product_no,
                row.at,
                row.best_in_stock,
                row.best_out_of_stock,
                pack_changes(row.changes),
                None if row.state is None else pack_state(row.state),
            )
            for product_no, row in rows
        ],
    )


async def _store_products(connection: AsyncConnection, recorded: Sequence[Recorded]) -> None:
    rows = [
        (
            before.product_no,
            before.revision,
            before.observed_at,
            known.revision,
            known.observed_at,
            known.last_change_at,
            known.change_rows,
            known.next_offer_no,
            pack_known(known.offers),
        )
        for known, _, _, before in recorded
    ]
    # Through SQLAlchemy, which begins the transaction with its own first statement, and with no other.
    result = await connection.exec_driver_sql(_STORE_PRODUCTS, tuple(zip(*rows, strict=True)))
    if result.rowcount != len(rows):
        raise OvertakenError(f"{result.rowcount} of {len(rows)} products are as they were known")


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return dict(zip(names, zip(*rows, strict=True), strict=True))


async def bury_product(connection: AsyncConnection, product_id: UUID, deleted_at: datetime) -> None:
    """Leave a tombstone and forget the product's offers; its changes go when they are old enough."""
    product_no = await connection.scalar(_BURY, {"id": product_id, "deleted_at": deleted_at})
    if product_no is not None:
        await connection.execute(_FORGET_OFFERS, {"product_no": product_no})
        await forget_rollups(connection, product_no)
