"""The exchanges, queues and bindings of ours, and how a process makes sure that they are there.

Each process does before it publishes or consumes: an event is never confirmed while the queue of a service that has not
started yet is missing. Quorum queues, and one stream that keeps every event for a while; works on RabbitMQ 3.10 and 4.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from aio_pika import Channel
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq.exceptions import ChannelAccessRefused

from aggregator_contracts.log import MAX_AGE, MAX_BYTES, SEGMENT_BYTES
from aggregator_contracts.topology import EXCHANGE, LOG, SUBSCRIPTIONS, Subscription

RETRY_DELAY_MILLISECONDS: Final = 30_000
DELIVERY_LIMIT: Final = 200
"""Deliveries that may end with the consumer's death before the broker itself parks a message: high enough that a
message is not blamed for a consumer that is killed again and again."""
LOOKS_LIMIT: Final = 1_000_000
"""Looking at a parked message delivers it and puts it back; RabbitMQ 4 would drop it after twenty looks."""

Argument = str | int | bool


class TopologyMissingError(ConnectionError):
    """The broker lacks an exchange or a queue of ours, and this account may not declare it."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue, with the arguments of its declaration besides its type."""

    name: str
    own_arguments: Mapping[str, Argument] = field(default_factory=dict)
    type: str = "quorum"

    @property
    def arguments(self) -> dict[str, Argument]:
        """The arguments of its declaration."""
        return {"x-queue-type": self.type, **self.own_arguments}


@dataclass(frozen=True, slots=True)
class Binding:
    """What an exchange puts into a queue."""

    exchange: str
    queue: str
    routing_key: str


def _queues() -> Iterator[Queue]:
    """The log, each service's parked queue, and each subscription's queue with the one in which its messages wait."""
    # A policy overrules these, so they bound the log where nobody has loaded our definitions.
    yield Queue(
        LOG,
        {"x-max-age": MAX_AGE, "x-max-length-bytes": MAX_BYTES, "x-stream-max-segment-size-bytes": SEGMENT_BYTES},
        type="stream",
    )
    for name in dict.fromkeys(subscription.parked_queue for subscription in SUBSCRIPTIONS):
        yield Queue(name, {"x-delivery-limit": LOOKS_LIMIT})
    for subscription in SUBSCRIPTIONS:
        waiting = {"x-message-ttl": RETRY_DELAY_MILLISECONDS, **_dead_letters_to(subscription.queue, subscription)}
        yield Queue(subscription.retry_queue, waiting)
        consumed = {
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-single-active-consumer": subscription.ordered,
            **_dead_letters_to(subscription.parked_queue, subscription),
        }
        yield Queue(subscription.queue, consumed)


def _dead_letters_to(queue: str, subscription: Subscription) -> dict[str, Argument]:
    # At least once needs reject-publish: with the default strategy a dead letter is lost when its target is away.
    return {
        "x-dead-letter-exchange": subscription.dead_letter_exchange,
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def _bindings() -> Iterator[Binding]:
    yield Binding(EXCHANGE, LOG, "#")
    for subscription in SUBSCRIPTIONS:
        for queue in (subscription.queue, subscription.retry_queue, subscription.parked_queue):
            yield Binding(subscription.dead_letter_exchange, queue, queue)
        for event in subscription.events:
            yield Binding(EXCHANGE, subscription.queue, event.TYPE)


EXCHANGES: Final = (
    Exchange(EXCHANGE, "topic"),
    *(Exchange(name, "direct") for name in dict.fromkeys(s.dead_letter_exchange for s in SUBSCRIPTIONS)),
)
QUEUES: Final = tuple(_queues())
BINDINGS: Final = tuple(dict.fromkeys(_bindings()))


async def ensure_topology(connection: AbstractConnection) -> None:
    """Declare all of it; for an account that may not, see that all of it has been declared.

    Raises:
        TopologyMissingError: something is not there, and the account may not declare it.
    """
    try:
        async with Channel(connection) as channel:
            await _declare(channel)
    except ChannelAccessRefused:
        async with Channel(connection) as channel:
            await _find(channel)


async def _declare(channel: AbstractChannel) -> None:
    for exchange in EXCHANGES:
        await channel.declare_exchange(exchange.name, exchange.type, durable=True)
    queues = {
        queue.name: await channel.declare_queue(queue.name, durable=True, arguments={**queue.arguments})
        for queue in QUEUES
    }
    for binding in BINDINGS:
        await queues[binding.queue].bind(binding.exchange, binding.routing_key)


async def _find(channel: AbstractChannel) -> None:
    try:
        for name in (exchange.name for exchange in EXCHANGES):
            await channel.get_exchange(name)
        for name in (queue.name for queue in QUEUES):
            await channel.get_queue(name)
    except ChannelNotFoundEntity:
        raise TopologyMissingError(
            f"the broker has no {name}, and this account may not declare it: load the broker's definitions"
        ) from None
