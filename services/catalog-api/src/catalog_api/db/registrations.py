"""Whether the Offers MS knows a product, as offers-sync tells."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog_api.domain.product import Registration

# In the order of ids, so that two transactions that share products wait for each other instead of deadlocking.
_SET: Final = sa.text(
    """
    WITH locked AS (
        SELECT id FROM products WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE products SET registration = outcome.registration, registration_changed_at = outcome.at
    FROM locked JOIN unnest(CAST(:ids AS uuid[]), CAST(:registrations AS text[]), CAST(:moments AS timestamptz[]))
        AS outcome (id, registration, at) USING (id)
    WHERE products.id = locked.id
        AND (products.registration_changed_at IS NULL OR products.registration_changed_at < outcome.at)
    """
)


async def set_registrations(connection: AsyncConnection, outcomes: Mapping[UUID, tuple[Registration, datetime]]) -> int:
    """Store what events of these times say of these products, unless a later one was stored; returns of how many."""
    result = await connection.execute(
        _SET,
        {
            "ids": list(outcomes),
            "registrations": [registration.value for registration, _ in outcomes.values()],
            "moments": [at for _, at in outcomes.values()],
        },
    )
    return result.rowcount
