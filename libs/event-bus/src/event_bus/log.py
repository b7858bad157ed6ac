"""Reads the log, a RabbitMQ stream with every event of the last days: from its first one, an offset, or a time.

Offsets grow, with gaps of one where the broker keeps notes of its own. Reading takes nothing away. What was published
twice is there twice.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, cast

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity

from aggregator_contracts.topology import LOG
from event_bus.connection import BROKER_ERRORS, CLOSE_SECONDS, CONNECT_SECONDS, Nodes, loss_as_error
from event_bus.topology import TopologyMissingError

PREFETCH: Final = 100
ANSWER_SECONDS: Final = 10.0
EMPTY_SECONDS: Final = 5.0
"""A log that the broker counts as empty, by counts that are seconds old, is believed to be after this. A busy broker
takes seconds to send the first event, and a rebuild must not take that for a log without events."""
PROBE_PREFETCH: Final = 1000
OFFSET_HEADER: Final = "x-stream-offset"

Start = Literal["first", "next"] | int | datetime
"""Where to begin: with the first event there is, with what is published from now on, with the one at an offset, or with
what was published at a time (aware; to the second) and perhaps a few from just before it, never after it."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An event in the log: `body` is its JSON, and `type` the routing key, for which its publisher had a permission."""

    offset: int
    type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Extent:
    """The offsets of the first and the last event in the log."""

    first: int
    last: int


class OffsetError(LookupError):
    """The log does not reach back to that offset, or not up to it, as one that was made anew.

    Attributes:
        offset: the one to read from.
        extent: what is there; None if nothing is.
    """

    def __init__(self, offset: int, extent: Extent | None) -> None:
        there = "is empty" if extent is None else f"has {extent.first} to {extent.last}"
        super().__init__(f"the log has no offset {offset}: it {there}")
        self.offset = offset
        self.extent = extent


class SilenceError(ConnectionError):
    """Nothing came from the log, though the broker is there."""


class EventLog:
    """The log of a broker.

    Args:
        url: the broker's URL, or several separated by commas; each opening goes to the next one.
        prefetch: events in hand at once. An old RabbitMQ (seen: 3.10) sends as a whole what was stored together, so it
            may be more by that.
    """

    def __init__(self, url: str, *, prefetch: int = PREFETCH) -> None:
        self._nodes = Nodes(url)
        self._prefetch = prefetch

    @asynccontextmanager
    async def open(self) -> AsyncIterator["OpenLog"]:
        """A connection of its own; what is being read ends with it.

        Raises:
            ConnectionError: the broker does not answer within ten seconds, or (TopologyMissingError) has no log.
        """
        async with contextlib.AsyncExitStack() as stack:
            with _loss_as_connection_error():
                async with asyncio.timeout(CONNECT_SECONDS):
                    connection = await aio_pika.connect(self._nodes.next())
                    stack.push_async_callback(_close, connection)
                    async with connection.channel() as channel:
                        await channel.get_queue(LOG)
            yield OpenLog(connection, self._prefetch)


class OpenLog:
    """The log over one connection. Every method raises ConnectionError when that is lost; open it again."""

    def __init__(self, connection: AbstractConnection, prefetch: int) -> None:
        self._connection = connection
        self._prefetch = prefetch

    async def extent(self) -> Extent | None:
        """What is there now; None if nothing is."""
        first = await self._first()
        return None if first is None else Extent(first, await self._last())

    async def read(self, start: Start, *, until: int | None = None) -> AsyncGenerator[LogEntry]:
        """The events from `start` on, in the log's order: for ever, or to the offset `until`, which is included.

        At most `prefetch` of them are fetched ahead of the one that is being looked at.

        Raises:
            OffsetError: the events from that offset on are not there, or the log dropped them before they were read.
        """
        expected = start if isinstance(start, int) else None
        if expected is not None:
            await self._must_reach(expected)
        async with self._consuming(start, self._prefetch) as deliveries:
            while True:
                message = await deliveries.next()
                offset = _offset(message)
                if expected is not None and offset > expected:
                    await self._must_have_lost_nothing(expected, offset)
                yield LogEntry(offset, message.routing_key or "", message.body)
                if until is not None and offset >= until:
                    return
                expected = offset + 1

    async def _must_reach(self, offset: int) -> None:
        extent = await self.extent()
        first, last = (0, -1) if extent is None else (extent.first, extent.last)
        if not first <= offset <= last + 1:
            raise OffsetError(offset, extent)

    async def _must_have_lost_nothing(self, expected: int, offset: int) -> None:
        # The broker goes on at the first event that there is, without a word. A gap before any other is a note of its
        # own.
        first = await self._first()
        if first is None or first >= offset:
            raise OffsetError(expected, await self.extent())

    async def _first(self) -> int | None:
        async with self._consuming("first", 1) as deliveries:
            there_are_some = await deliveries.count() > 0
            try:
                return _offset(await deliveries.next(ANSWER_SECONDS if there_are_some else EMPTY_SECONDS))
            except SilenceError:
                if there_are_some:
                    raise
                return None

    async def _last(self) -> int:
        # It begins with what was stored last, together. All of that comes before the answer to a question asked after
        # an ack that makes room for it. (A count that the broker tells is some seconds old.)
        async with self._consuming("last", PROBE_PREFETCH) as deliveries:
            message = await deliveries.next(ANSWER_SECONDS)
            while True:
                await deliveries.settle()
                if (newer := deliveries.latest()) is None:
                    return _offset(message)
                message = newer

    @asynccontextmanager
    async def _consuming(self, start: Start | Literal["last"], prefetch: int) -> AsyncIterator["_Deliveries"]:
        async with contextlib.AsyncExitStack() as stack:
            with _loss_as_connection_error():
                async with asyncio.timeout(ANSWER_SECONDS):
                    channel = await self._connection.channel()
                    stack.push_async_callback(_close, channel)
                    await channel.set_qos(prefetch_count=prefetch)
                    deliveries = _Deliveries(channel, await channel.get_queue(LOG), prefetch)
                    await deliveries.begin(start)
            yield deliveries


