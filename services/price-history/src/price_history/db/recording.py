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

_STORE_PRODUCTS: Final = sa.text("""
UPDATE products SET revision = new.revision, observed_at = new.observed_at, last_change_at = new.last_change_at,
                    change_rows = new.change_rows, next_offer_no = new.next_offer_no, offers = new.offers
FROM unnest(CAST(:product_nos AS int[]), CAST(:revisions AS bigint[]), CAST(:observed AS timestamptz[]),
            CAST(:changed AS timestamptz[]), CAST(:rows AS int[]), CAST(:next_nos AS int[]), CAST(:offers AS bytea[]))
  AS new (product_no, revision, observed_at, last_change_at, change_rows, next_offer_no, offers)
WHERE products.product_no = new.product_no
""")

_BURY: Final = sa.text("""
INSERT INTO products (product_id, deleted_at) VALUES (:id, :deleted_at)
ON CONFLICT (product_id) DO UPDATE SET deleted_at = excluded.deleted_at, offers = DEFAULT
WHERE products.deleted_at IS NULL
RETURNING product_no
""")

_FORGET_OFFERS: Final = sa.text("DELETE FROM offers WHERE product_no = :product_no")


async def add_products(connection: AsyncConnection, ids: Sequence[UUID]) -> None:
    """Make rows for those that have none; a deleted product keeps its tombstone."""
    await connection.execute(_ADD, {"ids": ids})


async def lock_products(connection: AsyncConnection, ids: Sequence[UUID]) -> list[KnownProduct]:
    """What is known of these products, locked until the transaction ends; those without a row are left out."""
    rows = await connection.execute(_LOCK, {"ids": ids})
    return [KnownProduct._make((*row[:-1], unpack_known(row[-1]))) for row in rows]


async def store(connection: AsyncConnection, recorded: Sequence[Recorded]) -> None:
    """Store what was recorded of locked products."""
    rows = [(known.product_no, row) for known, row, _ in recorded if row is not None]
    if rows:
        await _store_changes(connection, rows)
    # In front of a product's first keyframe there is nothing to roll up.
    keyframes = [
        (known.product_no, row.at)
        for known, row, _ in recorded
        if row is not None and row.state is not None and known.change_rows > 1
    ]
    if keyframes:
        await queue_keyframes(connection, keyframes)
    appeared = [(known.product_no, number, offer_id) for known, _, ids in recorded for offer_id, number in ids.items()]
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
    await _store_products(connection, [known for known, _, _ in recorded])


async def _store_changes(connection: AsyncConnection, rows: Sequence[tuple[int, ChangeRow]]) -> None:
    # COPY on the driver's connection, inside the transaction: half the CPU of INSERT … unnest on both sides.
    driver: Any = (await connection.get_raw_connection()).driver_connection
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


async def _store_products(connection: AsyncConnection, products: Sequence[KnownProduct]) -> None:
    await connection.execute(
        _STORE_PRODUCTS,
        {
            "product_nos": [known.product_no for known in products],
            "revisions": [known.revision for known in products],
            "observed": [known.observed_at for known in products],
            "changed": [known.last_change_at for known in products],
            "rows": [known.change_rows for known in products],
            "next_nos": [known.next_offer_no for known in products],
            "offers": [pack_known(known.offers) for known in products],
        },
    )


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return dict(zip(names, zip(*rows, strict=True), strict=True))


async def bury_product(connection: AsyncConnection, product_id: UUID, deleted_at: datetime) -> None:
    """Leave a tombstone and forget the product's offers; its changes go when they are old enough."""
    product_no = await connection.scalar(_BURY, {"id": product_id, "deleted_at": deleted_at})
    if product_no is not None:
        await connection.execute(_FORGET_OFFERS, {"product_no": product_no})
        await forget_rollups(connection, product_no)
