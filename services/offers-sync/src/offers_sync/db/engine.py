"""Connections to PostgreSQL, and the one place that tells an unreachable database from a wrong statement."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final, TypeAlias

import asyncpg
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from lifecycle import DatabaseDisk

CONNECT_SECONDS: Final = 5.0
STATEMENT_TIMEOUT: Final = "60s"
COMMAND_SECONDS: Final = 65.0
POOL_SIZE: Final = 6

_Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class DatabaseUnavailableError(Exception):
    """The database does not answer, was not migrated, or ended what it was asked to do; later it may do it."""


def create_engine(dsn: str, disk: DatabaseDisk | None = None) -> AsyncEngine:
    """The worker's pool of connections; `dsn` is what libpq takes, `disk` learns from what goes wrong."""

    async def connect() -> _Session:
        return await _connect(dsn, {"idle_in_transaction_session_timeout": "30s"})

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        hide_parameters=True,  # the access token is among them
        pool_size=POOL_SIZE,
        max_overflow=0,
        # No pre-ping: it would cost a round trip for each statement. The first error of a lost connection empties the
        # pool, and whoever met it tries again.
        pool_timeout=30,
    )
    if disk is not None:
        sa.event.listen(engine.sync_engine, "handle_error", lambda context: disk.notice(context.original_exception))
    return engine


def create_session_engine(dsn: str, *, frozen_seconds: float) -> AsyncEngine:
    """Connections of one use each; the database ends one that says nothing for so long, and frees what it locked."""
    milliseconds = str(int(frozen_seconds * 1000))

    async def connect() -> _Session:
        return await _connect(
            dsn, {"idle_session_timeout": milliseconds, "idle_in_transaction_session_timeout": milliseconds}
        )

    return create_async_engine("postgresql+asyncpg://", async_creator=connect, hide_parameters=True, poolclass=NullPool)


async def _connect(dsn: str, settings: dict[str, str]) -> _Session:
    return await asyncpg.connect(
        dsn,
        timeout=CONNECT_SECONDS,
        # Where packets are dropped, no answer and no error ever comes; TCP alone would wait a quarter of an hour.
        command_timeout=COMMAND_SECONDS,
        server_settings={
            "application_name": "offers-sync",
            "timezone": "UTC",
            "statement_timeout": STATEMENT_TIMEOUT,
            **settings,
        },
    )


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction, which commits at the end.

    Raises:
        DatabaseUnavailableError: whether it was committed is unknown.
    """
    async with database_errors(), engine.begin() as connection:
        yield connection


@asynccontextmanager
async def single_statement(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection on which each statement is a transaction of its own: one round trip in place of three.

    Raises:
        DatabaseUnavailableError: whether the statement was committed is unknown.
    """
    async with database_errors(), _autocommit(engine).connect() as connection:
        yield connection


@lru_cache(maxsize=4)  # making one costs as much as a statement
def _autocommit(engine: AsyncEngine) -> AsyncEngine:
    return engine.execution_options(isolation_level="AUTOCOMMIT")


@asynccontextmanager
async def database_errors() -> AsyncIterator[None]:
    """Turn what an unreachable database raises into `DatabaseUnavailableError`; faults of ours pass unchanged."""
    try:
        yield
    except exc.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) == asyncpg.UndefinedTableError.sqlstate:  # no migration made it yet
            raise DatabaseUnavailableError(asyncpg.UndefinedTableError.__name__) from error
        raise
    except (exc.IntegrityError, exc.DataError):
        raise
    except (
        exc.DBAPIError,
        exc.TimeoutError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,  # the driver was asked while it read the server's last words
        OSError,
        TimeoutError,
    ) as error:
        raise DatabaseUnavailableError(type(error).__name__) from error


async def answers(engine: AsyncEngine) -> None:
    """For readiness.

    Raises:
        DatabaseUnavailableError: no answer, or no tables.
    """
    async with transaction(engine) as connection:
        await connection.execute(sa.text("SELECT FROM products LIMIT 1"))
