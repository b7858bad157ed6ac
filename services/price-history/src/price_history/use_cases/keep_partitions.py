"""Keeps the partitions of history: made before they are needed, dropped when all in them is old enough."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from lifecycle import wait_for_any
from price_history import metrics
from price_history.db.engine import Database
from price_history.db.partitions import (
    add_month,
    drop_month,
    existing_months,
    forget_before,
    has_strays_before,
    hold_still,
    last_product_no,
    stray_months,
    take_turn,
)
from price_history.db.rolling import is_queued_before, queue_before
from price_history.domain.months import month_of, months_from, oldest_kept
from price_history.use_cases.roll_up import RollUp

MONTHS_AHEAD: Final = 2
STRAY_MONTHS_AHEAD: Final = 12
"""Rows later than this stay in the default partition: they come of a clock that is wrong."""
INTERVAL_SECONDS: Final = 600.0
QUEUED_AT_ONCE: Final = 1_000
"""Products in one transaction."""

_log = structlog.get_logger()


class KeepPartitions:
    """Makes partitions ahead, and drops those wholly older than `retention`.

    Idempotent, and safe in any number of copies.
    """

    def __init__(self, database: Database, roll_up: RollUp, retention: timedelta, now: Callable[[], datetime]) -> None:
        self._database = database
        self._roll_up = roll_up
        self._retention = retention
        self._now = now

    async def make(self) -> None:
        """Make the partitions of this month and the next two, and those of months that lie in the default one.

        Raises:
            DatabaseUnavailableError: do it again later.
        """
        now = month_of(self._now())
        async with self._database.reading() as connection:
            # What is older than the retention is about to be forgotten where it lies.
            oldest = oldest_kept(self._now(), self._retention)
            strays = await stray_months(connection, oldest, months_from(now, 1 + STRAY_MONTHS_AHEAD)[-1])
            missing = {*months_from(now, 1 + MONTHS_AHEAD), *strays} - await existing_months(connection)
        for month in sorted(missing):
            async with self._database.transaction() as connection:
                await take_turn(connection)
                if month not in await existing_months(connection):
                    await add_month(connection, month)
                    _log.info("partition_added", month=month.begins.date().isoformat())

    async def drop(self) -> None:
        """Drop what is older than the retention, once it is rolled up.

        A chunk that reaches into what is kept stays whole, and so does a product's head.

        Raises:
            DatabaseUnavailableError: do it again later.
        """
        now = self._now()
        oldest = oldest_kept(now, self._retention)
        boundary = oldest.begins
        async with self._database.reading() as connection:
            months = await existing_months(connection)
            metrics.oldest_partition.set((now - min(months, default=oldest).begins).total_seconds())
            expired = sorted(month for month in months if month < oldest)
            if not expired and not await has_strays_before(connection, boundary):
                return
            last = await last_product_no(connection)
        for after in range(0, last, QUEUED_AT_ONCE):
            async with self._database.transaction() as connection:
                await queue_before(connection, boundary, after, after + QUEUED_AT_ONCE)
        await self._roll_up.finish()
        async with self._database.transaction() as connection:
            await take_turn(connection)
            # Another copy may have dropped some of them meanwhile.
            expired = sorted(await existing_months(connection) & set(expired))
            await hold_still(connection, expired)
            if await is_queued_before(connection, boundary):
                return  # closed just now, of a product that had not changed for so long: next time
            for month in expired:
                await drop_month(connection, month)
            await forget_before(connection, boundary)
        _log.info("history_forgotten", before=boundary.date().isoformat(), partitions=len(expired))

    async def run(self, stopping: asyncio.Event) -> None:
        """A worker's loop: at once, and every ten minutes."""
        while not stopping.is_set():
            await self.make()
            await self.drop()
            await wait_for_any(stopping, seconds=INTERVAL_SECONDS)
