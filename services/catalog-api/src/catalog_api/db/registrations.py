"""Whether the Offers MS knows a product, as offers-sync tells."""

from datetime import datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog_api.domain.product import Registration

_SET: Final = sa.text(
    """
    UPDATE products SET registration = :registration, registration_changed_at = :at
    WHERE id = :id AND (registration_changed_at IS NULL OR registration_changed_at < :at)
    """
)


async def set_registration(
    connection: AsyncConnection, product_id: UUID, registration: Registration, at: datetime
) -> bool:
    """Store what an event of time `at` says, unless a later one was stored; whether it was stored."""
    result = await connection.execute(_SET, {"id": product_id, "registration": registration.value, "at": at})
    return result.rowcount == 1
