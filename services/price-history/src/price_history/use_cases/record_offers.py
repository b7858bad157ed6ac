"""Records the offers that were observed together: one transaction for all of a message's products."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple, TypeAlias
from uuid import UUID

from event_bus import OutgoingEvent, ReceivedOffersUpdated
from price_history.db.engine import Database
from price_history.db.recording import OvertakenError, add_products, lock_products, store
from price_history.db.snapshots import Snapshots
from price_history.domain.recording import KnownProduct, ObservedList, Recorded, record

EventsOf: TypeAlias = Callable[[Iterable[Recorded]], Sequence[OutgoingEvent]]


def observed_lists(event: ReceivedOffersUpdated) -> dict[UUID, ObservedList]:
    """What an event tells of each product."""
    return {
        update.product_id: ObservedList(
            update.revision,
            update.observed_at,
            (
                tuple([offer.id for offer in update.offers]),
                tuple([offer.price for offer in update.offers]),
                tuple([offer.items_in_stock for offer in update.offers]),
            ),
        )
        for update in event.data.updates
    }


def _by_number(item: tuple[UUID, ObservedList]) -> int:
    """Orders ids as the database does."""
    return item[0].int


class RecordingResult(NamedTuple):
    """How many lists were taken and ignored, how many changes stored, and when the first of these was observed.

    `best_price_changes` counts the products whose best price is another now.
    """

    applied: int
    stale: int
    changes: int
    best_price_changes: int
    observed_first: datetime | None


class RecordOffers:
    """Stores what changed. Repeated and late lists are ignored by revision, so it may be called again at any time.

    Args:
        database: where history is.
        snapshots: what is known of products without asking it.
        events_of: what is to be published of lists, by the outbox, if they are stored; with None nothing is derived
            from them at all.
    """

    def __init__(self, database: Database, snapshots: Snapshots, events_of: EventsOf | None) -> None:
        self._database = database
        self._snapshots = snapshots
        self._events_of = events_of

    async def __call__(self, observed: Mapping[UUID, ObservedList]) -> RecordingResult:
        """Record each product's list.

        Raises:
            DatabaseUnavailableError: call again later; what was stored is then ignored.
        """
        by_id = sorted(observed.items(), key=_by_number)
        ids, lists = [product_id for product_id, _ in by_id], [listed for _, listed in by_id]
        try:
            recorded = await self._record_known(ids, lists)
            while recorded is None:
                recorded = await self._record_locked(ids, lists)
        except BaseException:
            # Whether it was committed is not always known.
            self._snapshots.clear()
            raise
        changed = [result for result in recorded if result.row is not None]
        return RecordingResult(
            applied=len(recorded),
            stale=len(ids) - len(recorded),
            changes=sum(len(result.row.changes) for result in changed if result.row is not None),
            best_price_changes=sum(result.derived is not None for result in changed),
            observed_first=min(
                (result.product.observed_at for result in changed if result.product.observed_at is not None),
                default=None,
            ),
        )

    async def _record_known(self, ids: Sequence[UUID], lists: Sequence[ObservedList]) -> list[Recorded] | None:
        """What was recorded of products as this process knows them; None when it does not, or not any more."""
        products = self._snapshots.of(ids)
        if products is None:
            return None
        recorded = self._recorded(products, lists)
        if recorded:
            try:
                async with self._database.transaction() as connection:
                    await store(connection, recorded, self._told(recorded))
            except OvertakenError:
                return None
            self._snapshots.put(result.product for result in recorded)
        return recorded

    async def _record_locked(self, ids: Sequence[UUID], lists: Sequence[ObservedList]) -> list[Recorded] | None:
        """What was recorded of products as they are stored, or None when one had no row: it has now."""
        async with self._database.transaction() as connection:
            products = await lock_products(connection, ids)
            recorded = self._recorded(products, lists) if len(products) == len(ids) else None
            if recorded:
                await store(connection, recorded, self._told(recorded))
        if recorded is not None:
            self._snapshots.put(products)
            self._snapshots.put(result.product for result in recorded)
            return recorded
        # In a transaction of its own: taking locks and making rows in one could wait in a circle with another.
        async with self._database.transaction() as connection:
            await add_products(connection, ids)
        return None

    def _recorded(self, products: Iterable[KnownProduct], lists: Iterable[ObservedList]) -> list[Recorded]:
        results = map(partial(record, deriving=self._events_of is not None), products, lists)
        return [result for result in results if result is not None]

    def _told(self, recorded: Iterable[Recorded]) -> Sequence[OutgoingEvent]:
        return () if self._events_of is None else self._events_of(recorded)
