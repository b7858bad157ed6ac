"""The console script `price-history`."""

from typing import Annotated, NoReturn

import psycopg2
import structlog
import typer

from event_bus import parked_commands
from lifecycle import configure_logging, load_settings, run, serve_http
from price_history.bootstrap import first_partitions, http_app
from price_history.bootstrap import rebuild as rebuild_rollups
from price_history.bootstrap import work as work_until_stopped
from price_history.db.migrate import MIGRATIONS
from price_history.db.migrate import migrate as migrate_database
from price_history.entrypoints.rebuilding import rebuild_from_log
from price_history.settings import MigrateSettings, RecordSettings, ServeSettings, WorkSettings
from schema_migration import DatabaseRefusedError, require_own_database

app = typer.Typer(
    help="Keeps the history of every price and computes trends.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_log = structlog.get_logger()

FromLog = Annotated[bool, typer.Option("--from-log", help="Record what the log of events has; not while `work` runs.")]
Afresh = Annotated[bool, typer.Option("--afresh", help="With --from-log: forget everything first.")]
Force = Annotated[bool, typer.Option("--force", help="With --from-log: though something will be missing.")]

app.add_typer(parked_commands("price-history"), name="parked")


@app.command()
def serve() -> None:
    """Serve the HTTP API."""
    settings = load_settings(ServeSettings)
    configure_logging(settings)
    serve_http(http_app(settings), settings.host, settings.port, send_seconds=settings.http_send_seconds)


@app.command()
def work() -> None:
    """Follow offers and products, tell what they mean for prices, and keep the partitions."""
    settings = load_settings(WorkSettings)
    configure_logging(settings)
    run(work_until_stopped(settings))


@app.command()
def migrate() -> None:
    """Bring the database's tables up to this version."""
    settings = load_settings(MigrateSettings)
    configure_logging(settings)
    try:
        migrate_database(settings.database_url)
    except psycopg2.OperationalError as error:
        _log.error("database_unavailable", error=type(error).__name__)
        raise typer.Exit(1) from None
    except DatabaseRefusedError as error:
        _refuse(error)
    run(first_partitions(settings))


@app.command()
def rebuild(from_log: FromLog = False, afresh: Afresh = False, force: Force = False) -> None:  # noqa: FBT002 - typer's
    """Make all rollups anew from the single changes; with --from-log, record what the log of events has.

    The first may be interrupted, and run while `work` does.

    With --from-log: add what the log has and history has not, such as after a backup was restored.
    """
    if (afresh or force) and not from_log:
        raise typer.BadParameter("--afresh and --force go with --from-log")
    settings = load_settings(RecordSettings if from_log else MigrateSettings)
    configure_logging(settings)
    try:
        require_own_database(settings.database_url, MIGRATIONS)
    except DatabaseRefusedError as error:
        _refuse(error)
    if isinstance(settings, RecordSettings):
        run(rebuild_from_log(settings, afresh=afresh, force=force))
    else:
        run(rebuild_rollups(settings))


def _refuse(error: DatabaseRefusedError) -> NoReturn:
    _log.error("database_refused", reason=str(error))
    raise typer.Exit(1)
