"""Publishes messages: persistent, mandatory, confirmed, pipelined."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from faststream.rabbit import Channel, RabbitExchange
from prometheus_client import Counter

from event_bus.connection import BROKER_ERRORS, Connection, Nodes, loss_as_error
from event_bus.topology import TopologyMissingError

PUBLISH_SECONDS: Final = 5.0

failures = Counter("aggregator_event_publish_failures_total", "Publishes without a confirm, to be repeated")


class PublishError(Exception):
    """Not every message was confirmed; which ones the broker has is unknown, so publish all of them again."""


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message ready to be sent."""

    id: str | None
    type: str | None
    body: bytes
    content_type: str | None
    exchange: str
    routing_key: str
    headers: Mapping[str, Any] = field(default_factory=dict)


class MessagePublisher:
    """One connection for publishing only, opened when it is needed and replaced after any failure.

    Consuming has a connection of its own: a broker that blocks publishers would hold back the acks on a shared one.

    Args:
        url: the broker's URL, or several separated by commas.
        timeout: seconds without any confirm after which a publish has failed; not counted while the broker says that it
            blocks publishers.
    """

    def __init__(self, url: str, *, timeout: float = PUBLISH_SECONDS) -> None:
        self._nodes = Nodes(url)
        self._timeout = timeout
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None

    async def start(self) -> None:
        """Connect if the broker answers; otherwise the first publish does."""
        try:
            await self._connected()
        except PublishError:
            return

    async def stop(self) -> None:
        """Close the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._connection is not None:
            await self._discard(self._connection)

    async def check(self) -> None:
        """For readiness: connects if need be, and goes on connecting when nobody waits for it any more.

        Raises:
            PublishError: the broker does not answer.
        """
        await self._connected()

    async def send_messages(self, messages: Sequence[OutgoingMessage]) -> None:
        """Publish the messages in order and return when the broker has confirmed every one.

        Raises:
            PublishError: publish all of them again.
        """
        connection = await self._connected()
        # Pipelined: waiting for each confirm in turn is five times slower.
        publishing = asyncio.gather(*(_publish(connection, message) for message in messages))
        try:
            await self._while_confirms_arrive(connection, publishing)
        except BROKER_ERRORS as error:
            failures.inc()
            if not connection.may_go_on_after(error):
                await self._discard(connection)
            raise PublishError(f"{len(messages)} messages not confirmed: {type(error).__name__}: {error}") from error
        finally:
            publishing.cancel()

    async def _while_confirms_arrive(self, connection: Connection, publishing: "asyncio.Future[list[None]]") -> None:
        # A deadline for the whole batch would have a slow broker sent the same events again and again. One that blocks
        # publishers has in hand what was sent, and confirms it when it has room again: sent once more over another
        # connection, it would be there twice, each time somewhere else in the order.
        while True:
            confirmed, blocked = connection.confirmed, await connection.blocked()
            done, _ = await asyncio.wait([publishing], timeout=self._timeout)
            if done:
                break
            if connection.confirmed == confirmed and not blocked and not await connection.blocked():
                raise TimeoutError(f"no confirm for {self._timeout:g} s")
        await publishing

    async def _connected(self) -> Connection:
        if self._connection is not None and not self._connection.lost.is_set():
            return self._connection
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
        try:
            with loss_as_error():
                # Whoever gives up waiting leaves it to the next one.
                return await asyncio.shield(self._connecting)
        except ConnectionError as error:
            raise PublishError("stopped while connecting") from error

    async def _connect(self) -> Connection:
        if self._connection is not None:
            await self._discard(self._connection)
        connection = Connection(self._nodes.next(), Channel(on_return_raises=True))
        try:
            await connection.open()
        except TopologyMissingError as error:
            raise PublishError(str(error)) from error
        except BROKER_ERRORS as error:
            raise PublishError(f"the broker does not answer: {type(error).__name__}") from error
        self._connection = connection
        return connection

    async def _discard(self, connection: Connection) -> None:
        if self._connection is connection:
            self._connection = None
        await connection.close()


@cache
def _exchange(name: str) -> RabbitExchange:
    return RabbitExchange(name, robust=False)


async def _publish(connection: Connection, message: OutgoingMessage) -> None:
    with loss_as_error():
        await connection.broker.publish(
            message.body,
            exchange=_exchange(message.exchange),
            routing_key=message.routing_key,
            headers=dict(message.headers),
            content_type=message.content_type,
            message_id=message.id,
            message_type=message.type,
            persist=True,
            mandatory=True,
        )
    connection.confirmed += 1
