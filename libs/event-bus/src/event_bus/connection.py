"""One connection to RabbitMQ, from connecting to its loss.

A lost connection is never repaired in place: its owner closes it and opens a new one, topology included. The robust
recovery of the client library restores channels and consumers piece by piece and can be left half restored.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Iterator
from typing import Any, Final

from aio_pika import RobustConnection
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPException, DeliveryError
from aio_pika.exceptions import PublishError as ReturnedError
from faststream.exceptions import FastStreamException
from faststream.rabbit import Channel, RabbitBroker
from yarl import URL

from event_bus.topology import ensure_topology

HEARTBEAT_SECONDS: Final = 10
"""A peer that says nothing is given up by the client library after 33 seconds."""
CONNECT_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 3.0
DEAF_CLOSE_SECONDS: Final = 0.5

BROKER_ERRORS: Final = (AMQPException, FastStreamException, ConnectionError, OSError, TimeoutError, RuntimeError)
"""What a broken or refused connection raises; aiormq raises RuntimeError on a channel that is closing."""


@contextlib.contextmanager
def loss_as_error() -> Iterator[None]:
    """While inside, a connection that is lost raises ConnectionError.

    aiormq cancels whoever waits for a connection that it gives up. Taken for a cancellation of its own, that would end
    a task without a word, and its supervisor with it.
    """
    try:
        yield
    except asyncio.CancelledError as cancelled:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectionError("the broker's connection is lost") from cancelled


class Nodes:
    """The broker's nodes, from a URL or several separated by commas; each attempt goes to the next one."""

    def __init__(self, urls: str) -> None:
        nodes = [URL(url.strip()) for url in urls.split(",") if url.strip()]
        self._nodes = itertools.cycle([str(url.update_query(heartbeat=HEARTBEAT_SECONDS)) for url in nodes])

    def next(self) -> str:
        """The URL to try now."""
        return next(self._nodes)


class _Broker(RabbitBroker):
    """A FastStream broker that knows its connection from the first attempt on.

    FastStream knows it only once it is open. The client library tries again for ever, in a task of its own, so whoever
    gives up before that must be able to close it.
    """

    amqp: RobustConnection | None = None

    async def _connect(self) -> RobustConnection:
        self._connection_kwargs["connection_class"] = self._begin
        return await super()._connect()

    def _begin(self, *args: Any, **options: Any) -> RobustConnection:
        self.amqp = RobustConnection(*args, **options)
        return self.amqp


class Connection:
    """A FastStream broker with the event of its loss."""

    def __init__(self, url: str, channel: Channel) -> None:
        self.lost = asyncio.Event()
        self.confirmed = 0
        """Publishes confirmed so far: whether the broker makes progress."""
        self._confirmed_at_refusal = -1
        self.broker = _Broker(
            url,
            timeout=CONNECT_SECONDS,
            default_channel=channel,
            on_close=[lambda *_: self.lost.set()],
            # We log what matters ourselves; FastStream's line for each message costs more than its work.
            logger=None,
            # Handlers take the whole message, so nothing is left to inject or to validate.
            apply_types=False,
            graceful_timeout=CLOSE_SECONDS,
        )

    async def open(self) -> None:
        """Connect and make sure of the topology.

        Raises:
            BROKER_ERRORS: not done within ten seconds; the connection is closed, as it is when the caller is cancelled.
        """
        try:
            with loss_as_error():
                async with asyncio.timeout(CONNECT_SECONDS):
                    await ensure_topology(await self.broker.connect())
        except BaseException:
            await self.close()
            raise

    async def start_delivering(self) -> None:
        """Have the broker deliver to the subscribers.

        Raises:
            BROKER_ERRORS: not done within ten seconds.
        """
        with loss_as_error():
            async with asyncio.timeout(CONNECT_SECONDS):
                await self.broker.start()

    async def channel(self) -> AbstractChannel:
        """A channel of its own over this connection."""
        if self.broker.amqp is None:
            raise ConnectionError("not open")
        return await self.broker.amqp.channel()

    def may_go_on_after(self, error: Exception) -> bool:
        """Whether to publish over this connection again: a message was refused, and one was confirmed since the last.

        A broker refuses a message when a queue that has to take it loses its leader. Others have it, or get it yet when
        they have a new leader, as long as the channel lives: if it was closed, some would miss it between others.
        """
        refused = isinstance(error, DeliveryError) and not isinstance(error, ReturnedError)
        progress = self.confirmed > self._confirmed_at_refusal
        self._confirmed_at_refusal = self.confirmed
        return refused and progress and not self.lost.is_set()

    async def blocked(self) -> bool:
        """Whether the broker reads nothing more from this connection, as it does while its memory or disk runs out."""
        if self.broker.amqp is None or self.broker.amqp.transport is None:
            return False
        try:
            # It waits for nothing else on a connection that is open.
            async with asyncio.timeout(0):
                await self.broker.amqp.transport.ready()
        except TimeoutError:
            return True
        return False

    async def close(self) -> None:
        """Close for good, whatever state it is in, waiting for handlers in flight at most three seconds."""
        self.lost.set()
        try:
            # A broker that reads nothing does not hear a farewell either.
            seconds = DEAF_CLOSE_SECONDS if await self.blocked() else 2 * CLOSE_SECONDS
            with contextlib.suppress(*BROKER_ERRORS), loss_as_error():
                async with asyncio.timeout(seconds):
                    await self.broker.stop()
        finally:
            await self.hang_up()

    async def hang_up(self) -> None:
        """Close the connection under the broker's consumers, without cancelling them first."""
        # FastStream comes to this last, if it is not cut short before. A connection left open is opened again and again
        # by the client library. It goes on closing after us, should the other end keep it waiting.
        if self.broker.amqp is None or self.broker.amqp.is_closed:
            return
        closing = asyncio.create_task(_close(self.broker.amqp))
        _being_closed.add(closing)
        closing.add_done_callback(_being_closed.discard)
        await asyncio.wait([closing], timeout=DEAF_CLOSE_SECONDS)


_being_closed: Final[set[asyncio.Task[None]]] = set()


async def _close(amqp: RobustConnection) -> None:
    with contextlib.suppress(*BROKER_ERRORS), loss_as_error():
        await amqp.close()
