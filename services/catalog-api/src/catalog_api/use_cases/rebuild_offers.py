"""Makes the offers read model, and the registrations, from the log: what is missing, or all of it anew."""

from aggregator_contracts import OffersUpdated, ProductRegistered, ProductRegistrationFailed
from catalog_api.db import offers
from catalog_api.db.database import Database
from catalog_api.use_cases.apply_offers import ApplyOffers
from catalog_api.use_cases.apply_registration import ApplyRegistration
from event_bus import Handlers, Kept, Rebuild


def rebuild_offers(database: Database, *, afresh: bool) -> Rebuild:
    """Replays the log into the database, to which nobody else may apply events meanwhile.

    Which products there are is the catalog's own to say: events about others are ignored. `afresh` forgets all offers
    first. Raises DatabaseUnavailableError, too.
    """

    async def kept() -> Kept | None:
        async with database.transaction() as connection:
            span = await offers.span(connection)
        return None if span is None else Kept(*span)

    async def forget() -> None:
        async with database.transaction() as connection:
            await offers.forget_all(connection)

    register = ApplyRegistration(database)
    handlers: Handlers = {
        OffersUpdated: ApplyOffers(database),
        ProductRegistered: register,
        ProductRegistrationFailed: register,
    }
    return Rebuild(handlers, kept, forget if afresh else None)
