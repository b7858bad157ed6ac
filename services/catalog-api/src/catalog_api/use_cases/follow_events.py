"""Follow the events of the log from wherever a client left them, without a gap that it is not told of.

A client holds a position and nothing else. Where the latest events in memory reach back to it, they are read from
there, else by a reader of its own over the log until it has caught up with them. What was published twice comes twice.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from catalog_api.domain.streams import Gap, StreamEnd, StreamEndedError
from catalog_api.live.event import LiveEvent
from catalog_api.live.tail import LiveTail, Tail
from event_bus import Extent, OffsetError

CATCHING_UP_MAX: Final = 16
"""Readers of their own at once; whoever comes beyond waits."""
CHUNK_BYTES: Final = 64 * 1024
LAG_SECONDS: Final = 2.0
"""How far another process, by whose node of the broker a client got its position, may be ahead of this one."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The next events, perhaps none, and the position behind them."""

    events: Sequence[LiveEvent]
    position: int


class FollowEvents:
    """Begins streams."""

    def __init__(self, live: LiveTail) -> None:
        self._live = live
        self._readers = asyncio.Semaphore(CATCHING_UP_MAX)

    async def from_now(self) -> "Following":
        """What is published from now on.

        Raises:
            LogUnavailableError: the broker does not answer; so do the others.
        """
        tail = await self._live.current()
        return Following(self._live, tail, self._readers, tail.ring.end)

    async def from_first(self) -> "Following":
        """All that is in the log, and what comes."""
        tail = await self._live.current()
        extent = await tail.extent()
        return Following(self._live, tail, self._readers, 0 if extent is None else extent.first)

    async def after(self, offset: int) -> "Following":
        """What comes after the event at this offset; -1 stands before the first one that ever was."""
        tail = await self._live.current()
        position = offset + 1
        if position > tail.ring.end:
            await tail.wait(offset, LAG_SECONDS)
        if tail.has(position):
            return Following(self._live, tail, self._readers, position)
        gap = _gap(position, await tail.extent())
        return Following(self._live, tail, self._readers, position, gap)


class Following:
    """One client's way through the log."""

    def __init__(
        self, live: LiveTail, tail: Tail, readers: asyncio.Semaphore, position: int, gap: Gap | None = None
    ) -> None:
        self._live = live
        self._tail = tail
        self._readers = readers
        self._position = position
        self._gap = gap

    async def progress(self, seconds: float) -> AsyncGenerator[Progress | Gap]:
        """Where it is, at once and at least every so many seconds, with the events on the way.

        Raises:
            StreamEndedError: it is cut off.
        """
        with self._live.followed(self._tail):
            yield Progress((), self._position) if self._gap is None else self._jump(self._gap)
            if self._position < self._tail.ring.first:
                async with aclosing(self._past(seconds)) as past:
                    async for progress in past:
                        yield progress
            while True:
                if self._position < self._tail.ring.first:
                    raise StreamEndedError(StreamEnd.BEHIND)
                events = self._tail.ring.since(self._position, bytes_max=CHUNK_BYTES)
                if events:
                    self._position = events[-1].offset + 1
                else:
                    await self._tail.wait(self._position, seconds)
                self._must_go_on()
                yield Progress(events, self._position)

    async def _past(self, seconds: float) -> AsyncGenerator[Progress | Gap]:
        while not await self._has_reader(seconds):
            self._must_go_on()
            yield Progress((), self._position)
        try:
            while self._position < self._tail.ring.first:
                try:
                    async with aclosing(self._until_the_ring()) as events:
                        async for event in events:
                            yield Progress((event,), self._position)
                except OffsetError as error:
                    if (gap := _gap(self._position, error.extent)) is not None:
                        yield self._jump(gap)
        finally:
            self._readers.release()

    async def _has_reader(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._readers.acquire()
        except TimeoutError:
            return False

    async def _until_the_ring(self) -> AsyncGenerator[LiveEvent]:
        try:
            async with aclosing(self._tail.past(self._position)) as entries:
                async for entry in entries:
                    self._must_go_on()
                    self._position = entry.offset + 1
                    yield LiveEvent.of(entry)
                    if self._position >= self._tail.ring.first:
                        return
        except ConnectionError as error:
            raise StreamEndedError(self._tail.ended or StreamEnd.BROKER) from error

    def _jump(self, gap: Gap) -> Gap:
        self._position = gap.position
        return gap

    def _must_go_on(self) -> None:
        if self._tail.ended is not None:
            raise StreamEndedError(self._tail.ended)


def _gap(position: int, extent: Extent | None) -> Gap | None:
    first, end = (0, 0) if extent is None else (extent.first, extent.last + 1)
    if position < first:
        return Gap(position, first - 1, first)
    return Gap(None, None, first) if position > end else None
