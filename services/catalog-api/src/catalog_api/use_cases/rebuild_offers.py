"""Makes the offers read model, and the registrations, from the log: what is missing, or all of it anew."""

from typing import Final

from aggregator_contracts import OffersUpdated, ProductRegistered, ProductRegistrationFailed
from catalog_api.db import offers
from catalog_api.db.database import Database
from catalog_api.use_cases.apply_offers import ApplyOffers
from catalog_api.use_cases.apply_registration import ApplyRegistration
from event_bus import Handlers, OpenLog, Replayed, must_reach_back, replay


class RebuildOffers:
    """Replays the log into the database, to which nobody else may apply events meanwhile. Idempotent.

    Which products there are is the catalog's own to say: events about others are ignored.
    """

    def __init__(self, database: Database) -> None:
        register = ApplyRegistration(database)
        self._database = database
        self._handlers: Final[Handlers] = {
            OffersUpdated: ApplyOffers(database),
            ProductRegistered: register,
            ProductRegistrationFailed: register,
        }

    async def __call__(self, log: OpenLog, *, afresh: bool, force: bool) -> Replayed:
        """Apply what is newer than what is there; or, `afresh`, forget all offers first.

        Raises:
            LogTooShortError: the log does not reach back to the oldest offer, and it is not forced.
            DatabaseUnavailableError, ConnectionError, OffsetError: call it again, and then without forgetting.
        """
        if afresh:
            async with self._database.transaction() as connection:
                oldest = None if force else await offers.oldest(connection)
            await must_reach_back(log, oldest)
            async with self._database.transaction() as connection:
                await offers.forget_all(connection)
        return await replay(log, self._handlers)
