"""`offers-sync rebuild-products`: says what it does in the log, and why it does not in one line."""

import structlog

from event_bus import Replayed, rebuild_command
from offers_sync import bootstrap
from offers_sync.db.engine import DatabaseUnavailableError
from offers_sync.settings import RebuildSettings

_log = structlog.get_logger()


async def rebuild_products(settings: RebuildSettings, *, force: bool) -> None:
    """Take in what the log has; raises typer.Exit when that is refused, broken off or stopped."""
    rebuild, event_log, engine = bootstrap.products_rebuild(settings)

    async def main() -> Replayed:
        try:
            async with event_log.open() as log:
                return await rebuild(log, force=force)
        finally:
            await engine.dispose()

    replayed = await rebuild_command("offers-sync", rebuild, main(), unavailable=DatabaseUnavailableError)
    extent = replayed.extent
    _log.info(
        "products_rebuilt",
        offsets=None if extent is None else [extent.first, extent.last],
        events=replayed.handled,
        unreadable=replayed.unreadable,
    )
