"""`catalog-api rebuild-offers`: says what it does in the log, and why it does not in one line."""

import structlog

from catalog_api import bootstrap
from catalog_api.domain.errors import BeingWrittenError, DatabaseUnavailableError
from catalog_api.settings import RebuildSettings
from catalog_api.use_cases.rebuild_offers import OffersReplayed
from event_bus import rebuild_command

_log = structlog.get_logger()


async def rebuild_offers(settings: RebuildSettings, *, afresh: bool, force: bool) -> None:
    """Apply what the log has; raises typer.Exit when that is refused, broken off or stopped."""
    replay, event_log, database = bootstrap.offers_rebuild(settings, afresh=afresh)

    async def main() -> OffersReplayed:
        async with database, event_log.open() as log:
            return await replay(log, force=force)

    result = await rebuild_command(
        "catalog-api", replay.rebuild, main(), unavailable=DatabaseUnavailableError, being_written=(BeingWrittenError,)
    )
    extent = result.replayed.extent
    _log.info(
        "offers_rebuilt",
        offsets=None if extent is None else [extent.first, extent.last],
        events=result.replayed.handled,
        unreadable=result.replayed.unreadable,
        lists=result.lists,
        lists_known_already=result.stale,
        registrations=result.registrations,
    )
