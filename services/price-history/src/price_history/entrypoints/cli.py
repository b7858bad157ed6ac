"""The console script `price-history`."""

import psycopg2
import structlog
import typer

from event_bus import parked_commands
from lifecycle import configure_logging, load_settings, run, serve_http
from price_history.bootstrap import first_partitions, http_app
from price_history.bootstrap import rebuild as rebuild_rollups
from price_history.bootstrap import work as work_until_stopped
from price_history.db.migrate import migrate as migrate_database
from price_history.settings import MigrateSettings, ServeSettings, WorkSettings
from schema_migration import OtherDatabaseError

app = typer.Typer(help="Keeps the history of every price and computes trends.", no_args_is_help=True)

_log = structlog.get_logger()

app.add_typer(parked_commands("price-history"), name="parked")


@app.command()
def serve() -> None:
    """Serve the HTTP API."""
    settings = load_settings(ServeSettings)
    configure_logging(settings)
    serve_http(http_app(settings), settings.host, settings.port, send_seconds=settings.http_send_seconds)


@app.command()
def work() -> None:
    """Follow offers and products, and keep the partitions."""
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
    except OtherDatabaseError as error:
        _log.error("another_database", reason=str(error))
        raise typer.Exit(1) from None
    run(first_partitions(settings))


@app.command()
def rebuild() -> None:
    """Make all rollups anew from the single changes; may be interrupted, and run while `work` does."""
    settings = load_settings(MigrateSettings)
    configure_logging(settings)
    run(rebuild_rollups(settings))
