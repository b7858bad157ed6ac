"""How a command that rebuilds from the log ends: with its result, or with one line that says why not and what to do."""

from collections.abc import Coroutine
from typing import Any, Final, NoReturn, TypeVar

import typer

from event_bus.log import OffsetError
from event_bus.reach import LogTooShortError
from event_bus.rebuild import Rebuild
from lifecycle import StoppedError, until_stopped

KILLED: Final = 128
"""A shell's exit code for what a signal ended is this and the signal's number."""

T = TypeVar("T")


async def rebuild_command(
    service: str,
    rebuild: Rebuild,
    main: Coroutine[Any, Any, T],
    *,
    unavailable: type[Exception],
    being_written: tuple[type[Exception], ...] = (),
) -> T:
    """The result of `main`, which calls `rebuild`, and is cancelled by SIGTERM and SIGINT.

    Args:
        service: the console script.
        rebuild: knows whether something was forgotten.
        main: raises, besides what `rebuild` does, these:
        unavailable: the database is away.
        being_written: a worker, or another rebuild, keeps this one out.

    Raises:
        typer.Exit: 1 when it was refused or broken off, 143 or 130 when a signal stopped it.
    """

    def fail(reason: str, code: int = 1) -> NoReturn:
        typer.echo(f"{service}: {reason}", err=True)
        raise typer.Exit(code)

    def again() -> str:
        return "do it again, without --afresh" if rebuild.forgotten else "do it again"

    try:
        return await until_stopped(main)
    except being_written:
        fail(f"a `{service} work`, or another rebuild, writes to this database: stop it first, and {again()}")
    except LogTooShortError as error:
        fail(f"refused (--force does it), as something would be missing: {error}")
    except (unavailable, ConnectionError, OffsetError) as error:
        fail(f"not done, {again()}: {error}")
    except StoppedError as error:
        fail(f"stopped before it was done, {again()}", KILLED + error.signal)
