"""The pool."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import asyncpg

CLOSE_SECONDS: Final = 2.0

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class ConnectionPool:
    """Lends each connection to one borrower at a time, the one that came back last first; connects when none is idle.

    asyncpg's own pool makes two tasks and four timers for each use, which takes more CPU than to read a row by its key.

    Args:
        connect: opens a connection.
        size: connections at most.
        wait_seconds: how long to wait for one while all are lent.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], *, size: int, wait_seconds: float) -> None:
        self._connect = connect
        self._wait_seconds = wait_seconds
        self._places = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._closed = False

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Connection]:
        """A connection for as long as this lasts. Each statement is a transaction, unless it is within another.

        One that may have a statement or a transaction under way when it comes back is not lent again.

        Raises:
            TimeoutError: none came back in time.
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: the server can't be connected to.
        """
        await self._take_place()
        try:
            connection = self._waiting() or await self._connect()
            try:
                yield connection
            except (asyncio.CancelledError, TimeoutError):
                connection.terminate()
                raise
            finally:
                self._take_back(connection)
        finally:
            self._places.release()

    async def close(self) -> None:
        """Close the idle connections now, and the others when they come back."""
        self._closed = True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                for connection in self._idle:
                    await connection.close()
        except TimeoutError:
            for connection in self._idle:
                connection.terminate()

    async def _take_place(self) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        async with asyncio.timeout(self._wait_seconds):
            await self._places.acquire()

    def _waiting(self) -> "Connection | None":
        while self._idle:
            connection = self._idle.pop()
            # The driver knows of a closed socket at once: no round trip to try it.
            if not connection.is_closed():
                return connection
        return None

    def _take_back(self, connection: Connection) -> None:
        if connection.is_closed():
            return
        if self._closed or connection.is_in_transaction():
            connection.terminate()
        else:
            self._idle.append(connection)
