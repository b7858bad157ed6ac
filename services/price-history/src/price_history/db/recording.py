"""Writes history: products known by their locked rows, and what a message changes by a few statements over arrays."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from price_history.db.packing import pack_row, pack_state, unpack_known
from price_history.db.rolling import forget_rollups
from price_history.domain.chunks import state_of
from price_history.domain.recording import KnownProduct, Recorded
from price_history.domain.rollups import BLOCK_CHUNKS

_MICROSECOND: Final = timedelta(microseconds=1)

_ADD: Final = sa.text("""
INSERT INTO products (product_id)
SELECT id FROM unnest(CAST(:ids AS uuid[])) AS id ORDER BY id
ON CONFLICT DO NOTHING
""")

# The locks are taken above the sort, so every transaction takes them in the same order and none waits in a circle.
_LOCK: Final = sa.text("""
SELECT product_no, product_id, deleted_at IS NOT NULL, version, revision, observed_at, last_change_at, next_offer_no,
       head_rows, head_changes, offers
FROM products WHERE product_id = ANY(CAST(:ids AS uuid[]))
ORDER BY product_id FOR NO KEY UPDATE
""")

# Guarded by the version that was known, so that a product needs no lock before: half the CPU of locking, reading and
# writing it. What is in a head that is closed comes from the row as it was when the statement began: that of the guard,
# or nothing at all is stored. Every few chunks a block is to be made, and in front of a month's end as well: the last
# chunk of a month may be about to be dropped.
_STORE: Final = """
WITH new AS MATERIALIZED (
  SELECT * FROM unnest($1::int[], $2::int[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::int[], $7::int[],
                       $8::int[], $9::bytea[], $10::bytea[], $11::bytea[])
    AS new (product_no, version, revision, observed_at, last_change_at, next_offer_no, head_rows, head_changes, state,
            row, offers)
), stored AS (
  UPDATE products
  SET version = new.version, revision = new.revision, observed_at = new.observed_at,
      last_change_at = new.last_change_at, next_offer_no = new.next_offer_no, offers = new.offers,
      head_rows = new.head_rows, head_changes = new.head_changes,
      head = CASE WHEN new.state IS NULL THEN head || new.row ELSE new.row END,
      head_state = coalesce(new.state, head_state),
      head_begins = CASE WHEN new.state IS NULL THEN head_begins ELSE new.last_change_at END,
      chunks = CASE WHEN new.state IS NULL OR products.head_rows = 0 THEN chunks ELSE chunks + 1 END
  FROM new WHERE products.product_no = new.product_no AND products.version = new.version - 1
  RETURNING products.product_no, products.chunks, head_begins, new.state IS NOT NULL AS opens
), closed AS (
  INSERT INTO chunks (begins, ends, product_no, observations, state, changes)
  SELECT was.head_begins, was.last_change_at, product_no, was.head_rows, was.head_state, was.head
  FROM stored JOIN products AS was USING (product_no) WHERE stored.opens AND was.head_rows > 0
  RETURNING product_no, ends
), queued AS (
  INSERT INTO rollup_queue (product_no, ends) SELECT product_no, head_begins FROM closed JOIN stored USING (product_no)
  WHERE stored.chunks % $12 = 0 OR date_trunc('month', closed.ends) < date_trunc('month', head_begins)
  ON CONFLICT DO NOTHING
)
SELECT count(*) FROM stored
"""

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

_BURY: Final = sa.text("""
INSERT INTO products (product_id, deleted_at) VALUES (:id, :deleted_at)
ON CONFLICT (product_id) DO UPDATE
SET deleted_at = excluded.deleted_at, version = products.version + 1, offers = DEFAULT, head_rows = 0, head_changes = 0,
    head_begins = NULL, head_state = DEFAULT, head = DEFAULT
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


async def store(connection: AsyncConnection, recorded: Sequence[Recorded], packed_offers: Sequence[bytes]) -> None:
    """Store what was recorded, with the offers of each product as `pack_known` packs them.

    Raises:
        OvertakenError: a product is no longer as it was known; roll back.
    """
    # On the driver's connection, inside the transaction: SQLAlchemy takes longer for as many parameters.
    driver: Any = (await connection.get_raw_connection()).driver_connection
    assert driver.is_in_transaction()  # noqa: S101 - else each statement would be committed by itself
    rows = [_row(result, packed) for result, packed in zip(recorded, packed_offers, strict=True)]
    stored = await driver.fetchval(_STORE, *map(list, zip(*rows, strict=True)), BLOCK_CHUNKS)
    if stored != len(rows):
        raise OvertakenError(f"{stored} of {len(rows)} products are as they were known")
    appeared = [(known.product_no, no, offer_id) for known, _, ids, _ in recorded for offer_id, no in ids.items()]
    if appeared:
        await connection.execute(_STORE_OFFERS, _columns(("product_nos", "offer_nos", "offer_ids"), appeared))
    ended = [
        (known.product_no, offer_no, row.at)
        for known, row, _, _ in recorded
        if row is not None
        for offer_no, price, _ in row.changes
        if price is None
    ]
    if ended:
        await connection.execute(_END_OFFERS, _columns(("product_nos", "offer_nos", "ats"), ended))


def _row(result: Recorded, packed_offers: bytes) -> tuple[Any, ...]:
    """The parameters of `_STORE` for one product."""
    known, row, _, before = result
    state: bytes | None = None
    packed = b""
    if row is not None:
        after = 0
        if result.opens_head:
            state = pack_state(state_of(before.offers))
        elif before.last_change_at is not None:
            after = (row.at - before.last_change_at) // _MICROSECOND
        packed = pack_row(after, row.best_in_stock, row.best_out_of_stock, row.changes)
    return (
        known.product_no,
        known.version,
        known.revision,
        known.observed_at,
        known.last_change_at,
        known.next_offer_no,
        known.head_rows,
        known.head_changes,
        state,
        packed,
        packed_offers,
    )


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return dict(zip(names, zip(*rows, strict=True), strict=True))


async def bury_product(connection: AsyncConnection, product_id: UUID, deleted_at: datetime) -> None:
    """Leave a tombstone and forget the product's offers; its changes go when they are old enough."""
    product_no = await connection.scalar(_BURY, {"id": product_id, "deleted_at": deleted_at})
    if product_no is not None:
        await connection.execute(_FORGET_OFFERS, {"product_no": product_no})
        await forget_rollups(connection, product_no)
