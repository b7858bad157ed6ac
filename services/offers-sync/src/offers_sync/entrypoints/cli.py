"""The command line `offers-sync`."""

import sys
from collections.abc import Coroutine
from getpass import getpass
from typing import Annotated, Any, NoReturn

import psycopg2
import typer

from event_bus import parked_commands
from lifecycle import configure_logging, load_settings, run
from offers_sync import bootstrap
from offers_sync.db.access_tokens import SomeoneElseAsksError, StoredTokens, UnreadableTokenError
from offers_sync.db.engine import DatabaseUnavailableError, create_engine, transaction
from offers_sync.db.migrate import MIGRATIONS
from offers_sync.db.migrate import migrate as migrate_database
from offers_sync.domain.access_token import is_token, masked
from offers_sync.entrypoints import rebuilding
from offers_sync.entrypoints.worker import work as run_work
from offers_sync.settings import DatabaseSettings, OffersMsSettings, RebuildSettings, TokenSettings, WorkSettings
from offers_sync.use_cases.access_tokens import NoTokenError, account_of, store_given_token
from schema_migration import DatabaseRefusedError, require_own_database

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
token_app = typer.Typer(no_args_is_help=True, help="The access token for the Offers microservice.")
app.add_typer(token_app, name="token")

app.add_typer(parked_commands("offers-sync"), name="parked")


@app.command()
def work() -> None:
    """Register products with the Offers microservice and poll their offers."""
    settings = load_settings(WorkSettings)
    configure_logging(settings)
    run(run_work(settings))


@app.command()
def migrate() -> None:
    """Bring the database to the current schema."""
    settings = load_settings(DatabaseSettings)
    configure_logging(settings)
    try:
        migrate_database(settings.database_url)
    except psycopg2.OperationalError:
        _fail("the database does not accept connections")
    except DatabaseRefusedError as error:
        _fail(str(error))


@token_app.command("show")
def show_token(
    reveal: Annotated[bool, typer.Option("--reveal", help="Print the whole token.")] = False,  # noqa: FBT002
) -> None:
    """Print the stored access token, masked unless told otherwise."""
    settings = load_settings(TokenSettings)
    _require_own(settings)

    async def show() -> None:
        engine = create_engine(settings.database_url)
        try:
            async with transaction(engine) as connection:
                stored = await StoredTokens(settings.token_keys).read(connection, account_of(settings.refresh_token))
        finally:
            await engine.dispose()
        if stored is None:
            _fail("no token is stored")
        typer.echo(stored.value if reveal else masked(stored.value))

    _run(show())


@token_app.command("set")
def set_token(
    token: Annotated[
        str | None,
        typer.Argument(help="Read from standard input where it is - or not given: no other user sees it there."),
    ] = None,
) -> None:
    """Use TOKEN, of the same account, from now on; running workers notice within seconds."""
    settings = load_settings(TokenSettings)
    _require_own(settings)
    if token in (None, "-"):
        token = getpass("Token: ") if sys.stdin.isatty() else sys.stdin.read().strip()
    if not is_token(token):
        _fail("a token is 1 to 4096 visible ASCII characters")

    async def store() -> None:
        engine = create_engine(settings.database_url)
        try:
            stored = StoredTokens(settings.token_keys)
            await store_given_token(engine, stored, account_of(settings.refresh_token), token)
        finally:
            await engine.dispose()
        typer.echo("stored")

    _run(store())


@app.command()
def rekey() -> None:
    """Ask for a new access token and register every product again."""
    settings = load_settings(OffersMsSettings)
    if settings.offers_access_token is not None:
        _fail("OFFERS_ACCESS_TOKEN would replace the new token at the next start: unset it, for the workers too")
    _require_own(settings)

    async def start_afresh() -> None:
        async with bootstrap.rekey(settings) as rekey:
            count = await rekey()
        typer.echo(f"{count} products will be registered again")

    _run(start_afresh())


@app.command("rebuild-products")
def rebuild_products(
    from_log: Annotated[bool, typer.Option("--from-log", help="From all that the log of events has.")],
    force: Annotated[bool, typer.Option("--force", help="Though something will be missing.")] = False,  # noqa: FBT002
) -> None:
    """Take in what the log of events tells of products, and this service was not told; workers may run meanwhile."""
    if not from_log:
        raise typer.BadParameter("there is nothing else to make them from", param_hint="--from-log")
    settings = load_settings(RebuildSettings)
    configure_logging(settings)
    _require_own(settings)
    run(rebuilding.rebuild_products(settings, force=force))


def _require_own(settings: DatabaseSettings) -> None:
    try:
        require_own_database(settings.database_url, MIGRATIONS)
    except DatabaseRefusedError as error:
        _fail(str(error))


def _run(main: Coroutine[Any, Any, None]) -> None:
    try:
        run(main)
    except DatabaseUnavailableError:
        _fail("the database does not answer")
    except SomeoneElseAsksError:
        _fail("a worker is asking for a token right now: try again")
    except (NoTokenError, UnreadableTokenError) as error:
        _fail(str(error))


def _fail(reason: str) -> NoReturn:
    typer.echo(f"offers-sync: {reason}", err=True)
    raise typer.Exit(1)
