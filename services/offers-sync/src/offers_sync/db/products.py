"""Products as the catalog tells of them, guarded by version; a deleted one stays as a tombstone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from offers_sync.domain.products import DeletedProduct, Product

# A change keeps the registration; only of a product that was refused it may be the cure, so that is tried again.
_STORE: Final = sa.text(
    """
    INSERT INTO products AS known (product_id, version, name, description, status, next_attempt_at)
    SELECT product_id, version, name, description, 'pending', now()
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:versions AS bigint[]), CAST(:names AS text[]), CAST(:descriptions AS text[])
    ) AS news (product_id, version, name, description)
    ORDER BY product_id
    ON CONFLICT (product_id) DO UPDATE SET
        version = excluded.version,
        name = excluded.name,
        description = excluded.description,
        status = CASE known.status WHEN 'failed' THEN 'pending' ELSE known.status END,
        reason = CASE known.status WHEN 'failed' THEN NULL ELSE known.reason END,
        attempts = CASE known.status WHEN 'failed' THEN 0 ELSE known.attempts END,
        next_attempt_at = CASE known.status WHEN 'failed' THEN now() ELSE known.next_attempt_at END
    WHERE known.status <> 'deleted' AND known.version < excluded.version
    """
)

# A deletion is final, so it needs no guard: whatever comes before or after it loses.
_BURY: Final = sa.text(
    """
    INSERT INTO products AS known (product_id, version, name, description, status)
    SELECT product_id, version, '', '', 'deleted'
    FROM unnest(CAST(:ids AS uuid[]), CAST(:versions AS bigint[])) AS gone (product_id, version)
    ORDER BY product_id
    ON CONFLICT (product_id) DO UPDATE SET
        version = greatest(known.version, excluded.version),
        name = '', description = '', status = 'deleted', next_attempt_at = NULL, reason = NULL
    """
)
_STOP_POLLING: Final = sa.text("DELETE FROM polled_products WHERE product_id = ANY (CAST(:ids AS uuid[]))")

_REGISTER_ALL_AGAIN: Final = sa.text(
    """
    WITH known AS (
        SELECT product_id FROM products WHERE status <> 'deleted' ORDER BY product_id FOR UPDATE
    ), inactive AS (
        UPDATE polled_products SET active = false FROM known WHERE polled_products.product_id = known.product_id
    )
    UPDATE products
    SET status = 'pending', fence = fence + 1, attempts = 0, reason = NULL, next_attempt_at = now()
    FROM known WHERE products.product_id = known.product_id
    """
)

_NEWEST_OUTCOME: Final = sa.text(
    "SELECT greatest((SELECT max(observed_at) FROM polled_products), (SELECT max(outcome_at) FROM products))"
)


async def store_products(connection: AsyncConnection, products: Sequence[Product]) -> None:
    """Take in created or changed products, each named once."""
    if not products:
        return
    await connection.execute(
        _STORE,
        {
            "ids": [product.product_id for product in products],
            "versions": [product.version for product in products],
            "names": [product.name for product in products],
            "descriptions": [product.description for product in products],
        },
    )


async def bury_products(connection: AsyncConnection, deleted: Sequence[DeletedProduct]) -> None:
    """Leave tombstones, and poll these products no more."""
    if not deleted:
        return
    ids = [product.product_id for product in deleted]
    await connection.execute(_BURY, {"ids": ids, "versions": [product.version for product in deleted]})
    await connection.execute(_STOP_POLLING, {"ids": ids})


async def register_all_again(connection: AsyncConnection) -> int:
    """Make every product pending, whatever became of it before; how many there are. Calls under way no longer count."""
    return (await connection.execute(_REGISTER_ALL_AGAIN)).rowcount


async def newest_outcome(connection: AsyncConnection) -> datetime | None:
    """When the last list that was published was observed, or the last registration ended; None if there was neither."""
    newest: datetime | None = await connection.scalar(_NEWEST_OUTCOME)
    return newest


async def count_by_status(connection: AsyncConnection) -> dict[str, int]:
    """How many products are in each status."""
    rows = await connection.execute(sa.text("SELECT status, count(*) FROM products GROUP BY status"))
    return {status: count for status, count in rows}  # noqa: C416 - a row is no pair for dict()