class _Deliveries:
    """What one consumer of the log is sent. What was taken is acked, which makes room for more, when more is wanted."""

    def __init__(self, channel: AbstractChannel, queue: AbstractQueue, prefetch: int) -> None:
        self._channel = channel
        self._queue = queue
        self._ack_after = max(1, prefetch // 2)
        self._arrived: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._unacked: list[AbstractIncomingMessage] = []

    async def begin(self, start: Start | Literal["last"]) -> None:
        """Have them sent."""
        self._channel.close_callbacks.add(self._lose)
        underlay = await self._channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(self._lose)  # the log was deleted, or its replica on this node
        await self._queue.consume(self._arrived.put, arguments={OFFSET_HEADER: start})

    async def next(self, seconds: float | None = None) -> AbstractIncomingMessage:
        """The next one.

        Raises:
            SilenceError: none came within so many seconds.
            ConnectionError: there are no more to come.
        """
        if len(self._unacked) >= self._ack_after or self._arrived.empty():
            await self._ack()
        try:
            async with asyncio.timeout(seconds):
                message = await self._arrived.get()
        except TimeoutError as error:
            raise SilenceError("the broker sends nothing from the log") from error
        if message is None:
            self._arrived.put_nowait(None)  # for whoever asks again
            raise ConnectionError("the broker's connection is lost, or the log is")
        self._unacked.append(message)
        return message

    def latest(self) -> AbstractIncomingMessage | None:
        """The last one of those that arrived and were not taken yet, which are taken now."""
        latest = None
        while not self._arrived.empty() and (message := self._arrived.get_nowait()) is not None:
            self._unacked.append(message)
            latest = message
        return latest

    async def settle(self) -> None:
        """Ack what was taken, and return when what the broker had to send thereupon has arrived."""
        await self._ack()
        await self.count()

    async def count(self) -> int:
        """How many events there were in the log some seconds ago."""
        with _loss_as_connection_error():
            async with asyncio.timeout(ANSWER_SECONDS):
                queue = await self._channel.declare_queue(LOG, passive=True)
        return queue.declaration_result.message_count or 0

    async def _ack(self) -> None:
        if self._unacked:
            with _loss_as_connection_error():
                await self._unacked[-1].ack(multiple=True)
            self._unacked.clear()

    def _lose(self, *_: Any) -> None:
        self._arrived.put_nowait(None)


def _offset(message: AbstractIncomingMessage) -> int:
    return cast("int", message.headers[OFFSET_HEADER])


async def _close(opened: AbstractChannel | AbstractConnection) -> None:
    with contextlib.suppress(*BROKER_ERRORS), loss_as_error():
        async with asyncio.timeout(CLOSE_SECONDS):
            await opened.close()


@contextlib.contextmanager
def _loss_as_connection_error() -> Iterator[None]:
    try:
        with loss_as_error():
            yield
    except ChannelNotFoundEntity:
        raise TopologyMissingError(f"the broker has no {LOG}: load the broker's definitions") from None
    except BROKER_ERRORS as error:
        if isinstance(error, ConnectionError):
            raise
        raise ConnectionError(f"the broker does not answer: {type(error).__name__}: {error}") from error
