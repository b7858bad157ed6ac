"""Records the offers that were observed together: one transaction for all of a message's products."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from price_history.db.engine import Database
from price_history.db.recording import add_products, lock_products, store
from price_history.domain.recording import ObservedList, Recorded, record


class RecordingResult(NamedTuple):
    """How many lists were taken and ignored, how many changes stored, and when the observations were made."""

    applied: int
    stale: int
    changes: int
    observed_at: Sequence[datetime]


class RecordOffers:
    """Stores what changed. Repeated and late lists are ignored by revision, so it may be called again at any time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, observed: Mapping[UUID, ObservedList]) -> RecordingResult:
        """Record each product's list.

        Raises:
            DatabaseUnavailableError: call again later; what was stored is then ignored.
        """
        ids = sorted(observed)
        recorded = await self._record(ids, observed)
        while recorded is None:
            # In a transaction of its own: taking locks and making rows in one could wait in a circle with another.
            async with self._database.transaction() as connection:
                await add_products(connection, ids)
            recorded = await self._record(ids, observed)
        return RecordingResult(
            applied=len(recorded),
            stale=len(ids) - len(recorded),
            changes=sum(len(row.changes) for _, row, _ in recorded if row is not None),
            observed_at=[known.observed_at for known, row, _ in recorded if row is not None and known.observed_at],
        )

    async def _record(self, ids: Sequence[UUID], observed: Mapping[UUID, ObservedList]) -> list[Recorded] | None:
        """What was recorded, or None when a product has no row yet."""
        async with self._database.transaction() as connection:
            products = await lock_products(connection, ids)
            if len(products) < len(ids):
                return None
            recorded = [
                result for product in products if (result := record(product, observed[product.product_id])) is not None
            ]
            if recorded:
                await store(connection, recorded)
            return recorded
