"""Keeps each product's registration as offers-sync tells it."""

from dataclasses import dataclass

from aggregator_contracts import ProductRegistered, ProductRegistrationFailed
from catalog_api.db.database import Database
from catalog_api.db.registrations import set_registration
from catalog_api.domain.product import Registration


@dataclass(frozen=True, slots=True)
class ApplyRegistration:
    """Handles `ProductRegistered` and `ProductRegistrationFailed`.

    Duplicate messages: an event that is not later than the one that was applied last is ignored, so this is idempotent.
    """

    database: Database

    async def __call__(self, event: ProductRegistered | ProductRegistrationFailed) -> None:
        """Store the outcome; products that are not in the catalog are ignored."""
        outcome = Registration.REGISTERED if isinstance(event, ProductRegistered) else Registration.FAILED
        async with self.database.transaction() as connection:
            await set_registration(connection, event.data.product_id, outcome, event.time)
