"""Keeps each product's registration as offers-sync tells it."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from aggregator_contracts import ProductRegistered, ProductRegistrationFailed
from catalog_api.db.database import Database
from catalog_api.db.registrations import set_registrations
from catalog_api.domain.product import Registration
from event_bus import Together


class ApplyRegistration:
    """Handles `ProductRegistered` and `ProductRegistrationFailed`: the messages that wait in one statement.

    Duplicate messages: an event that is not later than the one that was applied last is ignored, so this is idempotent.

    Attributes:
        applied: outcomes that were later, since the start.
    """

    def __init__(self, database: Database) -> None:
        self.applied = 0
        self._database = database
        self._together = Together(self._apply)

    async def __call__(self, event: ProductRegistered | ProductRegistrationFailed) -> None:
        """Store the outcome; products that are not in the catalog are ignored."""
        outcome = Registration.REGISTERED if isinstance(event, ProductRegistered) else Registration.FAILED
        await self._together({event.data.product_id: (outcome, event.time)})

    async def _apply(self, outcomes: Mapping[UUID, tuple[Registration, datetime]]) -> None:
        async with self._database.transaction() as connection:
            applied = await set_registrations(connection, outcomes)
        self.applied += applied
