"""The pool of connections, the transaction, and the one place that tells a database that is away from our mistakes."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Final, Self

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from catalog_api.domain.errors import BeingWrittenError, DatabaseUnavailableError
from connection_pool import Connection, ConnectionPool, OtherWriterError, Writer, write_as
from lifecycle import DatabaseDisk

CONNECT_SECONDS: Final = 5.0
CLIENT_GRACE_SECONDS: Final = 2.0
"""How much later than the server's statement timeout we give up ourselves: a frozen server times nothing out."""
IDLE_IN_TRANSACTION_SECONDS: Final = 30

_UNAVAILABLE_CLASSES: Final = frozenset({"08", "28", "3D", "40", "53", "57", "58"})
"""Of SQLSTATE: connection, authorization, no such database, rollback (deadlock), resources (disk, memory, connections),
intervention (shutdown, statement timeout), system error. https://www.postgresql.org/docs/15/errcodes-appendix.html"""
_UNAVAILABLE_STATES: Final = frozenset({"0A000", "25006", "42P01", "55P03"})
"""A plan from before a migration, read only (a failover in progress), a table that no migration made yet, a lock
timeout."""


class Database:
    """Two pools of connections: the driver's own for what is asked for often, SQLAlchemy's for all other transactions.

    A read by primary key takes 35 us of CPU over the driver, 270 us through SQLAlchemy (measured). An asynchronous
    context manager; entering it connects nothing yet.

    Everything that goes wrong because the database is away, overloaded or too slow is raised as
    `DatabaseUnavailableError`.

    Args:
        dsn: as libpq takes it.
        application_name: how the sessions are named on the server.
        pool_size: connections in each pool, at most.
        pool_timeout: seconds to wait for one.
        statement_timeout: seconds that a statement may take.
        writer: what it applies events as; None if it applies none. A rebuild has one connection.
    """

    def __init__(  # noqa: PLR0913 - each is named by its caller
        self,
        dsn: str,
        *,
        application_name: str,
        pool_size: int,
        pool_timeout: float,
        statement_timeout: float,
        writer: Writer | None = None,
    ) -> None:
        self.disk = DatabaseDisk()
        options: dict[str, Any] = {
            "timeout": CONNECT_SECONDS,
            "command_timeout": statement_timeout + CLIENT_GRACE_SECONDS,
            "server_settings": {
                "application_name": application_name,
                "timezone": "UTC",
                "jit": "off",  # compiling costs more than any statement here takes
                "max_parallel_workers_per_gather": "0",  # and so does starting workers
                "statement_timeout": f"{statement_timeout * 1000:.0f}",
                "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS * 1000}",
            },
        }

        async def connect() -> Any:
            connection = await asyncpg.connect(dsn, **options)
            if writer is not None:
                await write_as(connection, writer)
            return connection

        self._pool = ConnectionPool(connect, size=pool_size, wait_seconds=pool_timeout)
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            hide_parameters=True,  # what people write is not for the log
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_timeout,
        )
        sa.event.listen(self._engine.sync_engine, "checkout", _refuse_closed)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._pool.close()
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits at the end, and rolls back when anything is raised."""
        with _told_apart(), self.disk.noticed():
            async with self._engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection for single statements that only read, each its own transaction."""
        with _told_apart():
            async with self._pool.lent() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Connection]:
        """A connection for single statements, each its own transaction, or for `transaction()` of its own."""
        with self.disk.noticed():
            async with self.reading() as connection:
                yield connection

    async def check(self) -> None:
        """For readiness.

        Raises:
            DatabaseUnavailableError: no answer.
        """
        async with self.reading() as connection:
            await connection.fetchval("SELECT 1 FROM products LIMIT 1")


@contextmanager
def _told_apart() -> Iterator[None]:
    try:
        yield
    except OtherWriterError as error:
        raise BeingWrittenError(str(error)) from error
    except Exception as error:
        if is_unavailable(error):
            raise DatabaseUnavailableError(type(error).__name__) from error
        raise


def is_unavailable(error: BaseException) -> bool:
    """Whether the same statement may succeed later, unchanged."""
    state = _sqlstate(error)
    if state is not None:
        return state[:2] in _UNAVAILABLE_CLASSES or state in _UNAVAILABLE_STATES
    if isinstance(error, sa.exc.DBAPIError):
        return isinstance(error, sa.exc.InterfaceError | sa.exc.OperationalError) or error.connection_invalidated
    lost = isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError)
    # An InternalClientError: the driver was asked while it read the server's last words.
    return lost or isinstance(error, asyncpg.InternalClientError | OSError | TimeoutError | sa.exc.TimeoutError)


def _sqlstate(error: BaseException) -> str | None:
    original = getattr(error, "orig", None) or error
    state: str | None = getattr(original, "sqlstate", None)
    return state


def _refuse_closed(_connection: object, record: ConnectionPoolEntry, _: PoolProxiedConnection) -> None:
    # In place of a ping, which costs a round trip for each use: the driver knows of a closed socket at once.
    driver = record.driver_connection
    if driver is None or driver.is_closed():
        raise sa.exc.DisconnectionError
