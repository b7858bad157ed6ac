"""`price-history rebuild --from-log`: says what it does in the log, and why it does not in one line."""

import structlog

from event_bus import rebuild_command
from price_history.bootstrap import history_rebuild
from price_history.db.engine import BeingWrittenError, DatabaseUnavailableError
from price_history.settings import RecordSettings
from price_history.use_cases.rebuild_history import HistoryReplayed

_log = structlog.get_logger()


async def rebuild_from_log(settings: RecordSettings, *, afresh: bool, force: bool) -> None:
    """Record what the log has; raises typer.Exit when that is refused, broken off or stopped."""
    rebuild_history, event_log, database = history_rebuild(settings, afresh=afresh)

    async def main() -> HistoryReplayed:
        try:
            async with event_log.open() as log:
                return await rebuild_history(log, force=force)
        finally:
            await database.close()

    result = await rebuild_command(
        "price-history",
        rebuild_history.rebuild,
        main(),
        unavailable=DatabaseUnavailableError,
        being_written=(BeingWrittenError,),
    )
    extent = result.replayed.extent
    _log.info(
        "history_rebuilt",
        offsets=None if extent is None else [extent.first, extent.last],
        events=result.replayed.handled,
        unreadable=result.replayed.unreadable,
        lists=result.lists,
        lists_known_already=result.stale,
        changes=result.changes,
        products_created=result.created,
        products_deleted=result.deleted,
        blocks_rolled_up=result.rolled_up,
    )
