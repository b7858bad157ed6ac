"""Makes the offers read model, and the registrations, from the log: what is missing, or all of it anew."""

from dataclasses import dataclass

from aggregator_contracts import OffersUpdated, ProductRegistered, ProductRegistrationFailed
from catalog_api.db import offers
from catalog_api.db.database import Database
from catalog_api.use_cases.apply_offers import ApplyOffers
from catalog_api.use_cases.apply_registration import ApplyRegistration
from event_bus import Kept, OpenLog, Rebuild, Replayed


@dataclass(frozen=True, slots=True)
class OffersReplayed:
    """What became of the events: lists of offers applied and ignored as not newer, registrations applied."""

    replayed: Replayed
    lists: int
    stale: int
    registrations: int


class RebuildOffers:
    """Replays the log into the database, to which nobody else may apply events meanwhile.

    Which products there are is the catalog's own to say: events about others are ignored.

    Args:
        database: where the offers are.
        afresh: all offers are forgotten first.

    Attributes:
        rebuild: knows what was done.
    """

    def __init__(self, database: Database, *, afresh: bool) -> None:
        self._database = database
        self._offers, self._registrations = ApplyOffers(database), ApplyRegistration(database)
        self.rebuild = Rebuild(
            {
                OffersUpdated: self._offers,
                ProductRegistered: self._registrations,
                ProductRegistrationFailed: self._registrations,
            },
            self._kept,
            self._forget if afresh else None,
        )

    async def __call__(self, log: OpenLog, *, force: bool) -> OffersReplayed:
        """Apply what is newer than what is there; interrupted, it may be called again, and then without forgetting.

        Raises:
            LogTooShortError, ConnectionError, OffsetError: as `Rebuild` does.
            DatabaseUnavailableError: call it again.
        """
        replayed = await self.rebuild(log, force=force)
        return OffersReplayed(replayed, self._offers.applied, self._offers.stale, self._registrations.applied)

    async def _kept(self) -> Kept | None:
        async with self._database.transaction() as connection:
            span = await offers.span(connection)
        return None if span is None else Kept(*span)

    async def _forget(self) -> None:
        async with self._database.transaction() as connection:
            await offers.forget_all(connection)
