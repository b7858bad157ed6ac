"""One connection to RabbitMQ, from connecting to its loss.

A lost connection is never repaired in place: its owner closes it and opens a new one, topology included. The robust
recovery of the client library restores channels and consumers piece by piece and can be left half restored.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Iterator
from typing import Final

from aio_pika import RobustConnection
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPException
from faststream.exceptions import FastStreamException
from faststream.rabbit import Channel, RabbitBroker
from yarl import URL

from event_bus.topology import declare_topology

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


class Connection:
    """A FastStream broker with the event of its loss."""

    def __init__(self, url: str, channel: Channel) -> None:
        self.lost = asyncio.Event()
        self.confirmed = 0
        """Publishes confirmed so far: whether the broker makes progress."""
        self._amqp: RobustConnection | None = None
        self.broker = RabbitBroker(
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
        """Connect and declare the topology.

        Raises:
            BROKER_ERRORS: not done within ten seconds; the connection is closed.
        """
        try:
            with loss_as_error():
                async with asyncio.timeout(CONNECT_SECONDS):
                    self._amqp = await self.broker.connect()
                    await declare_topology(self.broker)
        except BROKER_ERRORS:
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
        if self._amqp is None:
            raise ConnectionError("not open")
        return await self._amqp.channel()

    async def blocked(self) -> bool:
        """Whether the broker reads nothing more from this connection, as it does while its memory or disk runs out."""
        if self._amqp is None or self._amqp.transport is None:
            return False
        try:
            # It waits for nothing else on a connection that is open.
            async with asyncio.timeout(0):
                await self._amqp.transport.ready()
        except TimeoutError:
            return True
        return False

    async def close(self) -> None:
        """Close for good, whatever state it is in, waiting for handlers in flight at most three seconds."""
        # A broker that reads nothing does not hear a farewell either.
        seconds = DEAF_CLOSE_SECONDS if await self.blocked() else 2 * CLOSE_SECONDS
        self.lost.set()
        with contextlib.suppress(*BROKER_ERRORS), loss_as_error():
            async with asyncio.timeout(seconds):
                await self.broker.stop()
