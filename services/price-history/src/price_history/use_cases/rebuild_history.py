"""Makes history from the log: catches up with what is missing, or makes all of it anew."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from aggregator_contracts import OffersUpdated, ProductCreated, ProductDeleted
from event_bus import Handlers, Kept, OpenLog, Rebuild, ReceivedOffersUpdated, Replayed, Together
from price_history.db.engine import Database
from price_history.db.forgetting import forget_everything, span
from price_history.db.recording import add_products
from price_history.domain.recording import ObservedList
from price_history.use_cases.known_products import DeleteProduct
from price_history.use_cases.record_offers import RecordOffers, observed_lists
from price_history.use_cases.roll_up import RollUp


@dataclass(frozen=True, slots=True)
class HistoryReplayed:
    """What became of the events: lists of offers applied and ignored as not newer, changes, products, blocks made.

    Products are counted that were not known, or not known to be deleted.
    """

    replayed: Replayed
    lists: int
    stale: int
    changes: int
    created: int
    deleted: int
    rolled_up: int


class ReplayEvents:
    """Records events in the log's order. Idempotent, as the use cases are that record them when they are consumed."""

    def __init__(self, database: Database, record_offers: RecordOffers) -> None:
        self.handlers: Handlers = {
            OffersUpdated: self._observe,
            ProductCreated: self._create,
            ProductDeleted: self._delete,
        }
        self.lists = self.stale = self.changes = self.created = self.deleted = 0
        self._database = database
        self._record_offers = record_offers
        self._delete_product = DeleteProduct(database)
        self._record_together = Together(self._record)
        self._add_together = Together(self._add)

    async def _observe(self, event: ReceivedOffersUpdated) -> None:
        await self._record_together(observed_lists(event))

    async def _create(self, event: ProductCreated) -> None:
        await self._add_together({event.data.product_id: event.time})

    async def _delete(self, event: ProductDeleted) -> None:
        deleted = await self._delete_product(event.data.product_id, event.time)
        self.deleted += deleted

    async def _record(self, observed: Mapping[UUID, ObservedList]) -> None:
        result = await self._record_offers(observed)
        self.lists += result.applied
        self.stale += result.stale
        self.changes += result.changes

    async def _add(self, products: Mapping[UUID, datetime]) -> None:
        async with self._database.transaction() as connection:
            created = await add_products(connection, list(products))
        self.created += created


class RebuildHistory:
    """Replays the log into the database, which nobody else may record into meanwhile, and rolls up what is new.

    Args:
        database: where history is.
        events: records them.
        roll_up: for what they leave to be done.
        afresh: everything is forgotten first.

    Attributes:
        rebuild: knows what was done.
    """

    def __init__(self, database: Database, events: ReplayEvents, roll_up: RollUp, *, afresh: bool) -> None:
        self.rebuild = Rebuild(events.handlers, self._kept, self._forget if afresh else None)
        self._database = database
        self._events = events
        self._roll_up = roll_up

    async def __call__(self, log: OpenLog, *, force: bool) -> HistoryReplayed:
        """Add what is newer than what is there; interrupted, it may be called again, and then without forgetting.

        Raises:
            LogTooShortError, ConnectionError, OffsetError: as `Rebuild` does.
            DatabaseUnavailableError: call it again.
        """
        events = self._events
        replayed = await self.rebuild(log, force=force)
        rolled_up = await self._roll_up.finish()
        return HistoryReplayed(
            replayed, events.lists, events.stale, events.changes, events.created, events.deleted, rolled_up
        )

    async def _kept(self) -> Kept | None:
        async with self._database.transaction() as connection:
            found = await span(connection)
        return None if found is None else Kept(*found)

    async def _forget(self) -> None:
        async with self._database.transaction() as connection:
            await forget_everything(connection)
