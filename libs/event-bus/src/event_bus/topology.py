"""Declares the exchange and every queue of ours.

Each process declares all of it before it publishes or consumes: an event is never confirmed while the queue of a
service that has not started yet is missing. Quorum queues only; works on RabbitMQ 3.10 and 4.
"""

from typing import Final

from faststream.rabbit import ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitQueue
from faststream.rabbit.schemas.queue import QuorumQueueArgs

from aggregator_contracts.topology import EXCHANGE, SUBSCRIPTIONS, Subscription

RETRY_DELAY_MILLISECONDS: Final = 30_000
DELIVERY_LIMIT: Final = 200
"""Deliveries that may end with the consumer's death before the broker itself parks a message: high enough that a
message is not blamed for a consumer that is killed again and again."""
LOOKS_LIMIT: Final = 1_000_000
"""Looking at a parked message delivers it and puts it back; RabbitMQ 4 would drop it after twenty looks."""

events_exchange: Final = RabbitExchange(EXCHANGE, type=ExchangeType.TOPIC, durable=True, robust=False)


async def declare_topology(broker: RabbitBroker) -> None:
    """Declare the exchange, and for each subscription its queue, retry queue and parked queue."""
    exchange = await broker.declare_exchange(events_exchange)
    for service in {subscription.service for subscription in SUBSCRIPTIONS}:
        await broker.declare_queue(parked_queue(service))
    for subscription in SUBSCRIPTIONS:
        await broker.declare_queue(retry_queue(subscription))
        queue = await broker.declare_queue(main_queue(subscription))
        for event in subscription.events:
            await queue.bind(exchange, routing_key=event.TYPE, robust=False)


def main_queue(subscription: Subscription) -> RabbitQueue:
    """The queue that a subscription consumes."""
    return _quorum_queue(
        subscription.queue,
        {
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-single-active-consumer": subscription.ordered,
            **_dead_letters_to(subscription.parked_queue),
        },
    )


def retry_queue(subscription: Subscription) -> RabbitQueue:
    """Where a message waits half a minute before it comes back to its main queue."""
    return _quorum_queue(
        subscription.retry_queue,
        {"x-message-ttl": RETRY_DELAY_MILLISECONDS, **_dead_letters_to(subscription.queue)},
    )


def parked_queue(service: str) -> RabbitQueue:
    """Where a service's poison stays until someone looks at it."""
    return _quorum_queue(f"{service}.parked", {"x-delivery-limit": LOOKS_LIMIT})


def _dead_letters_to(queue: str) -> QuorumQueueArgs:
    # At least once needs reject-publish: with the default strategy a dead letter is lost when its target is away.
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def _quorum_queue(name: str, arguments: QuorumQueueArgs) -> RabbitQueue:
    return RabbitQueue(name, queue_type=QueueType.QUORUM, durable=True, robust=False, arguments=arguments)
