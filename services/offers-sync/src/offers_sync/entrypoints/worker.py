"""`offers-sync work`."""

from lifecycle import run_worker
from offers_sync import bootstrap
from offers_sync.db.engine import DatabaseUnavailableError
from offers_sync.settings import WorkSettings
from outbox import UnmigratedError


async def work(settings: WorkSettings) -> None:
    """Register and poll until asked to stop."""
    async with bootstrap.worker(settings) as worker:
        await run_worker(
            worker.loops,
            readiness=worker.readiness,
            transient=(DatabaseUnavailableError, UnmigratedError),
            health_port=settings.health_port,
            health_host=settings.health_host,
        )
