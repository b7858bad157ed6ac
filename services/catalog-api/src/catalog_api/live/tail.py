"""Reads the end of the log for all who follow it: one connection for each process, and none while nobody does."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Final, Self

import structlog

from catalog_api.domain.errors import LogUnavailableError
from catalog_api.domain.streams import StreamEnd
from catalog_api.live.event import LiveEvent
from catalog_api.live.ring import Ring
from event_bus import EventLog, Extent, LogEntry, OffsetError, OpenLog, Start

START_SECONDS: Final = 5.0
IDLE_SECONDS: Final = 60.0
"""How long the log is read on when the last client has left."""
TELL_SECONDS: Final = 0.02
"""At least between two news: each wakes every client, which takes 10 us of CPU for each."""
RECALLED: Final = 500
"""Events before the present one that a new tail reads, too: clients of a process that was started again want those."""

_log = structlog.get_logger()


class Tail:
    """The log's latest events over one connection, until that is lost; then it has ended for good."""

    ring: Ring
    _opened: OpenLog

    def __init__(self, log: EventLog, *, ring_bytes: int) -> None:
        self.ended: StreamEnd | None = None
        self.followers = 0
        self._log = log
        self._ring_bytes = ring_bytes
        self._begun = asyncio.Event()
        self._news = asyncio.Event()
        self._telling: asyncio.TimerHandle | None = None
        self._told_at = float("-inf")
        self._task = asyncio.create_task(self._read())

    async def begun(self) -> None:
        """Wait until it has read all that was in the log at its beginning, from where it began.

        Raises:
            LogUnavailableError: the broker does not answer in time.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await self._begun.wait()
        if self.ended is not None or not self._begun.is_set():
            raise LogUnavailableError("the log can't be read")

    def has(self, position: int) -> bool:
        """Whether whoever is there misses nothing by waiting for what comes."""
        return self.ring.first <= position <= self.ring.end

    async def extent(self) -> Extent | None:
        """The offsets that are in the log.

        Raises:
            LogUnavailableError: the broker does not answer.
        """
        try:
            return await self._opened.extent()
        except ConnectionError as error:
            raise LogUnavailableError(str(error)) from error

    async def past(self, position: int) -> AsyncGenerator[LogEntry]:
        """The log from there on, by a reader of its own; raises as `EventLog.open` and `OpenLog.read` do.

        On a connection of its own, too: a client that leaves while a channel is being opened would have the broker
        close the connection.
        """
        async with self._log.open() as opened, aclosing(opened.read(position)) as entries:
            async for entry in entries:
                yield entry

    async def wait(self, position: int, seconds: float) -> None:
        """Wait until it has read an event at the position or behind it, or has ended; at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.ended is None and self.ring.end <= position:
                    await self._news.wait()

    def end(self, reason: StreamEnd) -> None:
        """Read no more, and tell whoever waits."""
        self._finish(reason)
        self._task.cancel()

    async def closed(self) -> None:
        """Wait until its connection is closed, once it has ended."""
        await asyncio.wait([self._task])

    async def _read(self) -> None:
        try:
            async with self._log.open() as self._opened:
                extent = await self._opened.extent()
                if extent is None:
                    await self._read_from("first", 0, None)
                else:
                    start = max(extent.first, extent.last - RECALLED)
                    await self._read_from(start, start, extent.last)
        except (ConnectionError, OffsetError) as error:
            _log.warning("log_lost", reason=str(error))
        except Exception:  # noqa: BLE001 - the supervised edge: who comes next has it read again
            _log.exception("log_lost")
        finally:
            self._finish(StreamEnd.BROKER)

    async def _read_from(self, start: Start, position: int, last: int | None) -> None:
        self.ring = Ring(position, bytes_max=self._ring_bytes)
        if last is None:
            self._begun.set()
        async with aclosing(self._opened.read(start)) as entries:
            async for entry in entries:
                self.ring.append(LiveEvent.of(entry))
                self._tell_soon()
                if entry.offset == last:
                    self._begun.set()

    def _finish(self, reason: StreamEnd) -> None:
        if self.ended is None:
            self.ended = reason
        self._begun.set()
        self._tell()

    def _tell_soon(self) -> None:
        if self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_at(max(loop.time(), self._told_at + TELL_SECONDS), self._tell)

    def _tell(self) -> None:
        self._telling = None
        self._told_at = asyncio.get_running_loop().time()
        self._news.set()
        self._news.clear()


class LiveTail:
    """The tail that there is, or a new one for the first who asks after a while, or after a loss."""

    def __init__(self, log: EventLog, *, ring_bytes: int, idle_seconds: float = IDLE_SECONDS) -> None:
        self._log = log
        self._ring_bytes = ring_bytes
        self._idle_seconds = idle_seconds
        self._tail: Tail | None = None
        self._draining = False
        self._leaving: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drain()
        if self._leaving is not None:
            self._leaving.cancel()
        if self._tail is not None:
            await self._tail.closed()

    def drain(self) -> None:
        """End every stream now, and begin none any more."""
        self._draining = True
        if self._tail is not None:
            self._tail.end(StreamEnd.DRAINING)

    async def current(self) -> Tail:
        """A tail that reads; nobody who joins it within some seconds finds it closed as nobody had.

        Raises:
            LogUnavailableError: the broker does not answer, or this process is about to end.
        """
        if self._draining:
            raise LogUnavailableError("no stream is begun any more")
        if self._tail is None or self._tail.ended is not None:
            self._tail = Tail(self._log, ring_bytes=self._ring_bytes)
        tail = self._tail
        with self.followed(tail):  # by whoever waits for it to begin, however long that takes
            await tail.begun()
        return tail

    @contextlib.contextmanager
    def followed(self, tail: Tail) -> Iterator[None]:
        """Within it the tail is not closed for want of followers."""
        tail.followers += 1
        try:
            yield
        finally:
            tail.followers -= 1
            self._leave_later()

    def _leave_later(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        self._leaving = asyncio.get_running_loop().call_later(self._idle_seconds, self._leave)

    def _leave(self) -> None:
        if self._tail is not None and not self._tail.followers:
            self._tail.end(StreamEnd.LEFT)
