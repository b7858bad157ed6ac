"""`catalog-api rebuild-offers`: says what it does in the log, and why it does not in one line."""

import structlog

from catalog_api import bootstrap
from catalog_api.domain.errors import BeingWrittenError, DatabaseUnavailableError
from catalog_api.settings import RebuildSettings
from event_bus import Replayed, rebuild_command

_log = structlog.get_logger()


async def rebuild_offers(settings: RebuildSettings, *, afresh: bool, force: bool) -> None:
    """Apply what the log has; raises typer.Exit when that is refused, broken off or stopped."""
    rebuild, event_log, database = bootstrap.offers_rebuild(settings, afresh=afresh)

    async def main() -> Replayed:
        async with database, event_log.open() as log:
            return await rebuild(log, force=force)

    replayed = await rebuild_command(
        "catalog-api", rebuild, main(), unavailable=DatabaseUnavailableError, being_written=(BeingWrittenError,)
    )
    extent = replayed.extent
    _log.info(
        "offers_rebuilt",
        offsets=None if extent is None else [extent.first, extent.last],
        events=replayed.handled,
        unreadable=replayed.unreadable,
    )
