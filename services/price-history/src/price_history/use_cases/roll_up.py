"""Keeps the rollups: makes them as history grows, and all of them anew."""

import asyncio
from time import monotonic
from typing import Final

import structlog

from lifecycle import wait_for_any
from price_history import metrics
from price_history.db.engine import Database
from price_history.db.rolling import is_our_turn, queue_everything, queue_length, roll_up, take_turn

AT_ONCE: Final = 20
"""Blocks in one transaction: some ten milliseconds of work, which the process's other work waits for."""
IDLE_SECONDS: Final = 5.0
MEASURE_SECONDS: Final = 15.0

_log = structlog.get_logger()


class RollUp:
    """Makes the blocks that are queued. Safe in any number of copies: one works, the others wait."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._measure_at = 0.0

    async def step(self) -> int:
        """Make a few blocks; returns how many were waiting, 0 when none or when another process is at it.

        Raises:
            DatabaseUnavailableError: do it again later.
        """
        async with self._database.transaction() as connection:
            return await roll_up(connection, AT_ONCE) if await is_our_turn(connection) else 0

    async def finish(self) -> int:
        """Roll up everything that waits, in turn with other processes; returns how much was there.

        Raises:
            DatabaseUnavailableError: do it again later; what was made stays.
        """
        rolled = 0
        while True:
            async with self._database.transaction() as connection:
                await take_turn(connection)
                waiting = await roll_up(connection, AT_ONCE)
            if not waiting:
                return rolled
            rolled += waiting

    async def anew(self) -> int:
        """Forget the blocks of all changes that are kept, and queue them; returns how many there are.

        Until they are rolled up again, trends are read from the changes, so it may be done at any time.

        Raises:
            DatabaseUnavailableError: nothing was done.
        """
        async with self._database.transaction() as connection:
            return await queue_everything(connection)

    async def run(self, stopping: asyncio.Event) -> None:
        """A worker's loop."""
        while not stopping.is_set():
            waiting = await self.step()
            await self._measure()
            if not waiting:
                await wait_for_any(stopping, seconds=IDLE_SECONDS)

    async def _measure(self) -> None:
        if monotonic() < self._measure_at:
            return
        async with self._database.reading() as connection:
            metrics.rollup_queue.set(await queue_length(connection))
        self._measure_at = monotonic() + MEASURE_SECONDS
