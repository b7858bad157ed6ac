"""What was last published for each product: digest, revision and time of its list."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from offers_sync.domain.polling import ChangedList

RENEWAL_SECONDS: Final = 3600.0
"""A product is registered again after a 404 at most once in this time."""

_LOCKED: Final = """
    WITH locked AS (
        SELECT product_id FROM polled_products WHERE product_id = ANY (CAST(:ids AS uuid[]))
        ORDER BY product_id FOR UPDATE
    )
"""
# A product that was deleted meanwhile has no row here, so a late answer does not bring it back.
_STORE: Final = sa.text(
    f"""{_LOCKED}
    UPDATE polled_products AS polled
    SET digest = published.digest, body_digest = published.body_digest, revision = published.revision,
        observed_at = published.observed_at
    FROM locked JOIN unnest(
        CAST(:ids AS uuid[]), CAST(:digests AS bytea[]), CAST(:body_digests AS bytea[]), CAST(:revisions AS bigint[]),
        CAST(:moments AS timestamptz[])
    ) AS published (product_id, digest, body_digest, revision, observed_at) USING (product_id)
    WHERE polled.product_id = locked.product_id
    """  # noqa: S608 - constants
)
_DOUBT: Final = sa.text(
    f"""{_LOCKED}
    UPDATE polled_products AS polled
    SET digest = NULL, revision = greatest(polled.revision, published.revision)
    FROM locked
    JOIN unnest(CAST(:ids AS uuid[]), CAST(:revisions AS bigint[])) AS published (product_id, revision)
        USING (product_id)
    WHERE polled.product_id = locked.product_id
    """  # noqa: S608 - constants
)
_RENEW: Final = sa.text(
    """
    WITH unknown AS (
        SELECT product_id FROM products
        WHERE product_id = ANY (CAST(:ids AS uuid[])) AND status = 'registered'
            AND (renewed_at IS NULL OR renewed_at < now() - make_interval(secs => CAST(:at_most_each AS float8))
                OR renewed_at > now())
        ORDER BY product_id FOR UPDATE
    ), paused AS (
        UPDATE polled_products SET active = false FROM unknown WHERE polled_products.product_id = unknown.product_id
    )
    UPDATE products SET status = 'pending', next_attempt_at = now(), renewed_at = now(), attempts = 0
    FROM unknown WHERE products.product_id = unknown.product_id
    """
)


async def store_published(connection: AsyncConnection, changes: Sequence[ChangedList]) -> None:
    """These lists are published."""
    if not changes:
        return
    await connection.execute(
        _STORE,
        {
            "ids": [change.product_id for change in changes],
            "digests": [change.found.digest for change in changes],
            "body_digests": [change.found.body_digest for change in changes],
            "revisions": [change.revision for change in changes],
            "moments": [change.observed_at for change in changes],
        },
    )


async def store_doubt(connection: AsyncConnection, changes: Sequence[ChangedList]) -> None:
    """These lists may have been published and may be outdated: whatever the next poll finds is published again."""
    if not changes:
        return
    await connection.execute(
        _DOUBT,
        {"ids": [change.product_id for change in changes], "revisions": [change.revision for change in changes]},
    )


async def register_again(connection: AsyncConnection, ids: Sequence[UUID]) -> int:
    """Make registered products pending that the Offers microservice does not know; returns how many."""
    if not ids:
        return 0
    return (await connection.execute(_RENEW, {"ids": ids, "at_most_each": RENEWAL_SECONDS})).rowcount
