"""Publishes and consumes the contract's events over RabbitMQ so that none is lost."""

from event_bus.consumer import EventConsumer
from event_bus.decoding import (
    ReceivedBestPriceChange,
    ReceivedBestPriceChanged,
    ReceivedOffer,
    ReceivedOffersUpdated,
    ReceivedUpdate,
    decode_event,
)
from event_bus.deliveries import Unprocessable
from event_bus.log import EventLog, Extent, LogEntry, OffsetError, OpenLog, Start
from event_bus.messages import PublishError
from event_bus.parked import ParkedMessage, ParkedMessages
from event_bus.parked_commands import parked_commands
from event_bus.publisher import EventPublisher, OutgoingEvent
from event_bus.reach import Kept
from event_bus.rebuild import Rebuild
from event_bus.rebuild_command import rebuild_command
from event_bus.replay import Handlers, Replayed
from event_bus.together import Together

__all__ = [
    "EventConsumer",
    "EventLog",
    "EventPublisher",
    "Extent",
    "Handlers",
    "Kept",
    "LogEntry",
    "OffsetError",
    "OpenLog",
    "OutgoingEvent",
    "ParkedMessage",
    "ParkedMessages",
    "PublishError",
    "Rebuild",
    "ReceivedBestPriceChange",
    "ReceivedBestPriceChanged",
    "ReceivedOffer",
    "ReceivedOffersUpdated",
    "ReceivedUpdate",
    "Replayed",
    "Start",
    "Together",
    "Unprocessable",
    "decode_event",
    "parked_commands",
    "rebuild_command",
]
