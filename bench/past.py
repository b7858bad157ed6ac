"""A long past for price history, made in minutes: the service's own recording, without a message for each list.

What is stored is what the service would have stored, by its own code, in the order of time: rows of products that
change at the same time lie between each other on disk, as they would.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

from bench.events import observation
from price_history.db.engine import Database, Limits
from price_history.db.partitions import add_month, existing_months
from price_history.db.recording import add_products, lock_products, store, store_changes
from price_history.db.rolling import queue_keyframes
from price_history.domain.months import month_of
from price_history.domain.recording import KnownProduct, ObservedList, Recorded, record
from price_history.use_cases.roll_up import RollUp

#: Recorded in one transaction.
CHUNK: Final = timedelta(hours=12)
MINUTE: Final = timedelta(minutes=1)
LIMITS: Final = Limits(connections=1, wait_seconds=30, statement_seconds=300)


class Past:
    """Writes into the database at `dsn` what was observed from `begins` to `ends`; nobody else may record meanwhile."""

    def __init__(self, dsn: str, begins: datetime, ends: datetime) -> None:
        self._database = Database(dsn, "bench", LIMITS, pre_ping=False)
        self._begins, self._ends = begins, ends

    async def make_partitions(self) -> None:
        """As the service would have made them, month by month."""
        async with self._database.transaction() as connection:
            there = await existing_months(connection)
            month = month_of(self._begins)
            while month.begins < self._ends:
                if month not in there:
                    await add_month(connection, month)
                month = month.following

    async def write(self, every_minute: list[UUID], now_and_then: list[UUID], times: int) -> None:
        """Products that change every minute, and products that change `times` in all, at random; rollups included."""
        random = Random(len(now_and_then))  # noqa: S311 - not a secret
        known = await self._known([*every_minute, *now_and_then])
        at, owed = self._begins, 0.0
        while at < self._ends:
            until = min(at + CHUNK, self._ends)
            minutes = int((until - at) / MINUTE)
            owed += times * ((until - at) / (self._ends - self._begins))
            count, owed = int(owed), owed % 1
            due = [(minute, product_id) for minute in range(minutes) for product_id in every_minute]
            due += [(random.randrange(minutes), random.choice(now_and_then)) for _ in range(count)]
            due.sort()
            if due:
                await self._store(list(_recorded(known, ((at + minute * MINUTE, id_) for minute, id_ in due))))
            at = until
        await RollUp(self._database).finish()

    async def close(self) -> None:
        """Disconnect."""
        await self._database.close()

    async def _known(self, ids: list[UUID]) -> dict[UUID, KnownProduct]:
        async with self._database.transaction() as connection:
            await add_products(connection, ids)
            return {product.product_id: product for product in await lock_products(connection, ids)}

    async def _store(self, recorded: list[Recorded]) -> None:
        rows = [(each.product.product_no, each.row) for each in recorded if each.row is not None]
        keyframes = [
            (each.product.product_no, each.row.at)
            for each in recorded
            if each.row is not None and each.row.state is not None and each.before.change_rows
        ]
        async with self._database.transaction() as connection:
            await store(connection, list(_from_first_to_last(recorded)))
            await store_changes(connection, rows)
            if keyframes:
                await queue_keyframes(connection, keyframes)


def _recorded(known: dict[UUID, KnownProduct], due: Iterable[tuple[datetime, UUID]]) -> Iterator[Recorded]:
    for at, product_id in due:
        product = known[product_id]
        offers = observation(product_id, product.revision + 1, at).offers
        listed = [(offer.id, offer.price, offer.items_in_stock) for offer in offers]
        recorded = record(product, ObservedList(product.revision + 1, at, listed))
        if recorded is None:
            raise RuntimeError("the past is to be written in order")
        known[product_id] = recorded.product
        yield recorded


def _from_first_to_last(recorded: list[Recorded]) -> Iterator[Recorded]:
    """What became of each product over all of it, without the rows."""
    first: dict[UUID, Recorded] = {}
    last: dict[UUID, Recorded] = {}
    for each in recorded:
        first.setdefault(each.product.product_id, each)
        last[each.product.product_id] = each
    for product_id, begun in first.items():
        # Offers appear with a product's first list, and stay.
        yield Recorded(last[product_id].product, None, begun.appeared, begun.before)
