"""Measures what no single event tells: how many products are in which status, and whether calls flow."""

import asyncio
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from lifecycle import wait_for_any
from offers_sync import metrics
from offers_sync.db.engine import DatabaseUnavailableError, transaction
from offers_sync.db.products import count_by_status
from offers_sync.domain.call_gate import STATES, CallGate

STATE_SECONDS: Final = 1.0
COUNT_EACH: Final = 15
STATUSES: Final = ("pending", "registered", "failed", "deleted")


@dataclass(frozen=True, slots=True)
class Observe:
    """Sets gauges."""

    engine: AsyncEngine
    gate: CallGate

    async def run(self, stopping: asyncio.Event) -> None:
        """A loop for `run_worker`."""
        turn = 0
        while not stopping.is_set():
            for state in STATES:
                metrics.gate_state.labels(state).set(self.gate.state == state)
            metrics.token_rejected.set(self.gate.state == "token_rejected")
            if turn % COUNT_EACH == 0:
                await self._count()
            turn += 1
            await wait_for_any(stopping, seconds=STATE_SECONDS)

    async def _count(self) -> None:
        try:
            async with transaction(self.engine) as connection:
                counts = await count_by_status(connection)
        except DatabaseUnavailableError:
            return
        for status in STATUSES:
            metrics.products.labels(status).set(counts.get(status, 0))
