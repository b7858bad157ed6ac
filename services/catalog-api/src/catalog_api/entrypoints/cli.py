"""The console script `catalog-api`."""

from pathlib import Path
from typing import Annotated, NoReturn

import psycopg2
import structlog
import typer

from catalog_api import bootstrap
from catalog_api.db.migrate import MIGRATIONS
from catalog_api.db.migrate import migrate as migrate_database
from catalog_api.domain.errors import DatabaseUnavailableError
from catalog_api.entrypoints import rebuilding, tokens, worker
from catalog_api.entrypoints.importing import import_file
from catalog_api.settings import DatabaseSettings, MigrateSettings, RebuildSettings, ServeSettings, WorkSettings
from event_bus import parked_commands
from lifecycle import configure_logging, load_settings, run, serve_http
from schema_migration import DatabaseRefusedError, require_own_database

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

_log = structlog.get_logger()

FromLog = Annotated[bool, typer.Option("--from-log", help="From all that the log has; not while `work` runs.")]
Afresh = Annotated[bool, typer.Option("--afresh", help="Forget all offers first.")]
Force = Annotated[bool, typer.Option("--force", help="Though something will be missing.")]


@app.callback()
def main() -> None:
    """The product catalog: its HTTP API, its worker, its database."""


app.add_typer(parked_commands("catalog-api"), name="parked")
app.add_typer(tokens.app, name="tokens")


@app.command()
def serve() -> None:
    """Serve the HTTP API until SIGTERM."""
    settings = load_settings(ServeSettings)
    configure_logging(settings)
    app = bootstrap.http_application(settings)
    serve_http(app, settings.host, settings.port, send_seconds=settings.http_send_seconds, on_drain=app.state.on_drain)


@app.command()
def work() -> None:
    """Relay events to the broker and consume those of others until SIGTERM."""
    settings = load_settings(WorkSettings)
    configure_logging(settings)
    run(worker.work(settings))


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema, waiting up to a minute for it.

    Where access is required and there never was an admin token, one is made and printed.
    """
    settings = load_settings(MigrateSettings)
    configure_logging(settings)
    try:
        migrate_database(settings.database_url)
        if settings.api_auth == "required":
            tokens.print_first_admin_token(settings)
    except (psycopg2.OperationalError, DatabaseUnavailableError) as error:
        _log.error("database_unavailable", error=type(error).__name__)
        raise typer.Exit(1) from None
    except DatabaseRefusedError as error:
        _refuse(error)
    _log.info("database_migrated")


@app.command("rebuild-offers")
def rebuild_offers(from_log: FromLog, afresh: Afresh = False, force: Force = False) -> None:  # noqa: FBT002 - typer's
    """Apply what the log of events tells of offers and registrations, such as after a backup was restored."""
    if not from_log:
        raise typer.BadParameter("there is nothing else to make them from", param_hint="--from-log")
    settings = load_settings(RebuildSettings)
    configure_logging(settings)
    _require_own(settings)
    run(rebuilding.rebuild_offers(settings, afresh=afresh, force=force))


@app.command("import")
def import_products(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="CSV: name,description.")],
    report: Annotated[Path | None, typer.Option(help="Write the refused rows there too, as CSV.")] = None,
    from_line: Annotated[int, typer.Option(min=1, help="Leave out what begins before this line.")] = 1,
) -> None:
    """Create a product for each row of a CSV file. Exit code 1 when rows were refused."""
    settings = load_settings(DatabaseSettings)
    configure_logging(settings)
    _require_own(settings)
    code = 0

    async def main() -> None:
        nonlocal code
        products, database = bootstrap.importer(settings)
        async with database:
            if report is None:
                code = await import_file(products, file, from_line=from_line, report=None)
            else:
                with report.open("w", encoding="utf-8", newline="") as lines:
                    code = await import_file(products, file, from_line=from_line, report=lines)

    run(main())
    raise typer.Exit(code)


def _require_own(settings: DatabaseSettings) -> None:
    try:
        require_own_database(settings.database_url, MIGRATIONS)
    except DatabaseRefusedError as error:
        _refuse(error)


def _refuse(error: DatabaseRefusedError) -> NoReturn:
    _log.error("database_refused", reason=str(error))
    raise typer.Exit(1)
