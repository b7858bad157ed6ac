"""Connections to the service's database: a bounded pool, bounded statements, one error for "not available now"."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from connection_pool import Connection, ConnectionPool, OtherWriterError, Writer, write_as
from lifecycle import DatabaseDisk

CONNECT_SECONDS: Final = 5.0
IDLE_IN_TRANSACTION_SECONDS: Final = 60

_PASSING_SQLSTATES: Final = (
    "08",  # connection
    "25006",  # read-only: a standby that was promoted elsewhere
    "40",  # deadlock or serialization: the transaction may be repeated
    "42P01",  # a table that no migration made yet
    "53",  # out of disk, memory or connections
    "55P03",  # lock timeout
    "57",  # shutting down, starting up, or the statement took too long
    "58",  # the server's own input or output
)


class DatabaseUnavailableError(Exception):
    """The database is away, overloaded, out of something or not migrated; the same may work later.

    Nothing was committed, or, when the connection broke during a commit, perhaps all of it.
    """


class BeingWrittenError(DatabaseUnavailableError):
    """Someone else has the right to record: a rebuild; or, for a rebuild, workers or another one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the database one process takes."""

    connections: int
    wait_seconds: float
    """How long to wait for a free connection."""
    statement_seconds: int
    """After which the server ends a statement, and we end whatever lasts longer than this and the wait together."""


class Database:
    """Connections to one database, opened when they are needed: the driver's own to query, SQLAlchemy's for the rest.

    A process uses one kind or the other: what answers requests queries, as SQLAlchemy takes several times as much CPU
    as the driver.

    Args:
        dsn: as libpq takes it.
        script: the process's name, as shown in `pg_stat_activity`.
        limits: how much of the database the process takes.
        writer: what it records as; None if it records nothing. There is one connection for a rebuild.
    """

    def __init__(self, dsn: str, script: str, limits: Limits, *, writer: Writer | None = None) -> None:
        self.disk = DatabaseDisk()
        server_settings = {
            "application_name": script,
            "timezone": "UTC",
            "statement_timeout": f"{limits.statement_seconds}s",
            "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
            # Short statements, many of them: compiling one to machine code never pays, nor does planning it again for
            # each value, which over the partitions takes longer than running it.
            "jit": "off",
            "plan_cache_mode": "force_generic_plan",
            # Such a plan is made while a table is small, and kept: to go through the whole of it must never be the one.
            "enable_seqscan": "off",
            "enable_hashjoin": "off",
            "enable_mergejoin": "off",
        }

        async def connect() -> Any:
            with _unavailability_named():
                connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, server_settings=server_settings)
                if writer is not None:
                    await write_as(connection, writer)
                return connection

        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            hide_parameters=True,
            pool_size=limits.connections,
            max_overflow=0,
            pool_timeout=limits.wait_seconds,
            isolation_level="AUTOCOMMIT",
        )
        self._pool = ConnectionPool(connect, size=limits.connections, wait_seconds=limits.wait_seconds)
        self._use_seconds = limits.wait_seconds + limits.statement_seconds

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction, committed at the end.

        Raises:
            DatabaseUnavailableError: from here or from within.
        """
        async with self._lent() as connection:
            # The driver's own: its BEGIN and COMMIT, and whatever goes past SQLAlchemy to the driver in between, are on
            # the same connection in the same transaction.
            driver: Any = (await connection.get_raw_connection()).driver_connection
            async with driver.transaction():
                yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection on which each statement stands alone: no round trips for BEGIN and ROLLBACK.

        Raises:
            DatabaseUnavailableError: from here or from within.
        """
        async with self._lent() as connection:
            yield connection

    @asynccontextmanager
    async def querying(self) -> AsyncIterator[Connection]:
        """One of the driver's connections, for statements that only read and stand alone.

        Raises:
            DatabaseUnavailableError: from here or from within.
        """
        with _unavailability_named():
            # A server that hangs ends no statement by itself.
            async with asyncio.timeout(self._use_seconds), self._pool.lent() as connection:
                yield connection

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[AsyncConnection]:
        with _unavailability_named(), self.disk.noticed():
            # A server that hangs ends no statement by itself.
            async with asyncio.timeout(self._use_seconds), self._engine.connect() as connection:
                try:
                    yield connection
                except BaseException as error:
                    # A statement may be under way on it for ever, or it died in the driver's hands, unnoticed.
                    if isinstance(error, asyncio.CancelledError) or await _is_closed(connection):
                        await connection.invalidate()
                    raise

    async def check(self) -> None:
        """For readiness.

        Raises:
            DatabaseUnavailableError: the database does not answer, or was not migrated.
        """
        async with self.querying() as connection:
            await connection.execute("SELECT FROM products LIMIT 1")

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()
        await self._engine.dispose()


async def _is_closed(connection: AsyncConnection) -> bool:
    if connection.closed or connection.invalidated:
        return False
    driver: Any = (await connection.get_raw_connection()).driver_connection
    return bool(driver.is_closed())


@contextmanager
def _unavailability_named() -> Iterator[None]:
    try:
        yield
    except OtherWriterError as error:
        raise BeingWrittenError(str(error)) from error
    except (OSError, PoolTimeoutError, InterfaceError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        # An InternalClientError: the driver was asked while it read the server's last words.
        if isinstance(error, ValueError):  # what asyncpg calls a value that fits no column
            raise
        raise DatabaseUnavailableError(type(error).__name__) from error
    except (DBAPIError, asyncpg.PostgresError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if str(getattr(cause, "sqlstate", "")).startswith(_PASSING_SQLSTATES):
            raise DatabaseUnavailableError(type(cause).__name__) from error
        raise
