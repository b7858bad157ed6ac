"""`catalog-api rebuild-offers`: says what it does in the log, and why it does not in one line."""

from typing import NoReturn

import structlog
import typer

from catalog_api import bootstrap
from catalog_api.domain.errors import BeingWrittenError, DatabaseUnavailableError
from catalog_api.settings import RebuildSettings
from event_bus import LogTooShortError, OffsetError

_log = structlog.get_logger()


async def rebuild_offers(settings: RebuildSettings, *, afresh: bool, force: bool) -> None:
    """Apply what the log has; raises typer.Exit with 1 when that is refused or broken off."""
    rebuild, event_log, database = bootstrap.offers_rebuild(settings)
    try:
        async with database, event_log.open() as log:
            replayed = await rebuild(log, afresh=afresh, force=force)
    except BeingWrittenError:
        _fail("a `catalog-api work`, or another rebuild, applies events to this database: stop it first")
    except LogTooShortError as error:
        _fail(f"refused, as this would lose offers (--force does it): {error}")
    except (DatabaseUnavailableError, ConnectionError, OffsetError) as error:
        _fail(f"not done, do it again (without --afresh): {error}")
    extent = replayed.extent
    _log.info(
        "offers_rebuilt",
        offsets=None if extent is None else [extent.first, extent.last],
        events=replayed.handled,
        unreadable=replayed.unreadable,
    )


def _fail(reason: str) -> NoReturn:
    typer.echo(f"catalog-api: {reason}", err=True)
    raise typer.Exit(1)
