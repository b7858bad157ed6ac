"""`offers-sync work`."""

import gc
from typing import Final

from lifecycle import run_worker
from offers_sync import bootstrap
from offers_sync.settings import WorkSettings

GARBAGE_THRESHOLDS: Final = (50_000, 20, 100)
"""Objects between two collections: a poll makes some dozens, hardly any of them in cycles."""


async def work(settings: WorkSettings) -> None:
    """Register and poll until asked to stop."""
    async with bootstrap.worker(settings) as worker:
        # What was imported stays for ever: looking through it again and again would cost a tenth of all CPU.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GARBAGE_THRESHOLDS)
        await run_worker(
            worker.loops,
            readiness=worker.readiness,
            health_port=settings.health_port,
            health_host=settings.health_host,
        )
