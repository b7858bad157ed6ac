"""Publishes events: persistent, mandatory, confirmed, pipelined."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from faststream.rabbit import Channel
from prometheus_client import Counter

from aggregator_contracts import Event
from aggregator_contracts.events import CONTENT_TYPE
from event_bus.connection import BROKER_ERRORS, Connection, Nodes, loss_as_error
from event_bus.topology import events_exchange

PUBLISH_SECONDS: Final = 5.0

published = Counter("aggregator_events_published_total", "Events confirmed by the broker", ["type"])
failures = Counter("aggregator_event_publish_failures_total", "Publishes without a confirm, to be repeated")


class PublishError(Exception):
    """Not every event was confirmed; which ones the broker has is unknown, so publish all of them again."""


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """An event ready to be sent: `body` is its JSON, `type` its routing key."""

    id: str
    type: str
    body: bytes

    @classmethod
    def of(cls, event: Event) -> "OutgoingEvent":
        """The event with its body encoded."""
        return cls(event.id, event.type, event.to_json())


class EventPublisher:
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
        self._connecting = asyncio.Lock()

    async def start(self) -> None:
        """Connect if the broker answers; otherwise the first publish does."""
        try:
            await self._connected()
        except PublishError:
            return

    async def stop(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def check(self) -> None:
        """For readiness: connects if need be.

        Raises:
            PublishError: the broker does not answer.
        """
        await self._connected()

    async def publish(self, events: Iterable[Event]) -> None:
        """Publish the events in order and return when the broker has confirmed every one.

        Raises:
            PublishError: publish all of them again; consumers expect duplicates.
        """
        await self.send(OutgoingEvent.of(event) for event in events)

    async def send(self, events: Iterable[OutgoingEvent]) -> None:
        """As `publish`, for events that are encoded already."""
        batch = list(events)
        connection = await self._connected()
        # Pipelined: waiting for each confirm in turn is five times slower.
        publishing = asyncio.gather(*(_publish(connection, event) for event in batch))
        try:
            await self._while_confirms_arrive(connection, publishing)
        except BROKER_ERRORS as error:
            failures.inc()
            await self._discard(connection)
            raise PublishError(f"{len(batch)} events not confirmed: {type(error).__name__}: {error}") from error
        finally:
            publishing.cancel()
        for event in batch:
            published.labels(event.type).inc()

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
        async with self._connecting:
            if self._connection is not None and not self._connection.lost.is_set():
                return self._connection
            if self._connection is not None:
                await self._discard(self._connection)
            connection = Connection(self._nodes.next(), Channel(on_return_raises=True))
            try:
                await connection.open()
            except BROKER_ERRORS as error:
                raise PublishError(f"the broker does not answer: {type(error).__name__}") from error
            self._connection = connection
            return connection

    async def _discard(self, connection: Connection) -> None:
        if self._connection is connection:
            self._connection = None
        await connection.close()


async def _publish(connection: Connection, event: OutgoingEvent) -> None:
    with loss_as_error():
        await connection.broker.publish(
            event.body,
            exchange=events_exchange,
            routing_key=event.type,
            content_type=CONTENT_TYPE,
            message_id=event.id,
            message_type=event.type,
            persist=True,
            mandatory=True,
        )
    connection.confirmed += 1
