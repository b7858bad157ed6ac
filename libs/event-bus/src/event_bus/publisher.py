"""Publishes events to the contract's exchange."""

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import Counter

from aggregator_contracts import Event
from aggregator_contracts.envelope import CONTENT_TYPE
from aggregator_contracts.topology import EXCHANGE
from event_bus.messages import MessagePublisher, OutgoingMessage

published = Counter("aggregator_events_published_total", "Events confirmed by the broker", ["type"])


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


class EventPublisher(MessagePublisher):
    """Publishes events over a connection of its own."""

    async def publish(self, events: Iterable[Event]) -> None:
        """Publish the events in order and return when the broker has confirmed every one.

        Raises:
            PublishError: publish all of them again; consumers expect duplicates.
        """
        await self.send(OutgoingEvent.of(event) for event in events)

    async def send(self, events: Iterable[OutgoingEvent]) -> None:
        """As `publish`, for events that are encoded already."""
        batch = list(events)
        await self.send_messages([_message(event) for event in batch])
        for event in batch:
            published.labels(event.type).inc()


def _message(event: OutgoingEvent) -> OutgoingMessage:
    return OutgoingMessage(event.id, event.type, event.body, CONTENT_TYPE, EXCHANGE, event.type)
