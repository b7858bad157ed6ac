"""Writes history: products known by their locked rows, and what a message changes by a few statements over arrays."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from event_bus import OutgoingEvent
from outbox import WAKE_RELAY, event_columns, storing_events
from price_history.db.packing import pack_row, pack_state
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
       head_rows, head_changes, offers, track_record
FROM products WHERE product_id = ANY(CAST(:ids AS uuid[]))
ORDER BY product_id FOR NO KEY UPDATE
""")

# Guarded by the version that was known, so that a product needs no lock before: half the CPU of locking, reading and
# writing it. What is in a head that is closed comes from the row as it was when the statement began: that of the guard,
# or nothing at all is stored. Every few chunks a block is to be made, and in front of a month's end as well: the last
# chunk of a month may be about to be dropped. One array of rows, as the driver takes half as long again to encode ten
# arrays of what is in them, and the database twice as long to read these.
_STORING: Final = """
WITH new AS MATERIALIZED (
  SELECT * FROM unnest($1::recorded[])
), stored AS (
  UPDATE products
  SET version = new.version, revision = new.revision, observed_at = new.observed_at, offers = new.offers,
      last_change_at = CASE WHEN new.row IS NULL THEN last_change_at ELSE coalesce(new.dated, new.observed_at) END,
      head_changes = new.head_changes, track_record = coalesce(new.track_record, products.track_record),
      head_rows = CASE WHEN new.row IS NULL THEN head_rows WHEN new.state IS NULL THEN head_rows + 1 ELSE 1 END,
      head = CASE WHEN new.row IS NULL THEN head WHEN new.state IS NULL THEN head || new.row ELSE new.row END,
      head_state = coalesce(new.state, head_state),
      head_begins = CASE WHEN new.state IS NULL THEN head_begins ELSE coalesce(new.dated, new.observed_at) END,
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
  WHERE stored.chunks % $2 = 0 OR date_trunc('month', closed.ends) < date_trunc('month', head_begins)
  ON CONFLICT DO NOTHING
)
"""
_STORE: Final = f"{_STORING} SELECT count(*) FROM stored"  # noqa: S608 - constants
_STORE_AND_TELL: Final = f"""{_STORING}
, told AS ({storing_events("$3", "$4", "$5")})
SELECT count(*), {WAKE_RELAY} FROM stored
"""  # noqa: S608 - constants

_STORE_OFFERS: Final = sa.text("""
INSERT INTO offers (product_no, offer_no, offer_id)
SELECT * FROM unnest(CAST(:product_nos AS int[]), CAST(:offer_nos AS int[]), CAST(:offer_ids AS text[]))
""")

_NUMBER_OFFERS: Final = sa.text("""
UPDATE products SET next_offer_no = new.next_offer_no
FROM unnest(CAST(:product_nos AS int[]), CAST(:next_offer_nos AS int[])) AS new (product_no, next_offer_no)
WHERE products.product_no = new.product_no
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
    head_begins = NULL, head_state = DEFAULT, head = DEFAULT, track_record = DEFAULT
WHERE products.deleted_at IS NULL
RETURNING product_no
""")

_FORGET_OFFERS: Final = sa.text("DELETE FROM offers WHERE product_no = :product_no")


class OvertakenError(Exception):
    """Someone else has recorded or deleted a product since it was read."""


async def add_products(connection: AsyncConnection, ids: Sequence[UUID]) -> int:
    """Make rows for those that have none, and return how many; a deleted product keeps its tombstone."""
    return (await connection.execute(_ADD, {"ids": ids})).rowcount


async def lock_products(connection: AsyncConnection, ids: Sequence[UUID]) -> list[KnownProduct]:
    """What is known of these products, locked until the transaction ends; those without a row are left out."""
    rows = await connection.execute(_LOCK, {"ids": ids})
    return [KnownProduct(*row) for row in rows]


async def store(connection: AsyncConnection, recorded: Sequence[Recorded], events: Sequence[OutgoingEvent]) -> None:
    """Store what was recorded, and the events that tell of it.

    Raises:
        OvertakenError: a product is no longer as it was known; roll back.
    """
    # On the driver's connection, inside the transaction: SQLAlchemy takes longer for as many parameters.
    driver: Any = (await connection.get_raw_connection()).driver_connection
    assert driver.is_in_transaction()  # noqa: S101 - else each statement would be committed by itself
    rows = [_row(result) for result in recorded]
    if events:
        stored = await driver.fetchval(_STORE_AND_TELL, rows, BLOCK_CHUNKS, *event_columns(events))
    else:
        stored = await driver.fetchval(_STORE, rows, BLOCK_CHUNKS)
    if stored != len(recorded):
        raise OvertakenError(f"{stored} of {len(recorded)} products are as they were known")
    appeared = [result for result in recorded if result.appeared]
    if appeared:
        await _store_offers(connection, appeared)
    ended = [
        (each.product.product_no, offer_no, each.product.last_change_at)
        for each in recorded
        if each.ended
        for offer_no in each.ended
    ]
    if ended:
        await connection.execute(_END_OFFERS, _columns(("product_nos", "offer_nos", "ats"), ended))


async def _store_offers(connection: AsyncConnection, recorded: Sequence[Recorded]) -> None:
    offers = [(each.product.product_no, no, offer_id) for each in recorded for offer_id, no in each.appeared.items()]
    await connection.execute(_STORE_OFFERS, _columns(("product_nos", "offer_nos", "offer_ids"), offers))
    numbers = [(each.product.product_no, each.product.next_offer_no) for each in recorded]
    await connection.execute(_NUMBER_OFFERS, _columns(("product_nos", "next_offer_nos"), numbers))


def _row(result: Recorded) -> tuple[Any, ...]:
    """What is stored of one product, as the database's type `recorded` has it."""
    known, before, row = result.product, result.before, result.row
    dated: datetime | None = None
    state: bytes | None = None
    packed: bytes | None = None
    if row is not None:
        after = 0
        if row.at != known.observed_at:
            dated = row.at
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
        dated,
        known.head_changes,
        state,
        packed,
        known.packed_offers,
        None if known.packed_track_record is before.packed_track_record else known.packed_track_record,
    )


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return dict(zip(names, zip(*rows, strict=True), strict=True))


async def bury_product(connection: AsyncConnection, product_id: UUID, deleted_at: datetime) -> bool:
    """Leave a tombstone and forget the product's offers; its changes go when they are old enough.

    Returns whether there was none yet.
    """
    product_no = await connection.scalar(_BURY, {"id": product_id, "deleted_at": deleted_at})
    if product_no is not None:
        await connection.execute(_FORGET_OFFERS, {"product_no": product_no})
        await forget_rollups(connection, product_no)
    return product_no is not None
