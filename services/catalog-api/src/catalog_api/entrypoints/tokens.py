"""`catalog-api tokens`: tokens go to standard output, all that is said of them to standard error."""

import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeVar

import msgspec
import typer

from catalog_api import bootstrap
from catalog_api.db.migrate import MIGRATIONS
from catalog_api.domain.access import AccessToken, TokenScope
from catalog_api.domain.errors import DatabaseUnavailableError, TokenNotFoundError
from catalog_api.domain.product import checked_name
from catalog_api.settings import DatabaseSettings
from catalog_api.use_cases.manage_tokens import ManageTokens
from lifecycle import load_settings, run
from schema_migration import DatabaseRefusedError, require_own_database

T = TypeVar("T")

_COLUMNS: Final = ("id", "name", "scopes", "created", "expires", "last used", "state")
_DAYS_MAX: Final = 36_500

app = typer.Typer(no_args_is_help=True, help="Access tokens of the HTTP API.")


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Who or what it is for.")],
    scope: Annotated[list[TokenScope], typer.Option(help="`admin` contains `write`, which contains `read`.")],
    expires_in_days: Annotated[int | None, typer.Option(min=1, max=_DAYS_MAX, help="Never, without it.")] = None,
) -> None:
    """Make a token and print it, this once; standard output has nothing else."""
    try:
        checked = checked_name(name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--name") from None
    expires_at = None if expires_in_days is None else datetime.now(UTC) + timedelta(days=expires_in_days)
    created = _do(lambda tokens: tokens.create(checked, scope, expires_at))
    typer.echo(f"Token {created.token.id}; it is shown this once:", err=True)
    typer.echo(created.text)


@app.command("list")
def list_tokens(
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,  # noqa: FBT002 - typer's form
) -> None:
    """Show all tokens there ever were, oldest first, without their secrets."""
    tokens = _do(lambda tokens: tokens.everyone())
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(tokens), indent=2, ensure_ascii=False))
    else:
        _print_table([_COLUMNS, *map(_row, tokens)])


@app.command()
def revoke(token_id: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")]) -> None:
    """End a token for good; every process follows within seconds."""
    try:
        _do(lambda tokens: tokens.revoke(token_id))
    except TokenNotFoundError:
        typer.echo(f"there is no token {token_id}, or it was revoked before", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"token {token_id} is revoked", err=True)


def print_first_admin_token(settings: DatabaseSettings) -> None:
    """For `migrate`.

    Raises:
        DatabaseUnavailableError: it does not answer.
    """

    def show(token: str) -> None:
        typer.echo("The first admin token of this catalog; it is shown this once:", err=True)
        typer.echo(token)
        sys.stdout.flush()

    _with_tokens(settings, lambda tokens: tokens.create_first_admin(show))


def _do(action: Callable[[ManageTokens], Awaitable[T]]) -> T:
    settings = load_settings(DatabaseSettings)
    try:
        require_own_database(settings.database_url, MIGRATIONS)
        return _with_tokens(settings, action)
    except DatabaseRefusedError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except DatabaseUnavailableError as error:
        typer.echo(f"the database does not answer ({error})", err=True)
        raise typer.Exit(1) from None


def _with_tokens(settings: DatabaseSettings, action: Callable[[ManageTokens], Awaitable[T]]) -> T:
    results: list[T] = []

    async def act() -> None:
        tokens, database = bootstrap.token_management(settings)
        async with database:
            results.append(await action(tokens))

    run(act())
    return results[0]


def _row(token: AccessToken) -> tuple[str, ...]:
    times = (token.created_at, token.expires_at, token.last_used_at)
    created, expires, last_used = ("-" if at is None else f"{at:%Y-%m-%d %H:%M}Z" for at in times)
    return token.id, token.name, ",".join(token.scopes), created, expires, last_used, token.state


def _print_table(rows: Iterable[tuple[str, ...]]) -> None:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
