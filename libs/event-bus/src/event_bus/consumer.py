"""Consumes events from a service's queues over one connection, from connecting to handing over.

What becomes of each message is decided in `deliveries`.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog
from aio_pika.abc import AbstractChannel
from faststream.rabbit import Channel
from prometheus_client import Gauge

from aggregator_contracts.topology import Subscription
from event_bus.connection import Connection, Nodes, loss_as_error
from event_bus.deliveries import Deliveries, Route
from event_bus.messages import MessagePublisher
from lifecycle import wait_for_any

WATCH_SECONDS: Final = 10.0
FINISH_SECONDS: Final = 3.0
"""How long messages in hand may take to be handled when consuming ends."""
ANSWER_SECONDS: Final = 10.0
"""A broker that leaves a question open for so long is as good as gone, and another node may be there."""

_log = structlog.get_logger()
parked = Gauge("aggregator_parked_messages", "Messages that wait for a person to look at them", ["queue"])


class EventConsumer:
    """Runs handlers on a service's subscriptions.

    Args:
        url: the broker's URL, or several separated by commas.
        transient: what handlers raise while a dependency of theirs is down.
        prefetch: messages in hand at once, for each subscription.
    """

    def __init__(self, url: str, *, transient: Sequence[type[Exception]] = (), prefetch: int = 20) -> None:
        self._nodes = Nodes(url)
        self._moves = MessagePublisher(url)
        self._transient = tuple(transient)
        self._prefetch = prefetch
        self._routes: list[Route] = []
        self._connection: Connection | None = None

    def subscribe(self, subscription: Subscription, handler: Callable[[Any], Awaitable[None]]) -> None:
        """Have `handler` called with each event of the subscription; call before `run`."""
        self._routes.append(Route(subscription, handler))

    async def check(self) -> None:
        """For readiness.

        Raises:
            ConnectionError: not consuming now.
        """
        if self._connection is None or self._connection.lost.is_set():
            raise ConnectionError("not consuming")

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume over one connection until it is lost or `stopping` is set; the worker's supervision starts it again.

        Raises:
            ConnectionError: the connection, a queue or a consumer was lost.
        """
        connection = Connection(self._nodes.next(), Channel(on_return_raises=True))
        deliveries = [Deliveries(route, connection, self._moves, self._transient, stopping) for route in self._routes]
        for delivery in deliveries:
            delivery.attach(self._prefetch)
        await connection.open()
        try:
            await connection.start_delivering()
            self._connection = connection
            _log.info("consuming", queues=[route.subscription.queue for route in self._routes])
            await self._watch(connection, stopping)
        finally:
            self._connection = None
            await self._let_go(connection, deliveries)
            await connection.close()
            await self._moves.stop()

    async def _let_go(self, connection: Connection, deliveries: Sequence[Deliveries]) -> None:
        # Whoever stands by for an ordered queue is told to go on when this consumer is cancelled, which is how a
        # connection is closed politely: it would overtake the messages that are in hand here. So these are finished,
        # later ones are left, and when the connection goes, they go back before the next consumer has its turn.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_SECONDS):
                for delivery in deliveries:
                    await delivery.finished()
        await connection.hang_up()

    async def _watch(self, connection: Connection, stopping: asyncio.Event) -> None:
        probing = asyncio.create_task(self._probe(connection))
        probing.add_done_callback(lambda _: connection.lost.set())
        try:
            await wait_for_any(stopping, connection.lost)
            if not stopping.is_set():
                if probing.done():
                    await probing
                raise ConnectionError("the broker's connection is lost")
        finally:
            probing.cancel()

    async def _probe(self, connection: Connection) -> None:
        # A consumer can vanish while its connection lives: its queue deleted, or its channel closed by the broker. And
        # a broker can freeze, which its heartbeat tells only after half a minute.
        with loss_as_error():
            channel = await connection.channel()
            while True:
                await asyncio.sleep(WATCH_SECONDS)
                for subscription in (route.subscription for route in self._routes):
                    await self._look(channel, subscription)

    async def _look(self, channel: AbstractChannel, subscription: Subscription) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            queue = await channel.declare_queue(subscription.queue, passive=True)
            if not queue.declaration_result.consumer_count:
                raise ConnectionError(f"nobody consumes {subscription.queue}")
            parked_queue = await channel.declare_queue(subscription.parked_queue, passive=True)
        parked.labels(subscription.parked_queue).set(parked_queue.declaration_result.message_count or 0)
